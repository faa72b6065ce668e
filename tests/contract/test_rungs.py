"""What every rung guarantees; the rungs are found automatically."""

from __future__ import annotations

import dataclasses
from importlib import import_module
from inspect import signature
from pkgutil import iter_modules
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from threadpoolctl import threadpool_limits

import rung.rungs
from blas_threads import Watched, blas, watched
from rung.evidence import Evidence, unit


def rungs() -> list[Any]:
    """Every class in rung.rungs that has `fit` and predicts from evidence."""
    modules = [import_module(f"rung.rungs.{module.name}") for module in iter_modules(rung.rungs.__path__)]
    return [
        thing
        for module in modules
        for thing in vars(module).values()
        if isinstance(thing, type) and thing.__module__ == module.__name__ and _answers(thing)
    ]


def _answers(kind: type) -> bool:
    method = getattr(kind, "log_posterior", None)
    return method is not None and list(signature(method).parameters) == ["self", "evidence"]


def evidence(n: int, k: int, d: int = 12, seed: int = 0) -> Evidence:
    rng = np.random.default_rng(seed)
    features, anchors, general = (unit(rng.normal(size=(m, d)).astype(np.float32)) for m in (n, k, 30))
    return Evidence(features, anchors, general, np.ones(n, dtype=bool), (None,) * n)


@pytest.mark.parametrize("kind", rungs())
@given(n=st.integers(1, 40), k=st.integers(2, 8), seed=st.integers(0, 99))
def test_rows_of_probabilities_sum_to_one(kind: Any, n: int, k: int, seed: int) -> None:
    """exp of a log posterior is a distribution over labels for every text."""
    given = evidence(n, k, seed=seed)
    posterior = np.exp(kind().fit(given).log_posterior(given))
    assert posterior.shape == (n, k)
    assert posterior.sum(axis=1) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("kind", rungs())
def test_the_order_of_texts_and_of_labels_does_not_matter(kind: Any) -> None:
    """Permuted texts and labels give permuted probabilities, within 1e-3."""
    given = evidence(60, 4)
    rows, columns = np.random.default_rng(1).permutation(60), np.array([2, 0, 3, 1])
    other = dataclasses.replace(given, features=given.features[rows], anchors=given.anchors[columns])
    straight = np.exp(kind().fit(given).log_posterior(given))
    permuted = np.exp(kind().fit(other).log_posterior(other))
    assert permuted == pytest.approx(straight[rows][:, columns], abs=1e-3)


@pytest.mark.parametrize("kind", rungs())
def test_a_rung_predicts_texts_it_has_not_seen(kind: Any) -> None:
    """A fitted rung predicts other texts, each independently of the others."""
    fitted = kind().fit(evidence(50, 3))
    new = evidence(10, 3, seed=5)
    new = dataclasses.replace(new, anchors=evidence(50, 3).anchors)
    alone = [fitted.log_posterior(new.of_texts(new.features[i : i + 1], [None])) for i in range(10)]
    assert np.exp(np.concatenate(alone)) == pytest.approx(np.exp(fitted.log_posterior(new)), abs=1e-4)


@pytest.mark.parametrize("kind", rungs())
def test_a_rung_multiplies_on_one_thread(kind: Any) -> None:
    """A rung uses one BLAS thread, since its products are small."""
    with threadpool_limits(2, user_api="blas"):
        given = dataclasses.replace(evidence(40, 3), features=watched(evidence(40, 3).features))
        known = np.where(np.arange(40) < 9, np.arange(40) % 3, -1)
        kind().fit(given, known).log_posterior(given)
        assert Watched.seen == {1}
        assert blas() == {2}
