"""What a fit leaves in a classifier: the rung, the other things learned, and the scores that they give to evidence."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from scipy.special import expit
from sklearn.exceptions import NotFittedError

from rung.decide.calibration import Calibration, MultiLabelCalibration
from rung.decide.multilabel import MultiLabel
from rung.decide.partial_multilabel import Marked
from rung.decide.rejection import Reject
from rung.errors import UserError
from rung.evidence import Evidence
from rung.rungs.ladder import Rung, name_of
from rung.rungs.linear import Linear
from rung.rungs.names import Names

Floats = npt.NDArray[np.float64]

LEARNED = ("learned_", "several_", "reject_", "calibration_", "guard_")  # the attributes that are saved


class FittedState(ABC):
    """The learned attributes of a classifier; each exists only after the fit that sets it.

    learned_      the rung of one label a text
    several_      with multi_label, the labels that are independent of each other
    reject_       which texts belong to none of the labels
    calibration_  how probabilities are corrected, and the label sets
    guard_        why the answer of the highest rung was kept or given up, as a sentence
    """

    backbone: Any
    multi_label: bool
    reject: float | Literal["auto"] | None
    learned_: Rung
    several_: MultiLabel | Marked
    reject_: Reject
    calibration_: Calibration | MultiLabelCalibration
    guard_: str

    @property
    @abstractmethod
    def classes_(self) -> npt.NDArray[Any]:
        """Labels (k,)."""

    @abstractmethod
    def _current_settings(self) -> tuple[Any, ...]:
        """The parameters that what was learned depends on; `fit` keeps them as `_fitted_settings`."""

    @property
    def rung_(self) -> str:
        """The rung of the answers: names, pool or shots; tuned or probe, if weights were trained; student, if it was distilled."""
        if hasattr(self, "several_"):
            return "shots" if isinstance(self.several_, Marked) else "pool"
        own = name_of(self._rung())
        return "tuned" if getattr(self.backbone, "name", "") == "tuned" and own != "student" else own

    @property
    def guard_details_(self) -> dict[str, float]:
        """The figures behind `guard_`, by name; none where nothing was fitted."""
        fitted = getattr(self, "several_", None) or getattr(self, "learned_", None)
        return dict(getattr(fitted, "guard_details_", {}))

    @property
    def prior_(self) -> Floats:
        """The labels' shares (k,) as they were learned; even shares on the rung of names."""
        if hasattr(self, "several_"):
            return self.several_.shares_
        rung, k = self._rung(), len(self.classes_)
        below = getattr(getattr(rung, "below", None), "prior_", np.full(k, 1 / k))
        return np.asarray(getattr(rung, "prior_", below))

    @property
    def agreement_(self) -> dict[str, Any]:
        """How often a student gives the answer of its teacher: share, 95 % interval, number of rows; `distinct`: by texts."""
        rung = self._rung()
        if not isinstance(rung, Linear):
            raise NotFittedError("agreement_: the classifier was not distilled.\n  rung.distill(clf, texts)")
        return rung.agreement_

    @property
    def learned(self) -> dict[str, Any]:
        """What a fit learned, by the names of the attributes: what has to be saved besides the parameters."""
        return {name: vars(self)[name] for name in LEARNED if name in vars(self)}

    def _check_current(self) -> None:
        """Raise UserError where labels or backbone changed since the last fit: what was learned belongs to the old ones."""
        if hasattr(self, "_fitted_settings") and self._fitted_settings != self._current_settings():
            raise UserError(
                "labels or backbone changed since the last fit.", "Call fit again, or make a new Classifier."
            )

    def _check_calibrated(self) -> None:
        if not hasattr(self, "calibration_"):
            raise UserError(
                "label_sets: the classifier is not calibrated.",
                "Call  calibrate(texts, y)  first, with labels that were not used in fit.",
            )

    def _rung(self) -> Rung:
        self._check_current()
        return getattr(self, "learned_", None) or Names()

    def _scores(self, evidence: Evidence) -> Floats:
        """Log posterior (n, k), or with multi_label log-odds (n, k), before any temperature."""
        if not self.multi_label:
            return self._rung().log_posterior(evidence)
        self._check_current()
        if not hasattr(self, "several_"):
            raise UserError("multi_label: there are no texts to compare with.", "Call  fit(texts)  first.")
        return self.several_.log_odds(evidence.features)

    def _probabilities(self, evidence: Evidence) -> Floats:
        scores, calibration = self._scores(evidence), getattr(self, "calibration_", None)
        if isinstance(calibration, MultiLabelCalibration):
            scores = calibration.log_odds(scores)
        elif isinstance(calibration, Calibration):
            scores = calibration.temperature_.log_posterior(scores)
        return np.asarray(expit(scores) if self.multi_label else np.exp(scores))

    def _predicted_indicators(self, evidence: Evidence) -> npt.NDArray[np.int_]:
        return ((self._probabilities(evidence) > 0.5) & evidence.ok[:, None]).astype(int)

    def _fitted_reject(self) -> Reject | None:
        if self.reject is None:
            return None
        if not hasattr(self, "reject_"):
            raise UserError("reject: there are no texts to compare with.", "Call  fit(texts)  first.")
        return self.reject_
