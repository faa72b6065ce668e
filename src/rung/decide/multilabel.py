"""Several labels at once: an independent yes or no for each, from the label's own wording and the unlabelled texts."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Self

import numpy as np
import numpy.typing as npt
from scipy.linalg import cho_factor, cho_solve
from scipy.special import expit

from rung.errors import UserError
from rung.evidence import Array, unit
from rung.threads import matmul, one_thread

Floats = npt.NDArray[np.float64]

_SLOPE = 2.0  # log-odds per standard deviation of a label's scores: less gives too few labels, more is overconfident
_SHRINKAGE = (
    0.5  # of the covariance, half way to a multiple of the identity: the few texts of a label say little of its shape
)
_ANCHOR_WEIGHT = 5.0  # the label's wording counts as this many texts in its mean
_ROUNDS = 3  # later rounds drift from the wording
_EPSILON = 1e-9  # identical texts have no spread
_HALVINGS = 50


@dataclass
class MultiLabel:
    """Decide for every label independently whether a text has it.

    p_k(x) = σ( 2 s_k(x) − c_k ),   s_k(x) = wₖᵀ(z − z̄),   c_k such that the mean of p_k over the pool is the label's share
    w_k = std( std( Σ̃⁻¹ m_k ) + std( a_k ) ),   m_k = ( N_k δ_k + 5 |δ_k| a_k ) / (N_k + 5),   δ_k = Σ_i p_ik (z_i − z̄) / N_k

    z = unit(x − x̄), a_k is the anchor of label k, N_k = Σ_i p_ik. Σ is the covariance of the pool, Σ̃ the same shrunk half way
    to a multiple of the identity, std(w) = w / √(wᵀΣw), so that scores have a standard deviation of 1. It starts at w_k = std(a_k)
    and takes three rounds. The column of a label does not depend on other labels; only the default share, 1 / k (on average one
    label a text), depends on their number.

    shares: the share of texts (k,) that have each label, None where it is not known.
    After `fit`: centre_ (d,), directions_ (d, k), offsets_ (k,), shares_ (k,).
    Log-odds are unit(x − centre_) · directions_ + offsets_.
    """

    shares: tuple[float | None, ...] | None = None
    centre_: Array = field(init=False, repr=False)
    directions_: Floats = field(init=False, repr=False)
    offsets_: Floats = field(init=False, repr=False)
    shares_: Floats = field(init=False, repr=False)

    @one_thread()
    def fit(self, features: Array, anchors: Array, background: Array) -> Self:
        """Learn from a pool (n, d), labels' anchors (k, d) and the mean of general texts (d,).

        Raises UserError for shares that are not between 0 and 1, and for an empty pool.
        """
        if len(features) == 0:
            raise UserError(
                "multi_label: there are no unlabelled texts to learn from.",
                "Fit it on unlabelled texts first:  fit(texts)",
            )
        self.shares_ = _checked(self.shares, len(anchors))
        self.centre_ = np.asarray(features.mean(axis=0), dtype=np.float32)
        z = unit(features - self.centre_).astype(np.float64)
        mean = z.mean(axis=0)
        z -= mean
        covariance = matmul(z.T, z) / len(z)
        identity = np.trace(covariance) / len(covariance) * np.eye(len(covariance))
        shrunk = cho_factor((1 - _SHRINKAGE) * covariance + _SHRINKAGE * identity + _EPSILON * np.eye(len(covariance)))
        wording = unit(anchors - np.float32(0.5) * background).T.astype(np.float64)
        directions = named = _standard(wording, covariance)
        offsets = _offsets(z @ directions, self.shares_)
        for _ in range(_ROUNDS):
            yes = expit(_SLOPE * (z @ directions) + offsets)
            count = yes.sum(axis=0)
            moved = z.T @ yes / np.maximum(count, _EPSILON)
            pulled = count * moved + _ANCHOR_WEIGHT * np.linalg.norm(moved, axis=0) * wording
            learned = cho_solve(shrunk, pulled / (count + _ANCHOR_WEIGHT))
            directions = _standard(_standard(learned, covariance) + named, covariance)
            offsets = _offsets(z @ directions, self.shares_)
        self.directions_ = _SLOPE * directions
        self.offsets_ = offsets - mean @ self.directions_
        return self

    @one_thread()
    def probabilities(self, features: Array) -> Floats:
        """How probable it is (n, k) that a text has a label; columns are independent, so rows need not sum to 1."""
        return np.asarray(expit(self.log_odds(features)))

    def log_odds(self, features: Array) -> Floats:
        """log p / (1 − p), (n, k)."""
        return np.asarray(unit(features - self.centre_) @ self.directions_ + self.offsets_)


def _checked(shares: tuple[float | None, ...] | None, k: int) -> Floats:
    """The share of each label (k,), 1 / k where it is not known."""
    if shares is None:
        return np.full(k, 1 / k)
    if len(shares) != k:
        raise UserError(
            "shares: got {n_shares} for {k} labels.",
            "Give one for each label, None where it is not known.",
            n_shares=len(shares),
            k=k,
        )
    for share in shares:
        if share is not None and not 0 < share < 1:
            raise UserError(
                "shares: got {share}.", "Give the share of texts that have the label, between 0 and 1.", share=share
            )
    return np.array([1 / k if share is None else share for share in shares])


def _standard(directions: Floats, covariance: Floats) -> Floats:
    """Directions (d, k) scaled so that scores have a standard deviation of 1."""
    spread = np.sqrt(np.maximum((directions * (covariance @ directions)).sum(axis=0), _EPSILON))
    return np.asarray(directions / spread)


def _offsets(scores: Floats, shares: Floats) -> Floats:
    """Offsets (k,) of the log-odds at which each label's mean probability is its share; by bisection."""
    low, high = np.full(len(shares), -1e3), np.full(len(shares), 1e3)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        over = expit(_SLOPE * scores + middle).mean(axis=0) > shares
        low, high = np.where(over, low, middle), np.where(over, middle, high)
    return np.asarray((low + high) / 2)
