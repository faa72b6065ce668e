"""Static distillation: the mathematics of fitting token vectors, on small random arrays."""

from __future__ import annotations

import numpy as np
from scipy.sparse import csr_array

from rung.training.students.static_distillation import (
    fit_vectors,
    frequency_weights,
    initial_vectors,
    mapped_vectors,
    principal_directions,
    shared_map,
)


def made_up(seed: int = 0) -> tuple[csr_array, np.ndarray, np.ndarray]:
    """Token counts of texts, the unit targets of hidden token vectors, and those vectors; token 0 occurs nowhere."""
    rng = np.random.default_rng(seed)
    hidden = rng.normal(size=(40, 6)).astype(np.float32)
    counts = rng.poisson(0.15, size=(3000, 40)).astype(np.float32)
    counts[:, 0] = 0
    counts[counts.sum(axis=1) == 0, 1] = 1
    sums = counts @ hidden
    return csr_array(counts), sums / np.linalg.norm(sums, axis=1, keepdims=True), hidden


def agreement(counts: csr_array, targets: np.ndarray, vectors: np.ndarray) -> float:
    sums = counts @ vectors
    return float(np.mean(np.sum(sums * targets, axis=1) / np.linalg.norm(sums, axis=1)))


def test_a_fit_finds_vectors_that_explain_the_texts() -> None:
    """If texts are sums of token vectors, fitting from a bad start recovers the texts' directions."""
    counts, targets, hidden = made_up()
    start = hidden + np.random.default_rng(1).normal(size=hidden.shape).astype(np.float32)
    fitted = fit_vectors(counts, targets, start, rounds=100, rng=np.random.default_rng(2))
    assert agreement(counts, targets, start) < 0.9
    assert agreement(counts, targets, fitted) > 0.95


def test_a_token_that_no_text_holds_keeps_its_start_exactly() -> None:
    """The fit changes only tokens that occur, so unfitted vectors can be made again without the texts."""
    counts, targets, hidden = made_up()
    fitted = fit_vectors(counts, targets, hidden, rounds=2, rng=np.random.default_rng(2))
    assert np.array_equal(fitted[0], hidden[0])
    assert not np.array_equal(fitted[1], hidden[1])


def test_no_rounds_give_the_start() -> None:
    """Zero rounds return the start unchanged."""
    counts, targets, hidden = made_up()
    assert np.array_equal(fit_vectors(counts, targets, hidden, rounds=0, rng=np.random.default_rng(0)), hidden)


def test_the_same_seed_gives_the_same_vectors() -> None:
    """The same seed repeats a fit exactly."""
    counts, targets, hidden = made_up()
    first, second = (
        fit_vectors(counts, targets, hidden * 0.5, rounds=3, rng=np.random.default_rng(7)) for _ in range(2)
    )
    assert np.array_equal(first, second)


def test_principal_directions_keep_the_most() -> None:
    """They are orthonormal and keep as much of the rows' squared length as any directions can."""
    rows = np.random.default_rng(0).normal(size=(500, 8)).astype(np.float32) * np.arange(8, 0, -1, dtype=np.float32)
    kept = principal_directions(rows, 3)
    assert np.allclose(kept.T @ kept, np.eye(3), atol=1e-5)
    best = np.linalg.svd(rows, compute_uv=False)[:3] ** 2
    assert np.isclose(np.sum((rows @ kept) ** 2), best.sum(), rtol=1e-4)


def test_frequent_tokens_weigh_less() -> None:
    """A token that never occurs weighs 1, one with a share of `half` weighs one half, and more frequent ones less."""
    weights = frequency_weights(np.array([0, 1, 999]), 1000, half=1e-3)
    assert np.allclose(weights[:2], [1, 0.5])
    assert weights[2] < 0.01
    assert np.allclose(np.linalg.norm(initial_vectors(np.eye(3), np.zeros(3), np.eye(3), weights), axis=1), weights)


def test_the_shared_map_generalizes_to_unseen_tokens() -> None:
    """If vectors are an affine function of the encoder's embeddings, tokens that no text holds get the right vectors."""
    rng = np.random.default_rng(0)
    tokens, turn = rng.normal(size=(500, 5)), rng.normal(size=(5, 3))
    vectors = tokens @ turn + 1.0
    counts = np.where(np.arange(500) < 400, 1000, 0)
    garbled = np.where(counts[:, None] > 0, vectors, 99.0)
    assert np.allclose(mapped_vectors(tokens, shared_map(tokens, garbled, counts)), vectors, atol=1e-3)
