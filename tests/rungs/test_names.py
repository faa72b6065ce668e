"""The names rung: the nearest anchor, as probabilities."""

from __future__ import annotations

import numpy as np
import pytest

from rung.evidence import Evidence, unit
from rung.rungs.names import Names


def evidence(n: int = 20, k: int = 5, d: int = 16, seed: int = 0) -> Evidence:
    rng = np.random.default_rng(seed)
    features, anchors = (unit(rng.normal(size=(m, d)).astype(np.float32)) for m in (n, k))
    return Evidence(features, anchors, 0.1 * unit(rng.normal(size=d).astype(np.float32)), np.ones(n, dtype=bool))


def test_it_is_the_softmax_of_centred_cosines() -> None:
    """The formula of the docstring, computed plainly."""
    given = evidence()
    x = unit(given.features - 0.5 * given.background)
    logits = np.array([[float(a @ b) / 0.05 for b in given.anchors] for a in x])
    expected = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    assert np.exp(Names().fit(given).log_posterior(given)) == pytest.approx(expected, abs=1e-4)


def test_without_centring_it_is_the_plain_cosine() -> None:
    """centring=0 leaves the argmax of sentence-transformers' recipe."""
    given = evidence()
    plain = (given.features @ given.anchors.T).argmax(axis=1)
    assert (Names(centring=0).log_posterior(given).argmax(axis=1) == plain).all()


def test_a_text_on_an_anchor_gets_that_label() -> None:
    """The text that is the label's own wording is answered with the label, nearly surely."""
    given = evidence(k=3)
    on_anchor = given.of_texts(given.anchors, [None] * 3)
    posterior = np.exp(Names(centring=0).log_posterior(on_anchor))
    assert (posterior.argmax(axis=1) == [0, 1, 2]).all()
    assert (posterior.max(axis=1) > 0.9).all()
