"""A Gaussian mixture with one shared covariance, tied to a prior belief and to each text's nearest neighbors."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Self

import numpy as np
import numpy.typing as npt
from scipy.linalg import cho_factor, cho_solve
from scipy.sparse import csr_matrix

from rung.rungs.softmax import blocks, to_probabilities
from rung.threads import matmul

Floats = npt.NDArray[np.float64]
Rows = npt.NDArray[np.float32]
Indices = npt.NDArray[np.intp]

_LEAST_VARIANCE = 1e-6  # a floor, for texts that are all alike
_TOLERANCE = 1e-3  # EM stops when the responsibilities change by less than this per text


def shrinkage(n: int) -> float:
    """How far the covariance of n texts is shrunk towards its mean eigenvalue: .65 for many texts, .97 for very few.

    >>> round(shrinkage(200), 2)
    0.8
    """
    return min(0.97, 0.65 + 0.3 * 200 / (n + 200))


@dataclass
class TiedMixture:
    """Estimate the mean of each label from its texts, with one covariance for all labels.

    r_ik ∝ N(x_i; μ_k, Σ)^c · π_k · exp(λ a_ik + γ Σ_j w_ij r_jk)
    μ_k = (Σ_i r_ik x_i) / N_k,   Σ = the pooled covariance within labels, shrunk towards its mean eigenvalue
    π_k = (N_k + α n t_k) / (n + α n)

    a (n, k) is the belief, t (k,) are the shares that it was balanced to, w are the weights of a text's neighbors.
    Log-odds are linear in x, xᵀ coefficients_ + intercept_, so that new texts cost one product. Arrays of n rows are float32
    and computed in blocks, so that memory holds two (n, k) arrays and no third.
    After `fit`: means_ (k, d), coefficients_ (d, k), intercept_ (k,), posterior_ (n, k), rounds_.
    """

    shrinkage: float
    sharpness: float = 0.5  # c: dimensions of an embedding are correlated, so each counts half
    belief: float = 1.0  # λ
    neighborhood: float = 2.0  # γ
    prior_weight: float = 1.0  # α
    rounds: int = 30
    means_: Floats = field(init=False, repr=False)
    coefficients_: Rows = field(init=False, repr=False)
    intercept_: Rows = field(init=False, repr=False)
    posterior_: Rows = field(init=False, repr=False)
    rounds_: int = field(init=False, default=0)

    def fit(
        self,
        features: Rows,
        belief: Rows,
        shares: Floats,
        graph: csr_matrix,
        start: Rows,
        *,
        voters: Indices | None = None,
        weights: Rows | None = None,
        fixed: Rows | None = None,
    ) -> Self:
        """Fit to features (n, d), belief a (n, k), shares t (k,), graph w (n, m) and first responsibilities (n, k).

        voters (m,) holds the text of each column of the graph; None: all n texts in their order. weights (n,) holds how much a
        text counts in means and covariance. Rows of `fixed` (n, k) that are not NaN stay as they are.
        """
        counted = np.ones(len(features), dtype=np.float32) if weights is None else weights
        weighted = features * counted[:, None]
        moments = matmul(weighted.T, features).astype(np.float64)
        self.posterior_ = start.copy() if fixed is None else np.where(np.isnan(fixed), start, fixed)
        for done in range(1, self.rounds + 1):
            self.rounds_ = done
            self._maximize(weighted, counted, moments, shares)
            if self._expect(features, belief, graph, voters, fixed) < _TOLERANCE * len(features):
                break
        return self

    def logits(self, features: Rows, belief: Rows, vote: Rows) -> Rows:
        """Log-odds (n, k) of texts, given the belief about them and the mean posterior `vote` of their neighbors."""
        found = matmul(features, self.coefficients_)
        found += self.intercept_
        found += np.float32(self.belief) * belief
        found += np.float32(self.neighborhood) * vote
        return np.asarray(found)

    def _expect(
        self, features: Rows, belief: Rows, graph: csr_matrix, voters: Indices | None, fixed: Rows | None
    ) -> float:
        """Update the responsibilities, and return the sum of their changes."""
        votes, moved = self.posterior_[slice(None) if voters is None else voters].copy(), 0.0
        for rows in blocks(belief.shape):
            found = to_probabilities(self.logits(features[rows], belief[rows], graph[rows] @ votes))
            if fixed is not None:
                found = np.where(np.isnan(fixed[rows]), found, fixed[rows])
            moved += float(np.abs(found - self.posterior_[rows]).sum())
            self.posterior_[rows] = found
        return moved

    def _maximize(self, weighted: Rows, counted: Rows, moments: Floats, shares: Floats) -> None:
        d, total = weighted.shape[1], float(counted.sum(dtype=np.float64))
        counts = (counted @ self.posterior_).astype(np.float64)
        self.means_ = matmul(self.posterior_.T, weighted) / np.maximum(counts, 1e-9)[:, None]
        within = (moments - (self.means_.T * counts) @ self.means_) / total
        level = max(float(np.trace(within)) / d, _LEAST_VARIANCE)
        covariance = (1 - self.shrinkage) * within + self.shrinkage * level * np.eye(d)
        directions = cho_solve(cho_factor(covariance), self.means_.T)
        prior = (counts + self.prior_weight * total * shares) / (total * (1 + self.prior_weight))
        self.coefficients_ = (self.sharpness * directions).astype(np.float32)
        middle = self.sharpness / 2 * (self.means_.T * directions).sum(axis=0)
        self.intercept_ = (np.log(np.maximum(prior, 1e-12)) - middle).astype(np.float32)
