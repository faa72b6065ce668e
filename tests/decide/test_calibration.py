"""Temperatures and conformal sets."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import log_softmax, softmax

from rung import UserError
from rung.decide.calibration import ConformalSets, MultiLabelCalibration, Temperature, least_labels

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


def test_few_labels_change_the_temperature_little() -> None:
    """With three labels the temperature stays nearer to 1 than with three hundred."""
    logits, labels = drawn(300)
    few, many = (abs(np.log(Temperature().fit(4 * logits[:m], labels[:m]).temperature_)) for m in (3, 300))
    assert few < 0.5 < many


@given(seed=st.integers(0, 99))
def test_a_temperature_changes_no_answer(seed: int) -> None:
    """A temperature never changes which label is most probable."""
    logits, labels = drawn(30, seed)
    cooled = Temperature().fit(logits, labels).log_posterior(logits)
    assert (cooled.argmax(axis=1) == logits.argmax(axis=1)).all()
    assert np.exp(cooled).sum(axis=1) == pytest.approx(1)


def test_sets_contain_the_true_label_as_often_as_promised() -> None:
    """Over a hundred calibrations of 50 labels, the coverage is at least the level, with the promised spread."""
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
    """Five labels are too few for 90 %, so no label is excluded."""
    logits, labels = drawn(5)
    assert ConformalSets(0.9).fit(log_softmax(logits, axis=1), labels).contains(logits).all()


def test_a_level_that_is_no_share_is_refused() -> None:
    """The error names the value."""
    with pytest.raises(UserError, match="level: got 90"):
        ConformalSets(90).fit(*drawn(5))


def marked(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Log-odds, and marks drawn from them: calibrated as they are."""
    rng = np.random.default_rng(seed)
    odds = 2 * rng.normal(size=(n, K)) - 1
    return odds, (rng.random((n, K)) < 1 / (1 + np.exp(-odds))).astype(float)


def test_one_temperature_for_labels_that_are_independent() -> None:
    """Log-odds four times too large get a temperature near 4, no label crosses one half, and unknown marks have no effect."""
    odds, marks = marked(2000)
    fitted = MultiLabelCalibration().fit(4 * odds, marks)
    assert fitted.temperature_ == pytest.approx(4, rel=0.15)
    assert ((fitted.log_odds(4 * odds) > 0) == (odds > 0)).all()
    hidden = np.where(np.arange(K) == 2, np.nan, marks)
    same = MultiLabelCalibration().fit(np.where(np.arange(K) == 2, 1e3, 4 * odds), hidden)
    assert same.temperature_ == pytest.approx(4, rel=0.15)
    assert MultiLabelCalibration().fit(odds[:0], marks[:0]).temperature_ == 1


def test_a_set_of_independent_labels_contains_all_true_ones() -> None:
    """Over a hundred calibrations of 50 texts, all true labels of a text are in its set as often as promised."""
    odds, marks = marked(30_000)
    covered = []
    for i in range(100):
        fitted = MultiLabelCalibration().fit(odds[i * 50 :][:50], marks[i * 50 :][:50])
        inside = fitted.sets(odds[10_000:], 0.8)
        covered.append((inside >= marks[10_000:]).all(axis=1).mean())
    assert 0.79 < np.mean(covered) < 0.84
    assert not inside.all()


@pytest.mark.parametrize("level", [0.5, 0.8, 0.9, 0.95])
def test_how_many_labels_a_level_needs(level: float) -> None:
    """With the least number of labels a set can exclude a label; with one less it never does."""
    logits, labels = drawn(1000)
    logs = log_softmax(logits, axis=1)
    least = least_labels(level)
    enough, few = (ConformalSets(level).fit(logs[:m], labels[:m]) for m in (least, least - 1))
    assert np.isfinite(enough.threshold_)
    assert few.threshold_ == np.inf
