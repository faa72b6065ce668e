"""Linear distillation: one matrix on a student's features that gives a teacher's probabilities."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from scipy.optimize import brentq, minimize
from scipy.special import log_softmax, softmax

from rung.evidence import Evidence
from rung.rungs.names import Names
from rung.rungs.softmax import to_log_probabilities
from rung.threads import matmul, one_thread

Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.intp]

_COLDEST, _HOTTEST = 0.02, 50.0


@dataclass
class Linear:
    """Predict the teacher's probabilities from a student's features; the problem is convex, so the solution is unique.

    p(k | x) = softmax_k( z_k / τ ),   z = xW + b
    W, b = argmin  1/n Σ_i [ T² KL( softmax(ℓ_i / T) ‖ softmax(z_i / T) ) + λ 1[y_i is known] (−log softmax(z_i)[y_i]) ] + α |W|²

    ℓ (n, k) are the teacher's log probabilities: `evidence.scores`, or the names rung where there are none. T is the
    `temperature`, λ the `ce_weight` of true labels, α the `penalty`. T² keeps the gradients of both terms comparable.
    `calibrate` then sets τ so that the student's mean confidence is its teacher's.
    After `fit`: weights_ (d, k), bias_ (k,), temperature_ (τ). `agreement_` is measured by `distill` on held-out texts.

    Source: Hinton, Vinyals, Dean 2015, Distilling the knowledge in a neural network, section 2.
    """

    temperature: float = 1.0
    ce_weight: float = 0.0
    penalty: float = 1e-5
    weights_: Floats = field(init=False, repr=False)
    bias_: Floats = field(init=False, repr=False)
    temperature_: float = field(init=False, default=1.0)
    agreement_: dict[str, Any] = field(init=False, default_factory=dict)

    @one_thread()
    def fit(self, evidence: Evidence, known: Indices | None = None) -> Self:
        """Fit to the teacher's answers for the readable texts; known (n,) holds places of true labels, −1 where there is none."""
        readable = evidence.readable()
        labels = None if known is None else known[evidence.ok]
        teacher = Names().log_posterior(readable)
        rows = readable.features.astype(np.float64)
        how: dict[str, Any] = {"temperature": self.temperature, "ce_weight": self.ce_weight, "penalty": self.penalty}
        self.weights_, self.bias_ = fit_student(rows, teacher, labels, **how)
        self.temperature_ = 1.0
        return self

    @one_thread()
    def calibrate(self, evidence: Evidence) -> Self:
        """Set τ so that the mean confidence is the teacher's, on texts that the weights were not learned from."""
        readable = evidence.readable()
        wanted = np.exp(Names().log_posterior(readable)).max(axis=1).mean() if len(readable.features) else 1.0
        logits = self._logits(readable)

        def excess(log_t: float) -> float:
            return float(softmax(logits / np.exp(log_t), axis=1).max(axis=1).mean() - wanted)

        low, high = np.log(_COLDEST), np.log(_HOTTEST)
        if len(logits) and excess(low) > 0 > excess(high):
            self.temperature_ = float(np.exp(brentq(excess, low, high)))
        return self

    @one_thread()
    def log_posterior(self, evidence: Evidence) -> Floats:
        """log p(label | text), (n, k), rows of exp sum to 1."""
        return to_log_probabilities(self._logits(evidence) / self.temperature_)

    def _logits(self, evidence: Evidence) -> Floats:
        return np.asarray(matmul(evidence.features, self.weights_) + self.bias_)


@one_thread()
def fit_student(
    rows: Any,
    teacher: Floats,
    labels: Indices | None = None,
    *,
    temperature: float = 1.0,
    ce_weight: float = 0.0,
    penalty: float = 1e-5,
    start: tuple[Floats, Floats] | None = None,
    around: tuple[Floats, Floats] | None = None,
    rounds: int = 200,
) -> tuple[Floats, Floats]:
    """W (d, k) and b (k,) of `Linear`, by L-BFGS, from rows (n, d), dense or sparse, and the teacher's log p (n, k).

    The penalty shrinks W towards 0, or towards the W of `around`; b then starts from the b of `around`.
    """
    if around is not None:
        fixed, base = around
        offset = np.asarray(rows @ fixed + base)
        how: dict[str, Any] = {"temperature": temperature, "ce_weight": ce_weight, "penalty": penalty, "rounds": rounds}
        W, b = _fit_student(rows, teacher, labels, offset, start, **how)
        return W + fixed, b + base
    return _fit_student(rows, teacher, labels, 0.0, start, temperature, ce_weight, penalty, rounds)


def _fit_student(
    rows: Any,
    teacher: Floats,
    labels: Indices | None,
    base: Floats | float,
    start: tuple[Floats, Floats] | None,
    temperature: float,
    ce_weight: float,
    penalty: float,
    rounds: int,
) -> tuple[Floats, Floats]:
    """As `fit_student`; `base` (n, k) is added to the logits."""
    d, k = rows.shape[1], teacher.shape[1]
    across = rows.T.tocsr() if hasattr(rows, "tocsr") else rows.T

    def objective(flat: Floats) -> tuple[float, Floats]:
        W, b = flat[: d * k].reshape(d, k), flat[d * k :]
        value, error = loss(
            base + matmul(rows, W.astype(rows.dtype, copy=False)) + b, teacher, labels, temperature, ce_weight
        )
        gradient = matmul(across, error.astype(rows.dtype, copy=False)) + 2 * penalty * W
        return value + penalty * float((W**2).sum()), np.concatenate([gradient.ravel(), error.sum(axis=0)])

    begin = np.zeros((d + 1) * k) if start is None else np.concatenate([start[0].ravel(), start[1]])
    options = {"maxiter": rounds, "maxcor": 6, "ftol": 1e-9, "gtol": 1e-7}
    found = minimize(objective, begin, jac=True, method="L-BFGS-B", options=options).x
    return found[: d * k].reshape(d, k), found[d * k :]


def loss(
    logits: Floats, teacher: Floats, labels: Indices | None, temperature: float, ce_weight: float
) -> tuple[float, Floats]:
    """The mean of T² KL(teacher ‖ student) + λ CE over n texts, and its gradient (n, k) at the logits."""
    n, T = len(logits), temperature
    wanted, given = log_softmax(teacher / T, axis=1), log_softmax(logits / T, axis=1)
    p = np.exp(wanted)
    value = T**2 * float((p * (wanted - given)).sum())
    error = T * (np.exp(given) - p)
    if labels is not None and ce_weight:
        rows = np.flatnonzero(labels >= 0)
        logs = log_softmax(logits[rows], axis=1)
        value -= ce_weight * float(logs[np.arange(len(rows)), labels[rows]].sum())
        sure = np.exp(logs)
        sure[np.arange(len(rows)), labels[rows]] -= 1
        error[rows] += ce_weight * sure
    return value / n, error / n
