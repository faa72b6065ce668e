"""Judging two ways by held-out labels: what is more probable counts, not what is more sure."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import softmax

from rung.training.cross_validation import Judged

RNG = np.random.default_rng(0)
TRUTH = RNG.integers(0, 3, 40)
LOGITS = RNG.normal(size=(40, 3)) + np.eye(3)[TRUTH]


def test_being_more_sure_is_no_gain() -> None:
    """The same answers at another temperature are neither ahead nor behind."""
    judged = Judged(TRUTH, softmax(LOGITS, axis=1), softmax(LOGITS * 4, axis=1))
    assert judged.gains == pytest.approx(0, abs=1e-3)
    assert abs(judged.surely) < 0.5


def test_as_many_right_answers_but_more_probable_labels() -> None:
    """Where no answer differs, the way that comes nearer to the true labels is ahead."""
    nearer = LOGITS + np.eye(3)[TRUTH] * np.where(LOGITS.argmax(axis=1) == TRUTH, 1.0, 0.0)[:, None]
    judged = Judged(TRUTH, softmax(LOGITS, axis=1), softmax(nearer, axis=1))
    assert (judged.right["tuned"] == judged.right["frozen"]).all()
    assert judged.surely > 2
    assert Judged(TRUTH, judged.tuned, judged.frozen).surely == pytest.approx(-judged.surely)
    assert judged.in_words().startswith("on 40 held-out labels ")


def test_impossible_labels_are_no_catastrophe() -> None:
    """A probability of 0 for a true label costs much, not everything."""
    sure = np.eye(3)[(TRUTH + (np.arange(40) == 0)) % 3]
    judged = Judged(TRUTH, softmax(LOGITS, axis=1), sure)
    assert np.isfinite(judged.gains).all()
    assert judged.surely > 0
