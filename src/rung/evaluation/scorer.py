"""Metrics for `cross_val_score` and searches in which a missing answer is allowed and counts as not right."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from inspect import signature
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn import metrics

from rung.errors import UserError, did_you_mean
from rung.inference.label_inputs import align_to_rows, encode_labels
from rung.messages import tr

Indices = npt.NDArray[np.intp]

_OVER_LABELS = ("f1", "precision", "recall", "jaccard")
_AVERAGES = ("macro", "micro", "weighted")
_SINGLE = {
    "accuracy": "accuracy_score",
    "balanced_accuracy": "balanced_accuracy_score",
    "matthews_corrcoef": "matthews_corrcoef",
    "cohen_kappa": "cohen_kappa_score",
}
NAMES = (*_SINGLE, *_OVER_LABELS, *(f"{metric}_{average}" for metric in _OVER_LABELS for average in _AVERAGES))


def scorer(name: str) -> Scorer:
    """A metric by its name in scikit-learn, for `scoring=`, which takes None as an answer: it is never right.

    Names: accuracy, balanced_accuracy, matthews_corrcoef, cohen_kappa; f1, precision, recall and jaccard, alone (of the second of
    two labels) or with _macro, _micro or _weighted (over all labels that occur). It is made for one label a text.
    Raises UserError for another name.

    >>> from rung import Classifier
    >>> clf = Classifier(["billing", "bug report"], backbone="builtin")
    >>> scorer("f1_macro")(clf, ["my invoice is wrong", "the app crashes", ""], ["billing", "bug report", "billing"])
    0.8333333333333333
    """
    if name not in NAMES:
        hint = did_you_mean(name, NAMES, tr("Choose one of {choices}.", choices=", ".join(NAMES)))
        raise UserError("scorer: there is no metric {name!r}.", hint, name=name)
    return Scorer(name)


@dataclass(frozen=True)
class Scorer:
    """The metric `name` of the answers of a fitted classifier, or of a pipeline that ends with one; larger is better."""

    name: str

    def __call__(self, estimator: Any, X: Any, y: Any, sample_weight: Any = None) -> float:
        """The metric of `estimator` on texts X with the true labels y; texts without a true label do not count.

        A missing answer is a label of its own that no text has: it lowers what is right, and no label's precision.
        Raises UserError if no text has a label, and for labels that the estimator does not know by name.
        """
        classes = estimator.classes_.tolist()
        predicted = np.asarray(estimator.predict(X), dtype=object)
        if predicted.ndim != 1:
            raise UserError(
                "scorer: the classifier gives several labels for each text.",
                'Use a scorer of scikit-learn itself, such as  scoring="f1_macro"',
            )
        truth = encode_labels(
            align_to_rows(X, y), len(predicted), classes, minus_one_is_missing=False, allow_unknown=True
        )
        rows = np.flatnonzero(truth != -1)
        if not len(rows):
            raise UserError("score: no text has a label.", "Give y with the true labels.")
        answers = encode_labels(predicted, len(predicted), classes, minus_one_is_missing=False, allow_unknown=True)
        weights = None if sample_weight is None else np.asarray(sample_weight)[rows]
        return self._value(truth[rows], answers[rows], len(classes), weights)

    def _value(self, truth: Indices, answers: Indices, k: int, weights: Any) -> float:
        """The metric of answers (n,), as places of labels, below 0 where there is none or it is no leaf of a tree."""
        metric, _, average = self.name.partition("_") if self.name not in _SINGLE else (self.name, "", "")
        how: dict[str, Any] = {"sample_weight": weights}
        function = getattr(metrics, _SINGLE.get(metric, f"{metric}_score"))
        if metric in _OVER_LABELS:
            how |= {"average": average or "macro", "labels": self._labels(truth, answers, k, average)}
        if "zero_division" in signature(function).parameters:
            how["zero_division"] = 0
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="y_pred contains classes not in y_true")
            return float(function(truth, answers, **how))

    def _labels(self, truth: Indices, answers: Indices, k: int, average: str) -> list[int]:
        """The labels that the metric is taken over."""
        if average:
            return [place for place in range(k) if place in truth or place in answers]
        if k != 2:
            raise UserError(
                "scorer: {name!r} is for two labels, but there are {k}.",
                "Use  {name}_macro  or  {name}_weighted",
                name=self.name,
                k=k,
            )
        return [1]
