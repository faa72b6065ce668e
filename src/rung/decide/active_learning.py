"""What to label next: texts that represent many others, equally many for every label."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from rung.evidence import Array, unit
from rung.evidence.hashing import by_hash
from rung.threads import matmul, one_thread

Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.intp]

_CANDIDATES = 1000  # texts of each label, so that their mutual cosines fit in memory however large the pool is
_SAME = 1 - 1e-5  # the cosine of a text with itself in float32


@one_thread()
def suggest(features: Array, probabilities: Floats, n: int, known: Indices | None = None) -> Indices:
    """Places of at most `n` texts whose labels would help most, the most helpful first, so that a person can stop at any text.

    features (N, d), probabilities (N, k); known (N,) are the labels given so far, −1 where nothing is known, −2 where a text is
    known to have none of the labels.
    Labels take turns: next is the label with the fewest given or suggested texts. Of the texts that are predicted to have this
    label, the one is picked that covers them best, together with all texts picked before and all known ones:
        max_j  Σ_i p_i max(cos(z_i, z_j) − c_i, 0),    c_i the largest cosine of i to what is picked or known,  z = x − x̄.
    So the texts are at the centers of different parts of a label. The uncertainty of an answer has no effect, since it would
    select odd texts. A text is suggested once, however often it occurs, and never if its label is known. The order of the texts
    has no effect. Of a label with more than 1000 predicted texts, the 1000 with the smallest hashes are candidates.
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
        queues[label] = _most_covering(members, z, probabilities[:, label], z[given != -1])
        sizes[label] = float(probabilities[order, label].sum())
    return _round_robin(queues, counts, sizes, n)


def _round_robin(queues: dict[int, Iterator[int]], counts: Indices, sizes: dict[int, float], n: int) -> Indices:
    """One text at a time from the label with the fewest texts, the larger label first, until n texts are chosen or none is left."""
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


def _most_covering(members: Indices, z: Array, weights: Floats, known: Array) -> Iterator[int]:
    """Members in the order of how much they add to the coverage; equal texts once, texts equal to a known one never."""
    cosines = matmul(z[members], z[members].T)
    covered = matmul(z[members], known.T).max(axis=1, initial=-1.0)
    available = covered < _SAME
    while available.any():
        gains = np.maximum(cosines - covered, 0) @ weights[members]
        best = int(np.where(available, gains, -1.0).argmax())
        yield int(members[best])
        covered = np.maximum(covered, cosines[best])
        available &= cosines[best] < _SAME
        available[best] = False
