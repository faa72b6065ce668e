"""Softmax of large matrices: in place, in blocks of rows that fit into a processor's cache."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

_Matrix = TypeVar("_Matrix", bound=npt.NDArray[np.floating[Any]])

IN_CACHE = 1 << 18  # numbers: a megabyte of float32
_NOTHING = 1e-26  # of the largest of a row; smaller values become 0: products of denormal numbers take 30 times as long
_IN_MEMORY = 1 << 22  # numbers: large enough for matrix products at full speed, small beside the arrays that are kept


def blocks(shape: tuple[int, ...], size: int = _IN_MEMORY) -> Iterator[slice]:
    """Slices that together cover the n rows of a matrix of shape (n, k), each of at most `size` numbers, or of one row.

    >>> list(blocks((3, 10), size=20))
    [slice(0, 2, None), slice(2, 3, None)]
    """
    n, k = shape
    step = max(size // max(k, 1), 1)
    return (slice(start, min(start + step, n)) for start in range(0, n, step))


def to_probabilities(logits: _Matrix) -> _Matrix:
    """Replace each row of logits (n, k) by its softmax, and return them.

    >>> to_probabilities(np.zeros((1, 2)))
    array([[0.5, 0.5]])
    """
    for rows in blocks(logits.shape, size=IN_CACHE):
        part = logits[rows]
        part -= part.max(axis=1, keepdims=True)
        np.exp(part, out=part)
        part *= part > _NOTHING
        part /= part.sum(axis=1, keepdims=True)
    return logits


def to_log_probabilities(logits: _Matrix) -> _Matrix:
    """Replace each row of logits (n, k) by the logarithm of its softmax, and return them.

    >>> to_log_probabilities(np.zeros((1, 2))).round(2)
    array([[-0.69, -0.69]])
    """
    for rows in blocks(logits.shape, size=IN_CACHE):
        part = logits[rows]
        part -= part.max(axis=1, keepdims=True)
        part -= np.log(np.exp(part).sum(axis=1, keepdims=True))
    return logits
