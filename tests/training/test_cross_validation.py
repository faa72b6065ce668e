"""Comparison on held-out labels: more probable true labels count, more confident answers do not."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import softmax

from rung.training.cross_validation import HeldOutComparison

RNG = np.random.default_rng(0)
TRUTH = RNG.integers(0, 3, 40)
LOGITS = RNG.normal(size=(40, 3)) + np.eye(3)[TRUTH]


def test_more_confidence_is_no_gain() -> None:
    """The same answers at another temperature have neither a gain nor a loss."""
    comparison = HeldOutComparison(TRUTH, softmax(LOGITS, axis=1), softmax(LOGITS * 4, axis=1))
    assert comparison.log_likelihood_gains == pytest.approx(0, abs=1e-3)
    assert abs(comparison.z_score) < 0.5


def test_more_probable_labels_count_where_accuracy_is_equal() -> None:
    """If no answer differs, the classifier that makes the true labels more probable is ahead."""
    nearer = LOGITS + np.eye(3)[TRUTH] * np.where(LOGITS.argmax(axis=1) == TRUTH, 1.0, 0.0)[:, None]
    comparison = HeldOutComparison(TRUTH, softmax(LOGITS, axis=1), softmax(nearer, axis=1))
    assert (comparison.correct["tuned"] == comparison.correct["frozen"]).all()
    assert comparison.z_score > 2
    assert HeldOutComparison(TRUTH, comparison.tuned, comparison.frozen).z_score == pytest.approx(-comparison.z_score)
    assert comparison.summary().startswith("on 40 held-out labels ")


def test_a_probability_of_zero_gives_a_finite_gain() -> None:
    """A probability of 0 for a true label costs a finite amount."""
    sure = np.eye(3)[(TRUTH + (np.arange(40) == 0)) % 3]
    comparison = HeldOutComparison(TRUTH, softmax(LOGITS, axis=1), sure)
    assert np.isfinite(comparison.log_likelihood_gains).all()
    assert comparison.z_score > 0
