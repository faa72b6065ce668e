"""Gaussians of one shared covariance, tied to what is believed already and to each text's neighbours."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Self

import numpy as np
import numpy.typing as npt
from scipy.linalg import cho_factor, cho_solve
from scipy.sparse import csr_matrix
from scipy.special import softmax

Floats = npt.NDArray[np.float64]

_LEAST_VARIANCE = 1e-6  # texts that are all alike have none of their own
_TOLERANCE = 1e-3  # stop when the responsibilities move less than this a text


def shrinkage(n: int) -> float:
    """How far the covariance of n texts is shrunk towards its mean eigenvalue: .65 of many texts, .97 of very few.

    >>> round(shrinkage(200), 2)
    0.8
    """
    return min(0.97, 0.65 + 0.3 * 200 / (n + 200))


@dataclass
class TiedMixture:
    """Let each label's texts say where the label lies, one covariance for all labels.

    r_ik ∝ N(x_i; μ_k, Σ)^c · π_k · exp(λ a_ik + γ Σ_j w_ij r_jk)
    μ_k = (Σ_i r_ik x_i) / N_k,   Σ = the pooled covariance within labels, shrunk towards its mean eigenvalue
    π_k = (N_k + α n t_k) / (n + α n)

    a (n, k) is what is believed already, t (k,) the shares it was balanced to, w the weights of a text's neighbours.
    A label is linear in x: log-odds are xᵀ coefficients_ + intercept_, so that new texts cost one product.
    After `fit`: means_ (k, d), coefficients_ (d, k), intercept_ (k,), posterior_ (n, k), rounds_.
    """

    shrinkage: float
    sharpness: float = 0.5  # c: neighbouring dimensions of an embedding repeat each other, so each counts half
    belief: float = 1.0  # λ
    neighbourhood: float = 2.0  # γ
    prior_weight: float = 1.0  # α
    rounds: int = 30
    means_: Floats = field(init=False, repr=False)
    coefficients_: Floats = field(init=False, repr=False)
    intercept_: Floats = field(init=False, repr=False)
    posterior_: Floats = field(init=False, repr=False)
    rounds_: int = field(init=False, default=0)

    def fit(
        self,
        features: Floats,
        belief: Floats,
        shares: Floats,
        graph: csr_matrix,
        start: Floats,
        *,
        weights: Floats | None = None,
        fixed: Floats | None = None,
    ) -> Self:
        """Learn from features (n, d), belief a (n, k), shares t (k,), graph w (n, n) and first responsibilities (n, k).

        weights (n,) say how much a text counts in means and covariance; rows of `fixed` (n, k) that are not NaN never move.
        """
        counted = np.ones(len(features)) if weights is None else weights
        moments = (features.T * counted) @ features
        self.posterior_ = start if fixed is None else np.where(np.isnan(fixed), start, fixed)
        for done in range(1, self.rounds + 1):
            self.rounds_ = done
            before = self.posterior_
            self._maximize(features, counted, moments, shares)
            found = softmax(self.logits(features, belief, graph @ before), axis=1)
            self.posterior_ = found if fixed is None else np.where(np.isnan(fixed), found, fixed)
            if np.abs(self.posterior_ - before).sum() < _TOLERANCE * len(features):
                break
        return self

    def logits(self, features: Floats, belief: Floats, vote: Floats) -> Floats:
        """Log-odds (n, k) of texts, given what is believed of them and the mean posterior `vote` of their neighbours."""
        return np.asarray(
            features @ self.coefficients_ + self.intercept_ + self.belief * belief + self.neighbourhood * vote
        )

    def _maximize(self, features: Floats, counted: Floats, moments: Floats, shares: Floats) -> None:
        d, total = features.shape[1], float(counted.sum())
        held = self.posterior_ * counted[:, None]
        counts = held.sum(axis=0)
        self.means_ = held.T @ features / np.maximum(counts, 1e-9)[:, None]
        within = (moments - (self.means_.T * counts) @ self.means_) / total
        level = max(float(np.trace(within)) / d, _LEAST_VARIANCE)
        covariance = (1 - self.shrinkage) * within + self.shrinkage * level * np.eye(d)
        directions = cho_solve(cho_factor(covariance), self.means_.T)
        prior = (counts + self.prior_weight * total * shares) / (total * (1 + self.prior_weight))
        self.coefficients_ = self.sharpness * directions
        self.intercept_ = np.log(np.maximum(prior, 1e-12)) - self.sharpness / 2 * (self.means_.T * directions).sum(
            axis=0
        )
