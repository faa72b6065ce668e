"""Several labels at once where some texts are marked: the prediction without marks, corrected by the marked texts."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize
from scipy.special import expit

from rung.decide.multilabel import MultiLabel
from rung.evidence import Array, unit
from rung.evidence.hashing import hashes
from rung.messages import tr
from rung.threads import one_thread

Floats = npt.NDArray[np.float64]

PENALTIES = (3.0, 1.0, 0.3, 0.1, 0.03, 0.01)
_FOLDS = 4
_INTERCEPT_SCALE = 3.0  # how freely a label may become more or less frequent
_ROUNDS = 200


@dataclass
class Marked:
    """Correct the log-odds of a fit without marks by marked texts, label by label.

    log-odds_k(x) = f_k(x) + zᵀv_k + 3 b_k,   z = unit(x − x̄),   f_k the log-odds of `below`, which was fitted without marks
    (v, b) = argmin Σ_ik log(1 + exp(−(2 y_ik − 1) log-odds_k(x_i))) + λ Σ_k (|v_k|² + b_k²)      over the known marks y_ik

    Convex; L-BFGS from v = b = 0. λ is the one of `PENALTIES`, or infinite, with the least loss on held-out marks, in 4 folds
    by the hashes of the texts: so where marks do not help, the prediction without them stays. Unknown marks (NaN) have no effect.

    After `fit`: penalty_ (inf: nothing was learned), coefficients_ (d + 1, k).
    """

    below: MultiLabel
    penalty_: float = field(init=False, default=np.inf)
    coefficients_: Floats = field(init=False, repr=False)

    @one_thread()
    def fit(self, features: Array, marks: Floats) -> Self:
        """Learn from texts (m, d) and their marks (m, k): 1 has the label, 0 does not, NaN is unknown."""
        prior, z = self.below.log_odds(features), self._inputs(features)
        folds = hashes(features) % _FOLDS
        losses = dict.fromkeys((np.inf, *PENALTIES), 0.0)
        for fold in np.unique(folds) if len(np.unique(folds)) > 1 else ():
            seen, held_out = folds != fold, folds == fold
            losses[np.inf] += _loss(prior[held_out], marks[held_out])
            v = np.zeros((z.shape[1], prior.shape[1]))
            for penalty in PENALTIES:  # from strong to weak, each starting from the solution of the last one
                v = _fit_correction(z[seen], prior[seen], marks[seen], penalty, v)
                losses[penalty] += _loss(prior[held_out] + z[held_out] @ v, marks[held_out])
        self.penalty_ = min(losses, key=losses.__getitem__)  # of equal losses the first, which is the strongest penalty
        self.coefficients_ = np.zeros((z.shape[1], prior.shape[1]))
        if np.isfinite(self.penalty_):
            self.coefficients_ = _fit_correction(z, prior, marks, self.penalty_, self.coefficients_)
        return self

    @property
    def guard_(self) -> str:
        """Whether the held-out marks favored a correction, in a sentence."""
        if np.isfinite(self.penalty_):
            return tr("every label is decided independently, with a correction learned from the labelled texts.")
        return tr("every label is decided independently; there are too few labelled texts to learn a correction.")

    @property
    def guard_details_(self) -> dict[str, float]:
        """The figures behind `guard_`: the penalty of the correction, infinite where nothing was learned."""
        return {"penalty": self.penalty_}

    @property
    def shares_(self) -> Floats:
        """The share of each label (k,) before the correction."""
        return self.below.shares_

    @one_thread()
    def probabilities(self, features: Array) -> Floats:
        """How probable it is (n, k) that a text has a label; columns are independent."""
        return np.asarray(expit(self.log_odds(features)))

    def log_odds(self, features: Array) -> Floats:
        """log p / (1 − p), (n, k)."""
        return np.asarray(self.below.log_odds(features) + self._inputs(features) @ self.coefficients_)

    def _inputs(self, features: Array) -> Floats:
        z = unit(features - self.below.centre_).astype(np.float64)
        return np.hstack([z, np.full((len(z), 1), _INTERCEPT_SCALE)])


def _fit_correction(z: Floats, prior: Floats, marks: Floats, penalty: float, start: Floats) -> Floats:
    known = ~np.isnan(marks)
    target = np.where(known, marks, 0.0)

    def loss(flat: Floats) -> tuple[float, Any]:
        v = flat.reshape(start.shape)
        odds = prior + z @ v
        error = np.where(known, expit(odds) - target, 0.0)
        return _loss(odds, marks) + penalty * float(flat @ flat), (z.T @ error + 2 * penalty * v).ravel()

    found = minimize(loss, start.ravel(), jac=True, method="L-BFGS-B", options={"maxiter": _ROUNDS})
    return np.asarray(found.x.reshape(start.shape))


def _loss(odds: Floats, marks: Floats) -> float:
    """The sum of −log p over the known marks."""
    known = ~np.isnan(marks)
    return float(np.logaddexp(0.0, -(2 * marks[known] - 1) * odds[known]).sum())
