"""Nearest neighbors among landmarks, at a cost that is linear in the number of texts."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_matrix

from rung.evidence.hashing import by_hash
from rung.threads import matmul

Rows = npt.NDArray[np.float32]
Indices = npt.NDArray[np.intp]

_CHUNK = 2048  # rows of the similarity matrix in memory


def sample(features: Rows, size: int) -> Indices:
    """Places of at most `size` rows, those with the smallest hashes: the choice does not depend on their order."""
    if len(features) <= size:
        return np.arange(len(features))
    return np.sort(by_hash(features)[:size])


def centred(features: Rows, centre: npt.NDArray[np.float64]) -> Rows:
    """unit(x − x̄) of each row; the difference is float64, since hashes of the result must not depend on its last digit."""
    moved = features - centre
    moved /= np.maximum(np.linalg.norm(moved, axis=1, keepdims=True), 1e-9)
    return moved.astype(np.float32)


def nearest(features: Rows, landmarks: Rows, count: int, *, own: Indices | None = None, power: int = 1) -> csr_matrix:
    """Weights (n, m) of the `count` nearest landmarks of each text: cosines, at least 0, to a `power`; each row sums to 1.

    own (m,) holds the text that each landmark is, if landmarks are among the texts: a text is not its own neighbor.
    A text without a neighbor gets an empty row.
    """
    n, m = len(features), len(landmarks)
    count = min(count, m - (own is not None))
    if n == 0 or count < 1:
        return csr_matrix((n, m), dtype=np.float32)
    columns = np.empty((n, count), dtype=np.intp)
    cosines = np.empty((n, count), dtype=np.float32)
    for start in range(0, n, _CHUNK):
        block = slice(start, start + _CHUNK)
        near = matmul(features[block], landmarks.T)
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
