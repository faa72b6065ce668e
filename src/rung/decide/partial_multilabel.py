"""Several labels at once, once some texts are marked: what was believed of each label, corrected by them."""

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
_FREE = 3.0  # how freely a label may become more or less frequent, beside moving in the space of texts
_ROUNDS = 200


@dataclass
class Marked:
    """Learn how far marked texts differ from what was believed of them, label by label.

    log-odds_k(x) = f_k(x) + zᵀv_k + 3 b_k,   z = unit(x − x̄),   f_k the log-odds of `below`, which has seen no mark
    (v, b) = argmin Σ_ik log(1 + exp(−(2 y_ik − 1) log-odds_k(x_i))) + λ Σ_k (|v_k|² + b_k²)      over the marks y_ik that are known

    Convex; L-BFGS from v = b = 0. λ is the one of `PENALTIES`, or infinite, that loses least on marks which it has not seen, in 4
    folds by the texts' own hashes: so where marks do not help, what was believed stays. Unknown marks (NaN) play no part.

    After `fit`: penalty_ (inf: nothing was learned), coefficients_ (d + 1, k).
    """

    below: MultiLabel
    penalty_: float = field(init=False, default=np.inf)
    coefficients_: Floats = field(init=False, repr=False)

    @one_thread()
    def fit(self, features: Array, marks: Floats) -> Self:
        """Learn from texts (m, d) and their marks (m, k): 1 carries the label, 0 does not, NaN not known."""
        belief, z = self.below.log_odds(features), self._inputs(features)
        folds = hashes(features) % _FOLDS
        losses = dict.fromkeys((np.inf, *PENALTIES), 0.0)
        for fold in np.unique(folds) if len(np.unique(folds)) > 1 else ():
            seen, held = folds != fold, folds == fold
            losses[np.inf] += _loss(belief[held], marks[held])
            v = np.zeros((z.shape[1], belief.shape[1]))
            for penalty in PENALTIES:  # from strong to weak, each from where the last one ended
                v = _learned(z[seen], belief[seen], marks[seen], penalty, v)
                losses[penalty] += _loss(belief[held] + z[held] @ v, marks[held])
        self.penalty_ = min(losses, key=losses.__getitem__)  # the first, so the strongest, of equals
        self.coefficients_ = np.zeros((z.shape[1], belief.shape[1]))
        if np.isfinite(self.penalty_):
            self.coefficients_ = _learned(z, belief, marks, self.penalty_, self.coefficients_)
        return self

    @property
    def guard_(self) -> str:
        """What the held-out marks said, in a sentence."""
        if np.isfinite(self.penalty_):
            return tr("every label is a yes or no by itself, corrected by the labelled texts.")
        return tr("every label is a yes or no by itself; the labelled texts are too few to correct that.")

    @property
    def guard_details_(self) -> dict[str, float]:
        """The figures behind `guard_`: the penalty of the correction, infinite where nothing was learned."""
        return {"penalty": self.penalty_}

    @property
    def shares_(self) -> Floats:
        """The share of each label (k,) that was taken before any mark."""
        return self.below.shares_

    @one_thread()
    def probabilities(self, features: Array) -> Floats:
        """How probable it is (n, k) that a text carries a label; columns are independent."""
        return np.asarray(expit(self.log_odds(features)))

    def log_odds(self, features: Array) -> Floats:
        """log p / (1 − p), (n, k)."""
        return np.asarray(self.below.log_odds(features) + self._inputs(features) @ self.coefficients_)

    def _inputs(self, features: Array) -> Floats:
        z = unit(features - self.below.centre_).astype(np.float64)
        return np.hstack([z, np.full((len(z), 1), _FREE)])


def _learned(z: Floats, belief: Floats, marks: Floats, penalty: float, start: Floats) -> Floats:
    known = ~np.isnan(marks)
    wanted = np.where(known, marks, 0.0)

    def loss(flat: Floats) -> tuple[float, Any]:
        v = flat.reshape(start.shape)
        odds = belief + z @ v
        error = np.where(known, expit(odds) - wanted, 0.0)
        return _loss(odds, marks) + penalty * float(flat @ flat), (z.T @ error + 2 * penalty * v).ravel()

    found = minimize(loss, start.ravel(), jac=True, method="L-BFGS-B", options={"maxiter": _ROUNDS})
    return np.asarray(found.x.reshape(start.shape))


def _loss(odds: Floats, marks: Floats) -> float:
    """The sum of −log p over the known marks."""
    known = ~np.isnan(marks)
    return float(np.logaddexp(0.0, -(2 * marks[known] - 1) * odds[known]).sum())
