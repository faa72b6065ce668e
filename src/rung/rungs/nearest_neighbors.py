"""Neighbours among landmarks: what the texts around a text are called, at a cost linear in the texts."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_matrix

from rung.evidence.hashing import by_hash

Rows = npt.NDArray[np.float32]
Indices = npt.NDArray[np.intp]

_AT_ONCE = 2048  # rows of the similarity matrix held at a time


def sample(features: Rows, size: int) -> Indices:
    """Which rows to keep, at most `size` of them: those of the smallest hashes, so that their order plays no part."""
    if len(features) <= size:
        return np.arange(len(features))
    return np.sort(by_hash(features)[:size])


def centred(features: Rows, centre: npt.NDArray[np.float64]) -> Rows:
    """unit(x − x̄) of each row: differenced in float64, since hashes of the outcome must not hang on its last digit."""
    moved = features - centre
    moved /= np.maximum(np.linalg.norm(moved, axis=1, keepdims=True), 1e-9)
    return moved.astype(np.float32)


def nearest(features: Rows, landmarks: Rows, count: int, *, own: Indices | None = None, power: int = 1) -> csr_matrix:
    """Weights (n, m) of each text's `count` nearest landmarks: their cosines (at least 0) to a `power`, each row summing to 1.

    `own` (m,) says which text each landmark is, if the landmarks are among the texts: a text is no neighbour of itself.
    A text with no neighbour gets an empty row.
    """
    n, m = len(features), len(landmarks)
    count = min(count, m - (own is not None))
    if n == 0 or count < 1:
        return csr_matrix((n, m), dtype=np.float32)
    columns = np.empty((n, count), dtype=np.intp)
    cosines = np.empty((n, count), dtype=np.float32)
    for start in range(0, n, _AT_ONCE):
        block = slice(start, start + _AT_ONCE)
        near = features[block] @ landmarks.T
        if own is not None:
            mine = np.flatnonzero((own >= start) & (own < start + len(near)))
            near[own[mine] - start, mine] = -np.inf
        best = np.argpartition(near, m - count, axis=1)[:, m - count :]
        columns[block], cosines[block] = best, np.take_along_axis(near, best, axis=1)
    return _rows_to_one(columns, np.maximum(cosines, 0.0) ** power, m)


def _rows_to_one(columns: Indices, weights: Rows, m: int) -> csr_matrix:
    n, count = columns.shape
    weights = weights / np.maximum(weights.sum(axis=1, keepdims=True), 1e-12)
    return csr_matrix((weights.ravel(), columns.ravel(), np.arange(0, n * count + 1, count)), shape=(n, m))
