"""A mixture whose means may only shift and scale together, so that no label can drift away from its name."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Self

import numpy as np
import numpy.typing as npt

from rung.rungs.softmax import to_probabilities
from rung.threads import matmul

Floats = npt.NDArray[np.float64]
Rows = npt.NDArray[np.float32]

_TOLERANCE = 2e-3  # EM stops when the responsibilities change by less than this per text


@dataclass
class AnchoredMixture:
    """A spherical Gaussian mixture whose means are the anchors up to one common shift and one common scale.

    It is fitted in the span of the anchors: z = Vᵀx and A_k = Vᵀp_k, where V are the right singular vectors of P − p̄.

    r_ik ∝ q_k N(z_i; M_k, vI),   M_k = ρ(z̄ − s Σ_j q_j A_j) + s A_k,   ρ = .9 n / (n + 20)
    s = Σ_ik r_ik (z_i − z̄)·Ã_k / Σ_k N_k|Ã_k|²,   Ã_k = A_k − Σ_j (N_j / n) A_j,   q_k = (N_k + 5) / (n + 5k)

    After `fit`: basis_ (d, r), means_ (k, r), variance_, scale_, prior_ (k,), posterior_ (n, k), rounds_.
    """

    rounds: int = 20
    basis_: Floats = field(init=False, repr=False)
    means_: Floats = field(init=False, repr=False)
    prior_: Floats = field(init=False, repr=False)
    posterior_: Rows = field(init=False, repr=False)
    variance_: float = field(init=False)
    scale_: float = field(init=False)
    rounds_: int = field(init=False)

    def fit(self, features: Rows, anchors: Floats, start: Rows) -> Self:
        """Learn from features (n, d), anchors (k, d) and first responsibilities (n, k)."""
        self.basis_ = span(anchors)
        z, a = self._within(features), anchors @ self.basis_
        centre, length = z.mean(axis=0, dtype=np.float64), float(np.square(z, dtype=np.float64).sum())
        self.posterior_ = start
        for done in range(1, self.rounds + 1):
            self.rounds_ = done
            before = self.posterior_
            self._maximize(z, a, centre, length)
            logits = self._scores(z)
            logits += np.log(self.prior_).astype(np.float32)
            self.posterior_ = to_probabilities(logits)
            if np.abs(self.posterior_ - before).sum() < _TOLERANCE * len(z):
                break
        return self

    def scores(self, features: Rows) -> Rows:
        """log N(z; M_k, vI) up to a constant per text, (n, k): the likelihood of each label, without the labels' shares."""
        return self._scores(self._within(features))

    def _within(self, features: Rows) -> Rows:
        return np.asarray(matmul(features, self.basis_.astype(np.float32)))

    def _scores(self, z: Rows) -> Rows:
        found = z @ (self.means_.T / self.variance_).astype(np.float32)
        found -= ((self.means_**2).sum(axis=1) / (2 * self.variance_)).astype(np.float32)
        return np.asarray(found)

    def _maximize(self, z: Rows, a: Floats, centre: Floats, length: float) -> None:
        n, k = self.posterior_.shape
        counts = self.posterior_.sum(axis=0, dtype=np.float64)
        sums = (self.posterior_.T @ z).astype(np.float64)
        self.prior_ = (counts + 5) / (n + 5 * k)
        spread = a - counts @ a / n
        pull = float(np.sum((sums - np.outer(counts, centre)) * spread))
        self.scale_ = max(pull / max(float(counts @ (spread**2).sum(axis=1)), 1e-12), 0.05)
        self.means_ = 0.9 * n / (n + 20) * (centre - self.scale_ * self.prior_ @ a) + self.scale_ * a
        # Σ_ik r_ik |z_i − M_k|² without the (n, k) distances
        far = length - 2 * float(np.sum(sums * self.means_)) + float(counts @ (self.means_**2).sum(axis=1))
        self.variance_ = max(far / max(z.size, 1), 1e-6)


def span(anchors: Floats) -> Floats:
    """An orthonormal basis (d, min(k − 1, d)) of the directions in which anchors differ."""
    if len(anchors) > anchors.shape[1]:  # they span all directions
        return np.eye(anchors.shape[1])
    right = np.linalg.svd(anchors - anchors.mean(axis=0), full_matrices=False)[2]
    return np.asarray(right[: len(anchors) - 1].T)
