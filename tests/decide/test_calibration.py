"""Temperatures and conformal sets."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import log_softmax, softmax

from rung import UserError
from rung.decide.calibration import ConformalSets, Temperature

K = 4


def drawn(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Logits, and labels drawn from their softmax: calibrated as they are."""
    rng = np.random.default_rng(seed)
    logits = 2 * rng.normal(size=(n, K))
    labels = (rng.random((n, 1)) > softmax(logits, axis=1).cumsum(axis=1)).sum(axis=1)
    return logits, np.minimum(labels, K - 1)


def test_without_labels_nothing_changes() -> None:
    """T is 1, and log p is given back."""
    logits, labels = drawn(5)
    fitted = Temperature().fit(logits[:0], labels[:0])
    assert fitted.temperature_ == 1
    assert fitted.log_posterior(log_softmax(logits, axis=1)) == pytest.approx(log_softmax(logits, axis=1))


def test_many_labels_undo_overconfidence() -> None:
    """Probabilities that are four times too sure get a temperature near 4."""
    logits, labels = drawn(3000)
    assert Temperature().fit(4 * logits, labels).temperature_ == pytest.approx(4, rel=0.15)


def test_few_labels_move_it_little() -> None:
    """With three labels the temperature stays nearer to 1 than with three hundred."""
    logits, labels = drawn(300)
    few, many = (abs(np.log(Temperature().fit(4 * logits[:m], labels[:m]).temperature_)) for m in (3, 300))
    assert few < 0.5 < many


@given(seed=st.integers(0, 99))
def test_answers_stay(seed: int) -> None:
    """A temperature never changes which label is most probable."""
    logits, labels = drawn(30, seed)
    cooled = Temperature().fit(logits, labels).log_posterior(logits)
    assert (cooled.argmax(axis=1) == logits.argmax(axis=1)).all()
    assert np.exp(cooled).sum(axis=1) == pytest.approx(1)


def test_sets_hold_the_true_label_as_often_as_promised() -> None:
    """Over a hundred calibrations of 50 labels, coverage is at least the level, with the spread that is said."""
    logits, labels = drawn(60_000)
    logs, covered = log_softmax(logits, axis=1), []
    for i in range(100):
        fitted = ConformalSets(0.8).fit(logs[i * 50 :][:50], labels[i * 50 :][:50])
        inside = fitted.contains(logs[10_000:])
        covered.append(inside[np.arange(50_000), labels[10_000:]].mean())
    assert 0.79 < np.mean(covered) < 0.84
    assert np.std(covered) == pytest.approx(fitted.spread_, rel=0.25)


@given(low=st.floats(0.05, 0.9), more=st.floats(0, 0.09))
def test_a_higher_level_gives_larger_sets(low: float, more: float) -> None:
    """Sets are nested in the level, and none is empty."""
    logits, labels = drawn(40)
    logs = log_softmax(logits, axis=1)
    small, large = (ConformalSets(level).fit(logs, labels).contains(logs) for level in (low, low + more))
    assert (small <= large).all()
    assert small.any(axis=1).all()


def test_too_few_labels_give_sets_of_all_labels() -> None:
    """Five labels cannot vouch for 90 %, so nothing is excluded."""
    logits, labels = drawn(5)
    assert ConformalSets(0.9).fit(log_softmax(logits, axis=1), labels).contains(logits).all()


def test_a_level_that_is_no_share_is_refused() -> None:
    """The error names the value."""
    with pytest.raises(UserError, match="level: got 90"):
        ConformalSets(90).fit(*drawn(5))
