"""Balance scores over labels: offsets that make the labels' mean probabilities what they should be."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.special import softmax

Floats = npt.NDArray[np.float64]

_ROUNDS = 20  # each round is one Sinkhorn step; after 20 the columns are within a percent of their targets
_LEAST = 1e-12  # a label that no text leans to must not get an infinite offset


def offsets(scores: Floats, shares: Floats) -> Floats:
    """Offsets (k,) v such that softmax(scores + v) has column means near `shares`.

    scores are (n, k) logits and shares (k,) sum to 1. The rows' own sums are kept by the softmax, so that this is the
    entropic transport of n texts to k labels of given size. Source: Sinkhorn 1967; Cuturi 2013, algorithm 1.
    """
    found = np.zeros(scores.shape[1])
    target = np.log(np.maximum(shares, _LEAST))
    for _ in range(_ROUNDS):
        columns = softmax(scores + found, axis=1).mean(axis=0)
        found += target - np.log(np.maximum(columns, _LEAST))
    return found
