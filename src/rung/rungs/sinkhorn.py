"""Sinkhorn balancing: offsets by which the mean probabilities of the labels become given shares."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

_ROUNDS = 20  # each round is one Sinkhorn step; after 20 the columns are within a percent of their targets
_LEAST = 1e-12  # keeps the offset finite for a label that no text is near to


def offsets(scores: npt.NDArray[np.floating[Any]], shares: Floats) -> Floats:
    """Offsets (k,) v such that softmax(scores + v) has column means near `shares`.

    scores are (n, k) logits, and shares (k,) sum to 1. The softmax keeps the sum of each row, so the result is the entropic
    optimal transport of n texts to k labels of given sizes. Source: Sinkhorn 1967; Cuturi 2013, algorithm 1.
    """
    # exp is taken once; each round is then two products. float64, so that no offset of 20 rounds lets a row underflow
    kernel = scores.astype(np.float64)
    kernel -= kernel.max(axis=1, keepdims=True)
    np.exp(kernel, out=kernel)
    found = np.zeros(scores.shape[1])
    target = np.log(np.maximum(shares, _LEAST))
    for _ in range(_ROUNDS):
        scale = np.exp(found - found.max())
        columns = scale * ((1 / (kernel @ scale)) @ kernel) / len(kernel)
        found += target - np.log(np.maximum(columns, _LEAST))
    return found
