"""Several labels at once: independent columns, shares kept."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rung import UserError
from rung.decide.multilabel import MultiLabel
from rung.evidence import Array, unit

K, D, N = 4, 16, 300
BACKGROUND = np.zeros(D, np.float32)
ANCHORS = np.eye(K, D, dtype=np.float32)


def multi_label_texts(seed: int = 0) -> tuple[Array, np.ndarray]:
    """Texts that each have any number of labels, and which labels they are."""
    rng = np.random.default_rng(seed)
    truth = rng.random((N, K)) < 0.25
    return unit((truth @ ANCHORS + 0.2 * rng.normal(size=(N, D))).astype(np.float32)), truth


def test_texts_with_two_labels_get_both() -> None:
    """A label is above one half where the text has it, whatever other labels the text has."""
    texts, truth = multi_label_texts()
    yes = MultiLabel((0.25,) * K).fit(texts, ANCHORS, BACKGROUND).probabilities(texts) > 0.5
    assert (yes == truth).mean() > 0.9
    both = truth.sum(axis=1) >= 2
    assert yes[both].sum() > 0.8 * truth[both].sum()


def test_texts_teach_what_goes_with_a_label() -> None:
    """A direction that often occurs with a label, and is not in its wording, makes the label more probable after the fit."""
    texts, truth = multi_label_texts()
    company = np.roll(ANCHORS, 8, axis=1)
    chances = (
        MultiLabel().fit(unit(texts + truth.astype(np.float32) @ company), ANCHORS, BACKGROUND).probabilities(company)
    )
    assert (chances.argmax(axis=1) == np.arange(K)).all()
    assert (chances.diagonal() > 2 * np.sort(chances, axis=1)[:, -2]).all()


@given(seed=st.integers(0, 50), column=st.integers(0, K - 1))
def test_another_label_changes_nothing_in_a_column(seed: int, column: int) -> None:
    """Rewording one label leaves the columns of the others as they were."""
    texts, _ = multi_label_texts()
    other = ANCHORS.copy()
    other[column] = unit(np.random.default_rng(seed).normal(size=D).astype(np.float32))
    before, after = (MultiLabel().fit(texts, each, BACKGROUND).probabilities(texts) for each in (ANCHORS, other))
    kept = np.arange(K) != column
    assert after[:, kept] == pytest.approx(before[:, kept], abs=1e-6)


@given(shares=st.lists(st.floats(0.02, 0.9), min_size=K, max_size=K))
def test_the_mean_of_a_column_is_its_share(shares: list[float]) -> None:
    """Over the pool, a label is as frequent as its given share; without one, one label a text is assumed on average."""
    texts, _ = multi_label_texts()
    known = MultiLabel(tuple(shares)).fit(texts, ANCHORS, BACKGROUND).probabilities(texts)
    assert known.mean(axis=0) == pytest.approx(shares, abs=1e-4)
    unknown = MultiLabel((*shares[:-1], None)).fit(texts, ANCHORS, BACKGROUND).probabilities(texts)
    assert unknown[:, -1].mean() == pytest.approx(1 / K, abs=1e-4)


def test_the_order_of_texts_and_labels_has_no_effect() -> None:
    """Permuted texts and labels give permuted probabilities."""
    texts, _ = multi_label_texts()
    rows, columns = np.random.default_rng(1).permutation(N), np.array([2, 0, 3, 1])
    straight = MultiLabel().fit(texts, ANCHORS, BACKGROUND).probabilities(texts)
    permuted = MultiLabel().fit(texts[rows], ANCHORS[columns], BACKGROUND).probabilities(texts[rows])
    assert permuted == pytest.approx(straight[rows][:, columns], abs=1e-4)


def test_identical_texts_are_no_fault() -> None:
    """A pool of one text, or of equal texts, gives the shares back."""
    for n in (1, 5):
        texts = np.repeat(ANCHORS[:1], n, axis=0)
        chances = MultiLabel((0.2,) * K).fit(texts, ANCHORS, BACKGROUND).probabilities(texts)
        assert chances == pytest.approx(0.2, abs=1e-3)


@pytest.mark.parametrize("shares", [(0.1,), (0.0,) * K, (1.5,) * K])
def test_shares_that_cannot_be_are_refused(shares: tuple[float, ...]) -> None:
    """There must be one share for each label, between 0 and 1."""
    with pytest.raises(UserError, match="shares: got"):
        MultiLabel(shares).fit(multi_label_texts()[0], ANCHORS, BACKGROUND)


def test_an_empty_pool_is_refused() -> None:
    """The shares are those of a pool, so an empty pool is an error."""
    with pytest.raises(UserError, match="no unlabelled texts"):
        MultiLabel().fit(multi_label_texts()[0][:0], ANCHORS, BACKGROUND)
