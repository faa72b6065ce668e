"""What to label next: texts that stand for many others, as many for every label."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from rung.evidence import Array, unit
from rung.evidence.hashing import by_hash
from rung.threads import matmul, one_thread

Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.intp]

_CANDIDATES = 1000  # texts a label, so that their mutual cosines fit in memory whatever the pool
_SAME = 1 - 1e-5  # the cosine of a text with itself, as float32 has it


@one_thread()
def suggest(features: Array, probabilities: Floats, n: int, known: Indices | None = None) -> Indices:
    """Places of at most `n` texts whose labels would help most, the most helpful first, so that stopping early is no loss.

    features (N, d), probabilities (N, k) as far as they are known; known (N,) are the labels given so far, −1 where nothing is
    known, −2 where a text is known to have none of them.
    Labels take turns: next is the one with the fewest texts, given or suggested, among its predicted texts. Of these it
    picks the one that, with all picked before and all known, leaves the predicted texts best covered:
        max_j  Σ_i p_i max(cos(z_i, z_j) − c_i, 0),    c_i the largest cosine of i to what is picked or known,  z = x − x̄.
    So texts lie at the centres of different parts of a label; how unsure an answer is plays no part, which would pick
    odd texts. A text is suggested once, however often it occurs, and not where it is known. The order of texts plays no
    part. Of a label with more than 1000 predicted texts, the 1000 of the smallest hashes are looked at.
    Source for the greedy choice: Nemhauser, Wolsey, Fisher 1978 (facility location).
    """
    given = np.full(len(features), -1) if known is None else np.asarray(known)
    if n <= 0 or len(features) == 0:
        return np.zeros(0, dtype=np.intp)
    z = unit(features - features.mean(axis=0))
    order = by_hash(features)
    order = order[given[order] == -1]
    predicted = probabilities.argmax(axis=1)
    counts = np.bincount(given[given >= 0], minlength=probabilities.shape[1])
    queues, sizes = {}, {}
    for label in np.unique(predicted[order]):
        members = order[predicted[order] == label][:_CANDIDATES]
        queues[label] = _centres(members, z, probabilities[:, label], z[given != -1])
        sizes[label] = float(probabilities[order, label].sum())
    return _in_turns(queues, counts, sizes, n)


def _in_turns(queues: dict[int, Iterator[int]], counts: Indices, sizes: dict[int, float], n: int) -> Indices:
    """One text from the label with the fewest at a time, larger labels first, until all queues are empty."""
    chosen: list[int] = []
    counts = counts.copy()
    while queues and len(chosen) < n:
        label = min(queues, key=lambda each: (counts[each], -sizes[each]))
        found = next(queues[label], None)
        if found is None:
            del queues[label]
        else:
            chosen.append(found)
            counts[label] += 1
    return np.array(chosen, dtype=np.intp)


def _centres(members: Indices, z: Array, weights: Floats, known: Array) -> Iterator[int]:
    """Members in the order in which they add most to what is covered; equal texts once, those equal to a known one never."""
    cosines = matmul(z[members], z[members].T)
    covered = matmul(z[members], known.T).max(axis=1, initial=-1.0)
    open_ = covered < _SAME
    while open_.any():
        gains = np.maximum(cosines - covered, 0) @ weights[members]
        best = int(np.where(open_, gains, -1.0).argmax())
        yield int(members[best])
        covered = np.maximum(covered, cosines[best])
        open_ &= cosines[best] < _SAME
        open_[best] = False
