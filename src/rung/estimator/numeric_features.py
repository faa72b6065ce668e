"""A matrix of numbers and labels without names, as scikit-learn's own estimators take them; no backbone is used."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from sklearn.utils.multiclass import check_classification_targets

from rung.evidence import Array, Evidence, unit

Indices = npt.NDArray[np.intp]


@dataclass(frozen=True)
class NumericFeatures:
    """How rows of such a matrix become evidence, so that the rungs treat them like embeddings.

    classes (k,) are the labels. scale is None where all rows have length 1; other rows are put on a sphere with one more
    dimension, x ↦ unit(x / scale, 1), which keeps the information in their length. Anchors are zero: there are no label names.
    """

    classes: npt.NDArray[Any]
    scale: float | None

    @classmethod
    def of(cls, rows: npt.NDArray[np.float64], target: npt.NDArray[Any]) -> tuple[Self, Indices]:
        """Learn classes and scale from rows (n, d) and their labels (n,); also the index of each label in `classes`."""
        check_classification_targets(target)
        classes, indices = np.unique(target, return_inverse=True)
        norms = np.linalg.norm(rows, axis=1)
        are_unit = bool(np.abs(norms - 1).max(initial=0.0) < 1e-3)
        scale = None if are_unit else max(float(np.sqrt((norms**2).mean())), 1e-12)
        return cls(classes, scale), indices.astype(np.intp)

    def evidence(self, rows: npt.NDArray[np.float64]) -> Evidence:
        """The evidence of rows (n, d)."""
        features = self._on_sphere(rows)
        anchors = np.zeros((len(self.classes), features.shape[1]), dtype=np.float32)
        of_labels = Evidence(features[:0], anchors, features[:0], np.zeros(0, dtype=bool))
        return of_labels.of_texts(features, [None] * len(rows))

    def _on_sphere(self, rows: npt.NDArray[np.float64]) -> Array:
        if self.scale is None:
            return unit(rows.astype(np.float32))
        return unit(np.hstack([rows / self.scale, np.ones((len(rows), 1))]).astype(np.float32))
