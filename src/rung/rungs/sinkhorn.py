"""Balance scores over labels: offsets that make the labels' mean probabilities what they should be."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

_ROUNDS = 20  # each round is one Sinkhorn step; after 20 the columns are within a percent of their targets
_LEAST = 1e-12  # a label that no text leans to must not get an infinite offset


def offsets(scores: npt.NDArray[np.floating[Any]], shares: Floats) -> Floats:
    """Offsets (k,) v such that softmax(scores + v) has column means near `shares`.

    scores are (n, k) logits and shares (k,) sum to 1. The rows' own sums are kept by the softmax, so that this is the
    entropic transport of n texts to k labels of given size. Source: Sinkhorn 1967; Cuturi 2013, algorithm 1.
    """
    # exp once, then two products a round; in float64, where no offset that 20 rounds can reach makes a row vanish
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
