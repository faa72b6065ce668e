"""Evidence that tests construct: clusters of texts, and label names near them."""

from __future__ import annotations

import numpy as np

from rung.evidence import Evidence, unit


def of(features: np.ndarray, anchors: np.ndarray) -> Evidence:
    """Evidence with these features (n, d) and anchors (k, d), without general texts."""
    rows, names = unit(features.astype(np.float32)), unit(anchors.astype(np.float32))
    return Evidence(rows, names, names[:0], np.ones(len(rows), dtype=bool))


def clusters(
    counts: list[int], d: int = 24, noise: float = 0.1, astray: float = 0.1, seed: int = 0
) -> tuple[Evidence, np.ndarray]:
    """Texts around one center per label, label names at the distance `astray` from the centers, and the true labels."""
    rng = np.random.default_rng(seed)
    common = 2 * rng.normal(size=d) / np.sqrt(d)
    centers = rng.normal(size=(len(counts), d)) / np.sqrt(d)
    truth = rng.permutation(np.repeat(np.arange(len(counts)), counts))
    texts = common + centers[truth] + noise * rng.normal(size=(len(truth), d))
    return of(texts, common + centers + astray * rng.normal(size=centers.shape)), truth


def accuracy(log_posterior: np.ndarray, truth: np.ndarray) -> float:
    return float((log_posterior.argmax(axis=1) == truth).mean())
