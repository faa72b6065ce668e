"""Labelled texts in two or more parts of like labels, so that what is learned from some is judged by the others."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from rung.decide.calibration import Temperature
from rung.intervals import interval

Indices = npt.NDArray[np.intp]
Flags = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]

LEAST = 1e-12  # a probability, as far as its logarithm is taken


@dataclass(frozen=True)
class Judged:
    """Held-out texts answered in two ways: places of the true labels (n,), and probabilities (n, k) of both ways."""

    truth: Indices
    frozen: Floats
    tuned: Floats

    @cached_property
    def right(self) -> dict[str, Flags]:
        """Which texts each way answers rightly."""
        both = {"frozen": self.frozen, "tuned": self.tuned}
        return {way: said.argmax(axis=1) == self.truth for way, said in both.items()}

    @cached_property
    def gains(self) -> Floats:
        """log of how many times as probable the tuned weights make each text's true label (n,).

        Each way stands at the temperature that suits it best, so that neither is ahead for being more or less sure. With a few
        dozen labels this tells what a count of right answers does not (docs/log.md).
        """
        return _best_likelihood(self.tuned, self.truth) - _best_likelihood(self.frozen, self.truth)

    @property
    def surely(self) -> float:
        """The mean gain in its standard errors; 0 where nothing differs."""
        error = self.gains.std() / len(self.truth) ** 0.5
        return float(self.gains.mean() / error) if error else 0.0

    def with_more(self, other: Judged) -> Judged:
        """These texts and others."""
        return Judged(
            np.concatenate([self.truth, other.truth]),
            np.concatenate([self.frozen, other.frozen]),
            np.concatenate([self.tuned, other.tuned]),
        )

    def in_words(self) -> str:
        """What was seen, for a guard's sentence."""
        tuned, frozen = self.right["tuned"].mean(), self.right["frozen"].mean()
        ratio = np.exp(self.gains.mean())
        return (
            f"on {len(self.truth)} held-out labels {tuned:.1%} right tuned, {frozen:.1%} right frozen, "
            f"{ratio:.2f} times as probable tuned"
        )

    def as_dict(self) -> dict[str, object]:
        """For a record: shares with their 95 % intervals, and the mean gain."""
        told: dict[str, object] = {way: share(right) for way, right in self.right.items()}
        return told | {"texts": len(self.truth), "gain": float(self.gains.mean()), "standard_errors": self.surely}


def _best_likelihood(probabilities: Floats, labels: Indices) -> Floats:
    """log p (n,) of the true labels at the likeliest temperature."""
    logs = np.log(np.maximum(probabilities, LEAST))
    at_best = Temperature(prior_spread=np.inf).fit(logs, labels).log_posterior(logs)
    return np.asarray(at_best[np.arange(len(labels)), labels])


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
