"""Linear probe: logistic regression on frozen features, with the rung below as an offset."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Self

import numpy as np
import numpy.typing as npt

from rung.evidence import Evidence
from rung.evidence.hashing import hashes
from rung.messages import tr_n
from rung.rungs.logistic import Logistic
from rung.rungs.nearest_neighbors import centred
from rung.rungs.pool import Pool
from rung.threads import one_thread

Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.intp]

_OFFSET_WEIGHTS = (0.0, 0.3, 1.0)
_PENALTIES = (0.01, 0.05, 0.3)
_FOLDS = 4


@dataclass
class Probe:
    """Logistic regression on the features of a frozen encoder.

    p(k | x) = softmax_k( βP + [z, 1] V ),   z = unit(x − x̄),   V as `Logistic` learns it with penalty λ

    P is the log posterior of the rung below. β in {0, .3, 1} and λ in {.01, .05, .3} are those under which held-out labels
    (4 folds, chosen by hashes) are most likely. The problem is convex, so the same labels give the same head.
    After `fit`: offset_weight_ (β), head_, labels_ (how many there were), and guard_. Without labels it is the rung below.
    """

    below: Pool = field(default_factory=Pool)
    guard_: str = field(init=False, default="")
    labels_: int = field(init=False, default=0)
    offset_weight_: float = field(init=False, default=1.0)
    head_: Logistic | None = field(init=False, default=None)
    centre_: Floats = field(init=False, repr=False)

    @one_thread()
    def fit(self, evidence: Evidence, known: Indices | None = None) -> Self:
        """Learn from texts and the labels known of some: known (n,) holds indices of labels, −1 where there is none."""
        self.below.fit(evidence)
        self.head_, self.guard_ = None, self.below.guard_
        given = np.full(len(evidence.features), -1) if known is None else np.where(evidence.ok, known, -1)
        shots = np.flatnonzero(given >= 0)
        if not len(shots):
            return self
        self.centre_ = evidence.features[evidence.ok].astype(np.float64).mean(axis=0)
        z, labels = centred(evidence.features[shots], self.centre_), given[shots]
        below = self.below.log_posterior(evidence.part(shots))
        ways = [(weight, penalty) for weight in _OFFSET_WEIGHTS for penalty in _PENALTIES]
        self.offset_weight_, penalty = max(ways, key=lambda way: _held_out(z, below, labels, *way))
        self.head_ = Logistic(penalty).fit(z, self.offset_weight_ * below, labels)
        self.labels_ = len(shots)
        self.guard_ = tr_n(
            "a head on frozen features, learned from {n:,} label; {guard}",
            "a head on frozen features, learned from {n:,} labels; {guard}",
            n=self.labels_,
            guard=self.guard_,
        )
        return self

    @property
    def guard_details_(self) -> dict[str, float]:
        """The figures behind `guard_`: those of the pool, how many labels there were, and the weight of the pool's answers."""
        if self.head_ is None:
            return self.below.guard_details_
        return self.below.guard_details_ | {"labels": float(self.labels_), "offset weight": self.offset_weight_}

    @one_thread()
    def log_posterior(self, evidence: Evidence) -> Floats:
        """log p(label | text), (n, k), natural; each row by itself."""
        below = self.below.log_posterior(evidence)
        if self.head_ is None:
            return below
        return self.head_.log_posterior(centred(evidence.features, self.centre_), self.offset_weight_ * below)


def _held_out(z: npt.NDArray[np.float32], below: Floats, labels: Indices, weight: float, penalty: float) -> float:
    """The mean log-likelihood of labels that a fold's head did not see."""
    part = hashes(z) % _FOLDS
    scores = []
    for fold in np.unique(part):
        unseen = part == fold
        if not unseen.all():
            head = Logistic(penalty).fit(z[~unseen], weight * below[~unseen], labels[~unseen])
            told = head.log_posterior(z[unseen], weight * below[unseen])
            scores += told[np.arange(len(told)), labels[unseen]].tolist()
    return float(np.mean(scores)) if scores else 0.0
