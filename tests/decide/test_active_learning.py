"""What to label next: balanced over the labels, spread over the texts, deterministic."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rung.decide.active_learning import suggest
from rung.evidence import Array, unit

N, K, D = 60, 3, 8


def pool(seed: int = 0, n: int = N) -> tuple[Array, np.ndarray]:
    rng = np.random.default_rng(seed)
    return unit(rng.normal(size=(n, D)).astype(np.float32)), rng.dirichlet(np.ones(K), size=n)


@given(seed=st.integers(0, 99), n=st.integers(1, 30))
def test_labels_take_turns(seed: int, n: int) -> None:
    """No predicted label gets two texts more than another that still has texts."""
    features, chances = pool(seed)
    predicted = chances.argmax(axis=1)
    counts = np.bincount(predicted[suggest(features, chances, n)], minlength=K)
    left = counts < np.bincount(predicted, minlength=K)
    assert not left.any() or counts.max() - counts[left].min() <= 1


@given(seed=st.integers(0, 99))
def test_the_order_of_texts_has_no_effect(seed: int) -> None:
    """Permuted texts give the same suggestions in the same order."""
    features, chances = pool(seed)
    rows = np.random.default_rng(seed + 1).permutation(N)
    straight, permuted = suggest(features, chances, 9), suggest(features[rows], chances[rows], 9)
    assert (rows[permuted] == straight).all()


def test_the_order_has_no_effect_in_a_large_pool() -> None:
    """Where only some texts of a label are candidates, their order does not decide which ones."""
    features, chances = pool(n=2500)
    rows = np.random.default_rng(1).permutation(2500)
    chances[:, 2] = 0
    straight, permuted = suggest(features, chances, 20), suggest(features[rows], chances[rows], 20)
    assert (rows[permuted] == straight).all()


def test_many_known_texts_leave_room_for_the_rest() -> None:
    """With 2400 of 2500 texts labelled, the others can all be suggested."""
    features, chances = pool(n=2500)
    chances[:, 2] = 0
    known = np.where(np.arange(2500) < 2400, chances.argmax(axis=1), -1)
    assert sorted(suggest(features, chances, 2500, known)) == list(range(2400, 2500))


@given(seed=st.integers(0, 99), n=st.integers(0, 80), more=st.integers(0, 30))
def test_fewer_are_the_first_of_more(seed: int, n: int, more: int) -> None:
    """The first n of more suggestions are the same as n suggestions; each text comes once."""
    features, chances = pool(seed)
    few, many = suggest(features, chances, n), suggest(features, chances, n + more)
    assert (many[: len(few)] == few).all()
    assert len(set(many.tolist())) == len(many) == min(n + more, N)


def test_duplicates_are_suggested_once() -> None:
    """A text that occurs three times is suggested once."""
    features, chances = pool(n=10)
    chosen = suggest(np.tile(features, (3, 1)), np.tile(chances, (3, 1)), 99)
    assert sorted(chosen % 10) == list(range(10))


def test_known_texts_are_skipped_and_count() -> None:
    """A labelled text and its duplicates are not suggested, and its label waits until the other labels have as many texts."""
    features, chances = pool()
    features[1] = features[0]
    chances[:2] = [0.98, 0.01, 0.01]
    known = np.full(N, -1)
    known[0] = 0
    chosen = suggest(features, chances, N, known)
    assert not {0, 1} & set(chosen.tolist())
    assert sorted(chances[chosen[:2]].argmax(axis=1)) == [1, 2]


def test_texts_at_the_centers_come_first() -> None:
    """For a label with a large and a small cluster, the center of the large one comes first, then the small one, outliers last."""
    rng = np.random.default_rng(0)
    parts = np.repeat(np.eye(4, D, dtype=np.float32), [30, 10, 30, 1], axis=0)
    features = unit(parts + 0.1 * rng.normal(size=parts.shape).astype(np.float32))
    chances = np.repeat([[0.9, 0.1], [0.9, 0.1], [0.1, 0.9], [0.9, 0.1]], [30, 10, 30, 1], axis=0)
    chosen = suggest(features, chances, 4)
    part = np.repeat([0, 1, 2, 3], [30, 10, 30, 1])[chosen]
    assert sorted(part[:2]) == [0, 2]
    assert 1 in part[2:]
    assert 3 not in part


@pytest.mark.parametrize(("rows", "n"), [(0, 5), (5, 0)])
def test_nothing_gives_nothing(rows: int, n: int) -> None:
    """Without texts, or with n = 0, the result is an empty array."""
    features, chances = pool()
    assert len(suggest(features[:rows], chances[:rows], n)) == 0
