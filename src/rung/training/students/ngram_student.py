"""The n-gram student: a linear model on counts of words, pairs of words and pieces of words, fitted to the teacher's answers."""

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
ROUNDS = 60  # of L-BFGS; more make no difference on unseen texts
MIN_TEXTS_PER_GRAM = 2  # a gram of a single text says nothing about other texts, and half of all grams are such
_ALL_BUCKETS = np.arange(BUCKETS, dtype=np.int32)


@dataclass(frozen=True)
class NgramCounts:
    """The gram counts of n texts (n, kept), and the bucket of each column."""

    counts: csr_array
    buckets: npt.NDArray[np.int32]


def count_ngrams(texts: Sequence[str]) -> NgramCounts:
    """Count the grams that occur in at least two texts, or all grams if no two texts share one."""
    from scipy.sparse import csr_array, vstack

    parts = [read_grams(texts[i : i + CHUNK], _ALL_BUCKETS, BUCKETS).counts() for i in range(0, len(texts), CHUNK)]
    counts = csr_array(vstack(parts))
    frequency = np.bincount(counts.indices, minlength=BUCKETS)
    frequent = frequency >= MIN_TEXTS_PER_GRAM
    kept = np.flatnonzero(frequent if frequent.any() else frequency > 0)
    return NgramCounts(csr_array(counts[:, kept]), kept.astype(np.int32))


def fit_ngram(
    ngrams: NgramCounts, teacher: Floats, labels: Indices | None = None, **loss_settings: Any
) -> tuple[Floats, Floats]:
    """W (kept, k) and b (k,) fitted to the teacher's log p (n, k); `loss_settings` go to `rung.rungs.linear.fit_student`."""
    return fit_student(ngrams.counts, teacher, labels, penalty=PENALTY, rounds=ROUNDS, **loss_settings)


@one_thread()
def write_backbone(ngrams: NgramCounts, W: Floats, size: int, folder: Path) -> NgramBackbone:
    """Write the backbone into `folder`. Its features keep the logits of W (kept, k), in at most `size` directions and one more.

    The directions are those along which the logits of the texts vary most. For k labels there are k − 1, because a part that all
    labels share has no effect; with `size` ≥ k − 1 nothing is lost.
    """
    W = W - W.mean(axis=1, keepdims=True)
    logits = ngrams.counts @ W.astype(np.float32)
    directions = np.linalg.eigh(logits.T.astype(np.float64) @ logits)[1][:, ::-1][:, : min(size, W.shape[1] - 1)]
    directions *= np.sign(directions[np.abs(directions).argmax(axis=0), np.arange(directions.shape[1])])
    weights = (W @ directions).astype(np.float32)
    radius = float(np.linalg.norm(logits @ directions, axis=1).max())
    write_ngram(folder, ngrams.buckets, weights, radius or 1.0, {"origin": "n-grams fitted to a teacher's answers"})
    return NgramBackbone.open(folder, "ngram")
