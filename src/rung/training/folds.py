"""Labelled texts in two or more parts of like labels, so that what is learned from some is judged by the others."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from rung.intervals import interval

Indices = npt.NDArray[np.intp]
Flags = npt.NDArray[np.bool_]


class Judged(NamedTuple):
    """Held-out texts on which two ways differ or do not: right answers of both."""

    frozen: Flags
    tuned: Flags

    @property
    def gain(self) -> float:
        """By what share more texts are right with the tuned weights."""
        return float(self.tuned.mean() - self.frozen.mean())

    @property
    def surely(self) -> float:
        """The gain in standard errors of the paired difference; 0 where nothing differs."""
        won, lost = int((self.tuned & ~self.frozen).sum()), int((self.frozen & ~self.tuned).sum())
        return (won - lost) / (won + lost) ** 0.5 if won + lost else 0.0

    def with_more(self, other: Judged) -> Judged:
        """These texts and others."""
        return Judged(*map(np.concatenate, zip(self, other, strict=True)))

    def as_dict(self) -> dict[str, object]:
        """For a record: shares with their 95 % intervals."""
        both = {"frozen": self.frozen, "tuned": self.tuned}
        return {name: share(each) for name, each in both.items()} | {"texts": len(self.frozen)}


def share(right: Flags) -> dict[str, object]:
    """Share of right answers with its 95 % interval."""
    return {"share": round(float(right.mean()), 4), "interval": list(interval(int(right.sum()), len(right)))}


def parts(labels: Indices, texts: list[str], count: int, seed: int) -> Indices:
    """The part (n,) of each labelled text, 0 to count − 1: labels are dealt out evenly, equal texts stay together."""
    rng = np.random.default_rng(seed)
    part = np.zeros(len(labels), dtype=np.intp)
    first: dict[str, int] = {}
    turn = 0
    for label in np.unique(labels):
        for i in rng.permutation(np.flatnonzero(labels == label)).tolist():
            if texts[i] not in first:
                first[texts[i]] = turn % count
                turn += 1
            part[i] = first[texts[i]]
    return part
