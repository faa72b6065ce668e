"""A mixture whose means may only shift and scale together: labels cannot wander from their names."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Self

import numpy as np
import numpy.typing as npt
from scipy.special import softmax

Floats = npt.NDArray[np.float64]

_TOLERANCE = 2e-3  # stop when the responsibilities move less than this a text


@dataclass
class Anchored:
    """Where the texts of a label lie, if they lie as the anchors do, up to one shift and one scale.

    In the span of the anchors, z = Vᵀx and A_k = Vᵀp_k, V the right singular vectors of P − p̄:

    r_ik ∝ q_k N(z_i; M_k, vI),   M_k = ρ(z̄ − s Σ_j q_j A_j) + s A_k,   ρ = .9 n / (n + 20)
    s = Σ_ik r_ik (z_i − z̄)·Ã_k / Σ_k N_k|Ã_k|²,   Ã_k = A_k − Σ_j (N_j / n) A_j,   q_k = (N_k + 5) / (n + 5k)

    After `fit`: basis_ (d, r), means_ (k, r), variance_, scale_, prior_ (k,), posterior_ (n, k), rounds_.
    """

    rounds: int = 20
    basis_: Floats = field(init=False, repr=False)
    means_: Floats = field(init=False, repr=False)
    prior_: Floats = field(init=False, repr=False)
    posterior_: Floats = field(init=False, repr=False)
    variance_: float = field(init=False)
    scale_: float = field(init=False)
    rounds_: int = field(init=False)

    def fit(self, features: Floats, anchors: Floats, start: Floats) -> Self:
        """Learn from features (n, d), anchors (k, d) and first responsibilities (n, k)."""
        self.basis_ = span(anchors)
        z, a = features @ self.basis_, anchors @ self.basis_
        self.posterior_ = start
        for done in range(1, self.rounds + 1):
            self.rounds_ = done
            before = self.posterior_
            self._maximize(z, a)
            self.posterior_ = softmax(self._scores(z) + np.log(self.prior_), axis=1)
            if np.abs(self.posterior_ - before).sum() < _TOLERANCE * len(z):
                break
        return self

    def scores(self, features: Floats) -> Floats:
        """log N(z; M_k, vI) up to a constant a text, (n, k): what a text says of a label, whatever the labels' shares."""
        return self._scores(features @ self.basis_)

    def _scores(self, z: Floats) -> Floats:
        return np.asarray((z @ self.means_.T - (self.means_**2).sum(axis=1) / 2) / self.variance_)

    def _maximize(self, z: Floats, a: Floats) -> None:
        n, k = self.posterior_.shape
        counts = self.posterior_.sum(axis=0)
        self.prior_ = (counts + 5) / (n + 5 * k)
        centre, spread = z.mean(axis=0), a - counts @ a / n
        pull = float(np.sum((self.posterior_.T @ (z - centre)) * spread))
        self.scale_ = max(pull / max(float(counts @ (spread**2).sum(axis=1)), 1e-12), 0.05)
        self.means_ = 0.9 * n / (n + 20) * (centre - self.scale_ * self.prior_ @ a) + self.scale_ * a
        far = (z**2).sum(axis=1)[:, None] - 2 * z @ self.means_.T + (self.means_**2).sum(axis=1)
        self.variance_ = max(float(np.sum(self.posterior_ * far)) / max(z.size, 1), 1e-6)


def span(anchors: Floats) -> Floats:
    """An orthonormal basis (d, min(k − 1, d)) of the directions in which anchors differ."""
    right = np.linalg.svd(anchors - anchors.mean(axis=0), full_matrices=False)[2]
    return np.asarray(right[: min(len(anchors) - 1, anchors.shape[1])].T)
