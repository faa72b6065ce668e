"""Cross-validation: stratified folds of labelled texts, and two classifiers compared on the texts that were held out."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from rung.decide.calibration import Temperature
from rung.intervals import interval
from rung.messages import tr

Indices = npt.NDArray[np.intp]
Flags = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]

MIN_PROBABILITY = 1e-12  # probabilities are clipped here before the logarithm is taken


@dataclass(frozen=True)
class HeldOutComparison:
    """The frozen and the tuned classifier on the same held-out texts.

    truth (n,) are the indices of the true labels; frozen and tuned (n, k) are the probabilities that each classifier gives.
    """

    truth: Indices
    frozen: Floats
    tuned: Floats

    @cached_property
    def correct(self) -> dict[str, Flags]:
        """Which texts (n,) each classifier labels correctly."""
        both = {"frozen": self.frozen, "tuned": self.tuned}
        return {way: probabilities.argmax(axis=1) == self.truth for way, probabilities in both.items()}

    @cached_property
    def log_likelihood_gains(self) -> Floats:
        """log p_tuned − log p_frozen of each text's true label (n,).

        Each classifier is calibrated first, at its own best temperature, so that neither gains by being more or less confident.
        With a few dozen labels this shows differences that the accuracy does not show (docs/log.md).
        """
        return _calibrated_log_likelihood(self.tuned, self.truth) - _calibrated_log_likelihood(self.frozen, self.truth)

    @property
    def z_score(self) -> float:
        """The mean gain divided by its standard error; 0 where nothing differs."""
        error = self.log_likelihood_gains.std() / len(self.truth) ** 0.5
        return float(self.log_likelihood_gains.mean() / error) if error else 0.0

    def merged_with(self, other: HeldOutComparison) -> HeldOutComparison:
        """The comparison on the texts of both."""
        return HeldOutComparison(
            np.concatenate([self.truth, other.truth]),
            np.concatenate([self.frozen, other.frozen]),
            np.concatenate([self.tuned, other.tuned]),
        )

    def summary(self) -> str:
        """The figures of the comparison in one sentence part, which begins the sentence of the guard."""
        return tr(
            "on {labels} held-out labels {tuned:.1%} right tuned, {frozen:.1%} right frozen, {ratio:.2f} times as probable tuned",
            labels=len(self.truth),
            tuned=self.correct["tuned"].mean(),
            frozen=self.correct["frozen"].mean(),
            ratio=np.exp(self.log_likelihood_gains.mean()),
        )

    def as_dict(self) -> dict[str, object]:
        """The figures for a record: both accuracies with their 95 % intervals, and the mean gain."""
        facts: dict[str, object] = {way: _share_with_interval(correct) for way, correct in self.correct.items()}
        return facts | {
            "texts": len(self.truth),
            "gain": float(self.log_likelihood_gains.mean()),
            "standard_errors": self.z_score,
        }


def _calibrated_log_likelihood(probabilities: Floats, labels: Indices) -> Floats:
    """log p (n,) of the true labels at the temperature that makes them most probable."""
    logs = np.log(np.maximum(probabilities, MIN_PROBABILITY))
    at_best = Temperature(prior_spread=np.inf).fit(logs, labels).log_posterior(logs)
    return np.asarray(at_best[np.arange(len(labels)), labels])


def _share_with_interval(correct: Flags) -> dict[str, object]:
    """The accuracy with its 95 % interval."""
    return {"share": round(float(correct.mean()), 4), "interval": list(interval(int(correct.sum()), len(correct)))}


def stratified_folds(labels: Indices, texts: list[str], count: int, seed: int) -> Indices:
    """The fold (n,) of each labelled text, 0 to count − 1.

    Each label is spread evenly over the folds. Equal texts are in the same fold.
    """
    rng = np.random.default_rng(seed)
    fold = np.zeros(len(labels), dtype=np.intp)
    fold_of_text: dict[str, int] = {}
    turn = 0
    for label in np.unique(labels):
        for i in rng.permutation(np.flatnonzero(labels == label)).tolist():
            if texts[i] not in fold_of_text:
                fold_of_text[texts[i]] = turn % count
                turn += 1
            fold[i] = fold_of_text[texts[i]]
    return fold
