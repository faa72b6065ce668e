"""Learn what every word, pair of words and piece of a word says of a teacher's labels: the n-gram student."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from rung.backbones.ngram import BUCKETS, CHUNK, NgramBackbone, read_grams, write_ngram
from rung.rungs.linear import Floats, Indices, fit_student
from rung.threads import one_thread

if TYPE_CHECKING:
    from scipy.sparse import csr_array

PENALTY = 3e-6
ROUNDS = 60  # of L-BFGS: later ones move nothing that a text not seen would notice
ENOUGH = 2  # texts that hold a gram: one met once says nothing of other texts, and is half of all grams
_EVERY = np.arange(BUCKETS, dtype=np.int32)


@dataclass(frozen=True)
class Counted:
    """Texts as counts of their grams (n, kept), with the bucket of each column."""

    counts: csr_array
    buckets: npt.NDArray[np.int32]


def count(texts: Sequence[str]) -> Counted:
    """Count the grams that at least two of the texts hold; all of them where no two texts share one."""
    from scipy.sparse import csr_array, vstack

    parts = [read_grams(texts[i : i + CHUNK], _EVERY, BUCKETS).counts() for i in range(0, len(texts), CHUNK)]
    counts = csr_array(vstack(parts))
    met = np.bincount(counts.indices, minlength=BUCKETS)
    kept = np.flatnonzero(met >= ENOUGH if (met >= ENOUGH).any() else met > 0)
    return Counted(csr_array(counts[:, kept]), kept.astype(np.int32))


def fit_ngram(counted: Counted, teacher: Floats, labels: Indices | None = None, **how: Any) -> tuple[Floats, Floats]:
    """W (kept, k) and b (k,) that imitate the teacher's log p (n, k); `how` goes to `rung.rungs.linear.fit_student`."""
    return fit_student(counted.counts, teacher, labels, penalty=PENALTY, rounds=ROUNDS, **how)


@one_thread()
def as_backbone(counted: Counted, W: Floats, size: int, folder: Path) -> NgramBackbone:
    """The backbone in `folder` whose rows keep what W (kept, k) says, in at most `size` directions and one more.

    The directions are those along which the texts' logits vary most; k labels have k − 1, for what all labels share says
    nothing, so that with `size` ≥ k − 1 nothing is lost.
    """
    W = W - W.mean(axis=1, keepdims=True)
    logits = counted.counts @ W.astype(np.float32)
    directions = np.linalg.eigh(logits.T.astype(np.float64) @ logits)[1][:, ::-1][:, : min(size, W.shape[1] - 1)]
    directions *= np.sign(directions[np.abs(directions).argmax(axis=0), np.arange(directions.shape[1])])
    weights = (W @ directions).astype(np.float32)
    radius = float(np.linalg.norm(logits @ directions, axis=1).max())
    write_ngram(folder, counted.buckets, weights, radius or 1.0, {"origin": "n-grams fitted to a teacher's answers"})
    return NgramBackbone.open(folder, "ngram")
