"""Multinomial logistic regression with an offset: it starts from a prior log posterior."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize
from scipy.special import log_softmax

from rung.threads import matmul

Floats = npt.NDArray[np.float64]
Numbers = npt.NDArray[np.floating[Any]]  # inputs may be float32; sums of squares are float64


@dataclass
class Logistic:
    """Learn how the labels of texts differ from a prior belief about them.

    V = argmin Σ_s −log softmax( b_s + [z_s, B] V )_{y_s} + λ|V|²       convex; L-BFGS from V = 0

    b (m, k) is the belief, a log posterior; λ is the `penalty`; B says how freely the shares of the labels may change.
    After `fit`: coefficients_ (d + 1, k).
    """

    penalty: float = 0.05
    offset: float = 1.0
    rounds: int = 100
    coefficients_: Floats = field(init=False, repr=False)

    def fit(self, z: Numbers, belief: Numbers, labels: npt.NDArray[np.intp]) -> Self:
        """Fit to texts z (m, d), belief b (m, k) and labels (m,), which are indices of columns."""
        inputs, k, rows = self._inputs(z), belief.shape[1], np.arange(len(z))

        def loss(flat: Floats) -> tuple[float, Floats]:
            V = flat.reshape(-1, k)
            logs = log_softmax(belief + matmul(inputs, V), axis=1)
            error = np.exp(logs)
            error[rows, labels] -= 1
            value = -float(logs[rows, labels].sum()) + self.penalty * float((V**2).sum())
            return value, (matmul(inputs.T, error) + 2 * self.penalty * V).ravel()

        start = np.zeros(inputs.shape[1] * k)
        found = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": self.rounds})
        self.coefficients_ = found.x.reshape(-1, k)
        return self

    def log_posterior(self, z: Numbers, belief: Numbers) -> Floats:
        """log p(label | text), (n, k)."""
        return np.asarray(log_softmax(belief + matmul(self._inputs(z), self.coefficients_), axis=1))

    def _inputs(self, z: Numbers) -> Floats:
        return np.hstack([z, np.full((len(z), 1), self.offset)])
