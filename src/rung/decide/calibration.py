"""Calibrated confidence: a temperature learned from labels, and sets of labels that contain the true one (conformal sets)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Self

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

from rung.errors import UserError

Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.intp]

_MIN_TEMPERATURE, _MAX_TEMPERATURE = (
    0.01,
    200.0,
)  # the log posterior of an EM fit is sometimes a hundred times too large
_PRIOR_SPREAD = (
    0.25  # of log T: with it five labels already help on average over eight data sets; with .5 or 1 they harm
)


@dataclass
class Temperature:
    """One number that calibrates probabilities, learned from a few labels: p = softmax(log p / T).

    T minimizes  −Σ_i log softmax(log p_i / T)[y_i] + ½ (log T / ¼)²:  with no label T is 1, with few it stays near 1.
    It expects the log p of the pool rung, which is tempered without labels and nearly calibrated already. T never changes the
    order of the labels of a text, so it changes no answer. log p must not have been learned from the labelled texts.
    prior_spread is the ¼; if it is infinite, the labels alone determine T. After `fit`: temperature_. Source: Guo and others 2017,
    section 4.2, with a prior on T.
    """

    prior_spread: float = _PRIOR_SPREAD
    temperature_: float = field(init=False, default=1.0)

    def fit(self, log_posterior: Floats, labels: Indices) -> Self:
        """Learn T from log p (m, k) of m labelled texts and their labels (m,), places in 0 … k − 1."""
        rows = np.arange(len(labels))

        def loss(log_t: float) -> float:
            likelihood = log_softmax(log_posterior / np.exp(log_t), axis=1)[rows, labels].sum()
            return float(-likelihood + (log_t / self.prior_spread) ** 2 / 2)

        found = minimize_scalar(loss, bounds=(np.log(_MIN_TEMPERATURE), np.log(_MAX_TEMPERATURE)), method="bounded")
        self.temperature_ = float(np.exp(found.x)) if len(labels) else 1.0
        return self

    def log_posterior(self, log_posterior: Floats) -> Floats:
        """log p (n, k) at the learned temperature, rows of exp sum to 1."""
        return np.asarray(log_softmax(log_posterior / self.temperature_, axis=1))


@dataclass
class ConformalSets:
    """Sets of labels that contain the true one in `level` of all texts, however good the probabilities are.

    A set contains the labels with −log p ≤ q, and always the most probable one; q is the ⌈(m + 1) · level⌉-th smallest
    −log p(true label) of m labelled texts that log p was not learned from. With too few of them q is infinite and every
    set contains all labels. After `fit`: threshold_ (q), and spread_, the standard deviation of the coverage around `level`, since
    the m texts are a sample. Sources: Vovk, Gammerman, Shafer 2005; Vovk 2012 for the spread.
    """

    level: float = 0.9
    threshold_: float = field(init=False, default=np.inf)
    spread_: float = field(init=False, default=0.5)

    def fit(self, log_posterior: Floats, labels: Indices) -> Self:
        """Learn q from log p (m, k) of m labelled texts and their labels (m,). Raises UserError unless 0 < level < 1."""
        return self.fit_losses(-log_posterior[np.arange(len(labels)), labels])

    def fit_losses(self, losses: Floats) -> Self:
        """Learn q from −log p(true label) of m texts (m,). Raises UserError unless 0 < level < 1."""
        if not 0 < self.level < 1:
            raise UserError("level: got {level}.", "Give a share between 0 and 1, such as 0.9.", level=self.level)
        m = len(losses)
        rank = int(np.ceil((m + 1) * self.level - 1e-9))
        self.threshold_ = float(np.sort(losses)[rank - 1]) if rank <= m else np.inf
        self.spread_ = float(np.sqrt(rank * max(m + 1 - rank, 0) / ((m + 1) ** 2 * (m + 2))))
        return self

    def contains(self, log_posterior: Floats) -> npt.NDArray[np.bool_]:
        """Which labels (n, k) are in each text's set."""
        inside: npt.NDArray[np.bool_] = -log_posterior <= self.threshold_
        inside[np.arange(len(inside)), log_posterior.argmax(axis=1)] = True
        return inside


@dataclass
class Calibration:
    """The calibration of log p by held-out labelled texts: its temperature, and the losses that conformal sets need.

    After `fit`: temperature_, losses_ (m,), the −log p of each text's true label before any temperature.
    """

    temperature_: Temperature = field(init=False, repr=False)
    losses_: Floats = field(init=False, repr=False)

    def fit(self, log_posterior: Floats, labels: Indices) -> Self:
        """Learn from log p (m, k) of m labelled texts and their labels (m,), places in 0 … k − 1."""
        self.temperature_ = Temperature().fit(log_posterior, labels)
        self.losses_ = -log_posterior[np.arange(len(labels)), labels]
        return self

    def sets(self, log_posterior: Floats, level: float) -> npt.NDArray[np.bool_]:
        """Which labels (n, k) are in the set of each text, from log p before any temperature."""
        return ConformalSets(level).fit_losses(self.losses_).contains(log_posterior)


@dataclass
class MultiLabelCalibration:
    """The calibration of labels that are independent of each other, by the log-odds o_k of each.

    p_k = σ(o_k / T): one T for all labels, which minimizes  −Σ log p(mark) + ½ (log T / ¼)²  over all known marks; the labels
    above ½ stay the same. The set of a text contains the labels with −o_k ≤ q; q is the ⌈(m + 1) · level⌉-th smallest of
    max over the true labels of −o_k, over m texts whose marks are all known. So a set contains *all* true labels of a text in
    `level` of all texts. A text without a label counts as covered by any set; a set may be empty.
    After `fit`: temperature_ (T), losses_ (m,), that maximum for each text.
    """

    temperature_: float = field(init=False, default=1.0)
    losses_: Floats = field(init=False, repr=False)

    def fit(self, log_odds: Floats, marks: Floats) -> Self:
        """Learn from log-odds (m, k) of m texts and their marks (m, k): 1 has the label, 0 does not, NaN is unknown."""
        known = ~np.isnan(marks)
        signed = ((2 * marks - 1) * log_odds)[known]

        def loss(log_t: float) -> float:
            return float(np.logaddexp(0.0, -signed / np.exp(log_t)).sum() + (log_t / _PRIOR_SPREAD) ** 2 / 2)

        found = minimize_scalar(loss, bounds=(np.log(_MIN_TEMPERATURE), np.log(_MAX_TEMPERATURE)), method="bounded")
        self.temperature_ = float(np.exp(found.x)) if known.any() else 1.0
        complete = known.all(axis=1)
        self.losses_ = np.where(marks[complete] == 1, -log_odds[complete], -np.inf).max(axis=1, initial=-np.inf)
        return self

    def log_odds(self, log_odds: Floats) -> Floats:
        """Log-odds (n, k) at the learned temperature."""
        return np.asarray(log_odds / self.temperature_)

    def sets(self, log_odds: Floats, level: float) -> npt.NDArray[np.bool_]:
        """Which labels (n, k) are in the set of each text, from log-odds before any temperature."""
        return np.asarray(-log_odds <= ConformalSets(level).fit_losses(self.losses_).threshold_)


def least_labels(level: float) -> int:
    """The least number of labelled texts with which a set at `level` can exclude a label; with twenty times as many it is stable.

    >>> least_labels(0.9), least_labels(0.8)
    (9, 4)
    """
    return int(np.ceil(level / (1 - level) - 1e-9))
