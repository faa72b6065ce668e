"""Several labels, corrected by marked texts."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from rung.decide.multilabel import MultiLabel
from rung.decide.partial_multilabel import Marked
from rung.evidence import unit


def world(n: int = 600, seed: int = 0) -> tuple[np.ndarray, np.ndarray, MultiLabel]:
    """Texts (n, 16) that carry each of three labels independently, and a fit without marks whose anchors are noisy."""
    rng = np.random.default_rng(seed)
    directions = np.linalg.qr(rng.standard_normal((16, 3)))[0].T
    marks = (rng.random((n, 3)) < 0.3).astype(float)
    features = unit((marks @ directions + 0.25 * rng.standard_normal((n, 16))).astype(np.float32))
    anchors = unit((directions + 0.25 * rng.standard_normal((3, 16))).astype(np.float32))
    return features, marks, MultiLabel().fit(features, anchors, np.zeros(16, dtype=np.float32))


def loss(probabilities: np.ndarray, marks: np.ndarray) -> float:
    right = np.where(marks == 1, probabilities, 1 - probabilities)
    return float(-np.log(np.clip(right, 1e-12, None)).mean())


@pytest.mark.parametrize("count", [1, 4, 16, 64, 300])
def test_marks_do_not_harm(count: int) -> None:
    """On texts without marks the loss is never much above that of the fit without marks, and far below it with many marks."""
    features, marks, below = world()
    fitted = Marked(below).fit(features[:count], marks[:count])
    after = loss(fitted.probabilities(features[300:]), marks[300:])
    before = loss(below.probabilities(features[300:]), marks[300:])
    assert after <= before * 1.05
    if count >= 64:
        assert after < before * 0.8


def test_with_all_marks_it_is_as_good_as_logistic_regression() -> None:
    """With many marks, the fit that it started from does no harm."""
    features, marks, below = world(2000)
    fitted = Marked(below).fit(features[:1500], marks[:1500])
    plain = [LogisticRegression(C=10).fit(features[:1500], column[:1500]) for column in marks.T]
    theirs = np.stack([each.predict_proba(features[1500:])[:, 1] for each in plain], axis=1)
    assert loss(fitted.probabilities(features[1500:]), marks[1500:]) <= loss(theirs, marks[1500:]) * 1.05


def test_unknown_marks_and_order_have_no_effect() -> None:
    """A column without known marks stays as it was, and the order of the texts has no effect."""
    features, marks, below = world()
    some = marks[:200].copy()
    some[:, 2] = np.nan
    fitted = Marked(below).fit(features[:200], some)
    found = fitted.probabilities(features)
    assert np.allclose(found[:, 2], below.probabilities(features)[:, 2])
    assert not np.allclose(found[:, 0], below.probabilities(features)[:, 0])
    turned = Marked(below).fit(features[:200][::-1], some[::-1])
    assert np.allclose(turned.probabilities(features), found, atol=1e-4)


def test_one_text_changes_nothing() -> None:
    """With one fold nothing can be held out, so the probabilities stay, and the guard says so."""
    features, marks, below = world()
    fitted = Marked(below).fit(features[:1], marks[:1])
    assert np.array_equal(fitted.probabilities(features), below.probabilities(features))
    assert "too few" in fitted.guard_
