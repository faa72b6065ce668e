"""The labels of a classifier as numbers: the places of labels in y, and the type in which answers give labels back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from rung.decide.correctness import NONE_OF_THESE_INDEX, right_labels
from rung.decide.hierarchy import Tree
from rung.decide.parent_labels import parents_of, with_leaves
from rung.inference.label_inputs import encode_indicators, encode_labels
from rung.labels import Labels, as_array
from rung.labels.normal_form import LabelValue

Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.intp]


@dataclass(frozen=True)
class LabelSpace:
    """The k leaves that texts are compared with, and the p parents above them.

    classes (k,) are the leaves in the order of `classes_`; tree is None where the labels are flat. named says whether the labels
    were given by name and not taken from y: only then does −1 in y mean a missing label, and an unknown label is a mistake.
    A label's index is its place in `names`; −1 is that of a text of which nothing is known.
    """

    classes: npt.NDArray[Any]
    tree: Tree | None
    named: bool

    @classmethod
    def of(cls, classes: npt.NDArray[Any], labels: Labels | None) -> LabelSpace:
        """The space of `classes`; labels are those that were given by name, None where the classes were taken from y."""
        tree = Tree.of(labels) if labels is not None and labels.is_tree else None
        return cls(classes, tree, named=labels is not None)

    @cached_property
    def _parents(self) -> tuple[list[LabelValue], npt.NDArray[np.bool_]]:
        """The parents, and which leaves lie under each (p, k)."""
        return parents_of(self.tree) if self.tree else ([], np.zeros((0, len(self.classes)), dtype=bool))

    @property
    def names(self) -> list[LabelValue]:
        """What y may hold: the k leaves in the order of `classes_`, then the p parents."""
        return [*self.classes.tolist(), *self._parents[0]]

    def encode(self, y: Any, n: int) -> Indices:
        """The index of each label in y (n,). Raises UserError for what is none of the labels."""
        return encode_labels(y, n, self.names, minus_one_is_missing=self.named)

    def encode_truth(self, y: Any, n: int) -> Indices:
        """The same for labels that answers are compared with: labels that `fit` has never seen are no mistake there."""
        return encode_labels(y, n, self.names, minus_one_is_missing=self.named, allow_unknown=not self.named)

    def encode_indicators(self, y: Any, n: int) -> Floats:
        """The indicator matrix of y (n, k): 1 and 0 for labels that apply or not, NaN where that is not known."""
        return encode_indicators(y, n, self.classes.tolist())

    def encode_one_of_several(self, y: Any, n: int) -> Indices:
        """One index a text where y holds several labels a text: that of the first label which applies."""
        marks = self.encode_indicators(y, n)
        first = np.where((marks == 1).any(axis=1), np.nan_to_num(marks).argmax(axis=1), NONE_OF_THESE_INDEX)
        return np.where(np.isnan(marks).all(axis=1), -1, first)

    def names_parent(self, known: Indices) -> npt.NDArray[np.bool_]:
        """Whether each index (n,) is that of a parent."""
        return known >= len(self.classes)

    def leaves_of(self, known: Indices, scores: Floats) -> Indices:
        """Indices of leaves (n,), where a parent stands for the leaf under it with the highest score (n, k)."""
        return with_leaves(known, scores, self._parents[1])

    def right(self, answers: npt.NDArray[Any], truth: Indices) -> npt.NDArray[np.bool_]:
        """Whether each answer (n,) is the true label or lies under it."""
        return right_labels(answers, truth, self.names, self.tree)

    def keep_given(self, answers: npt.NDArray[np.object_], known: Indices) -> npt.NDArray[np.object_]:
        """The answers (n,), replaced by the labels that were given; an answer under a given parent is more precise and stays."""
        kept = answers.copy()
        parents = np.where(self.names_parent(known), known, -1)
        for row in np.flatnonzero((known >= 0) & ~self.right(answers, parents)):
            kept[row] = self.names[known[row]]
        kept[known == NONE_OF_THESE_INDEX] = None
        return kept

    def as_answers(self, labels: npt.NDArray[np.object_]) -> npt.NDArray[Any]:
        """Labels (n,) in the type of the labels; as objects where one of them is None."""
        if any(label is None for label in labels):
            return labels
        values: Sequence[LabelValue] = self.tree.values if self.tree else self.classes.tolist()
        return labels.astype(as_array(values).dtype)
