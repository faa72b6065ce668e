"""Confidence that can be used: a temperature learned from labels, and sets of labels that hold the true one."""

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

_COLDEST, _HOTTEST = 0.01, 200.0  # an EM posterior is sometimes a hundred times too sure
_PRIOR_SPREAD = 0.25  # of log T: with this, five labels already help on the mean of eight sets; with .5 or 1 they harm


@dataclass
class Temperature:
    """One number that makes probabilities honest, learned from a few labels: p = softmax(log p / T).

    T minimizes  −Σ_i log softmax(log p_i / T)[y_i] + ½ (log T / ¼)²:  with no label T is 1, with few it stays near 1.
    Give it the pool rung's log p, which is tempered without labels and nearly right already. The order of the labels never
    changes, so neither does an answer. The labelled texts must be others than those that log p was learned from.
    prior_spread is the ¼; if it is infinite, the labels alone decide. After `fit`: temperature_. Source: Guo and others 2017,
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

        found = minimize_scalar(loss, bounds=(np.log(_COLDEST), np.log(_HOTTEST)), method="bounded")
        self.temperature_ = float(np.exp(found.x)) if len(labels) else 1.0
        return self

    def log_posterior(self, log_posterior: Floats) -> Floats:
        """log p (n, k) at the learned temperature, rows of exp sum to 1."""
        return np.asarray(log_softmax(log_posterior / self.temperature_, axis=1))


@dataclass
class ConformalSets:
    """Sets of labels that hold the true one in `level` of all texts, whatever the probabilities are worth.

    A set holds the labels with −log p ≤ q, and always the most probable one; q is the ⌈(m + 1) · level⌉-th smallest
    −log p(true label) of m labelled texts that log p was not learned from. With too few of them q is infinite and every
    set holds all labels. After `fit`: threshold_ (q), spread_: the coverage of one such calibration lies this far (one standard
    deviation) from `level`, since the m texts are a sample. Sources: Vovk, Gammerman, Shafer 2005; Vovk 2012 for the spread.
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
    """What labelled texts that nothing was learned from say of log p: its temperature, and how far true labels fall short.

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
    """The same for labels that are independent of each other, from the log-odds o_k of each.

    p_k = σ(o_k / T): one T for all labels, which minimizes  −Σ log p(mark) + ½ (log T / ¼)²  over all marks that are known, so that
    the labels above ½ stay the same. The set of a text holds the labels with −o_k ≤ q; q is the ⌈(m + 1) · level⌉-th smallest of
    max over the true labels of −o_k, over m texts all of whose marks are known: so a set holds *all* true labels of a text in
    `level` of all texts. A text without a label counts as held by any set; a set may be empty.
    After `fit`: temperature_ (T), losses_ (m,), that maximum for each text.
    """

    temperature_: float = field(init=False, default=1.0)
    losses_: Floats = field(init=False, repr=False)

    def fit(self, log_odds: Floats, marks: Floats) -> Self:
        """Learn from log-odds (m, k) of m texts and their marks (m, k): 1 carries the label, 0 does not, NaN not known."""
        known = ~np.isnan(marks)
        signed = ((2 * marks - 1) * log_odds)[known]

        def loss(log_t: float) -> float:
            return float(np.logaddexp(0.0, -signed / np.exp(log_t)).sum() + (log_t / _PRIOR_SPREAD) ** 2 / 2)

        found = minimize_scalar(loss, bounds=(np.log(_COLDEST), np.log(_HOTTEST)), method="bounded")
        self.temperature_ = float(np.exp(found.x)) if known.any() else 1.0
        whole = known.all(axis=1)
        self.losses_ = np.where(marks[whole] == 1, -log_odds[whole], -np.inf).max(axis=1, initial=-np.inf)
        return self

    def log_odds(self, log_odds: Floats) -> Floats:
        """Log-odds (n, k) at the learned temperature."""
        return np.asarray(log_odds / self.temperature_)

    def sets(self, log_odds: Floats, level: float) -> npt.NDArray[np.bool_]:
        """Which labels (n, k) are in the set of each text, from log-odds before any temperature."""
        return np.asarray(-log_odds <= ConformalSets(level).fit_losses(self.losses_).threshold_)


def least_labels(level: float) -> int:
    """How many labelled texts it takes for sets at `level` that exclude anything; twenty times as many make them steady.

    >>> least_labels(0.9), least_labels(0.8)
    (9, 4)
    """
    return int(np.ceil(level / (1 - level) - 1e-9))
