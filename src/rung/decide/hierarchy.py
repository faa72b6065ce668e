"""A tree of labels: probabilities that add up, and answers as deep in the tree as they are confident."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from rung.errors import UserError
from rung.labels import Label, Labels
from rung.labels.normal_form import LabelValue

Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.intp]


@dataclass(frozen=True)
class Tree:
    """The m labels of a tree, parents before children, and which of the k leaves are under each.

    p(node) = Σ p(leaf) over the leaves under it, so that a parent is exactly the sum of its children.

    values    m labels, each different, as answers give them back
    parents   (m,) the place of each label's parent, −1 at the top
    under     (k, m) 1 where leaf j is the node or lies under it; leaves in the order of `Labels.values`
    """

    values: tuple[LabelValue, ...]
    parents: Indices
    under: Floats

    @classmethod
    def of(cls, labels: Labels) -> Self:
        """The tree of `labels`; a flat list is a tree of one level."""
        found = list(_walk(labels.labels, -1, [0]))
        parents = np.array([parent for _, parent in found], dtype=np.intp)
        place = {label.value: i for i, (label, _) in enumerate(found)}
        under = np.zeros((len(labels), len(found)))
        for j, value in enumerate(labels.values):
            node = place[value]
            while node >= 0:
                under[j, node] = 1
                node = int(parents[node])
        return cls(tuple(place), parents, under)

    @property
    def names(self) -> tuple[str, ...]:
        """The labels as they are written."""
        return tuple(map(str, self.values))

    def probabilities(self, leaves: Floats) -> Floats:
        """Probabilities (n, m) of all labels, from those of the leaves (n, k)."""
        return np.asarray(np.clip(leaves @ self.under, 0, 1))

    def answers(self, leaves: Floats, confidence: float = 0.5) -> Indices:
        """The answer to each text (n,) as a place in `names`: the path of most probable children, while they reach `confidence`.

        A lower confidence gives a longer path with the same start; at 0 it ends at a leaf. −1 where no label at the top reaches
        `confidence`. Raises UserError unless 0 ≤ confidence ≤ 1.
        """
        if not 0 <= confidence <= 1:
            raise UserError(
                "confidence: got {confidence}.", "Give a probability from 0 to 1, such as 0.5.", confidence=confidence
            )
        probabilities = self.probabilities(leaves)
        rows, answer = np.arange(len(leaves)), np.full(len(leaves), -1, dtype=np.intp)
        for _ in range(self.depth):
            child = np.array(self.parents)[None, :] == answer[:, None]
            best = np.where(child, probabilities, -1.0).argmax(axis=1)
            confident = child[rows, best] & (probabilities[rows, best] >= confidence)
            answer = np.where(confident, best, answer)
        return answer

    @property
    def lies_under(self) -> npt.NDArray[np.bool_]:
        """Whether label i (m, m) is label j, or lies under it."""
        found = np.eye(len(self.values), dtype=bool)
        for node, parent in enumerate(self.parents):  # parents come first, so theirs is complete
            found[node] |= found[parent] if parent >= 0 else False
        return found

    def path(self, node: int) -> tuple[str, ...]:
        """The names from the top down to `node`; empty for −1.

        >>> Tree.of(Labels.parse({"money": {"children": ["card", "loan"]}, "travel": ""})).path(1)
        ('money', 'card')
        """
        names: list[str] = []
        while node >= 0:
            names.append(str(self.values[node]))
            node = int(self.parents[node])
        return tuple(reversed(names))

    @property
    def depth(self) -> int:
        """The number of levels; 1 for a flat list."""
        return max(len(self.path(node)) for node in range(len(self.names)))


def _walk(labels: Iterable[Label], parent: int, count: list[int]) -> Iterable[tuple[Label, int]]:
    """Every label with its parent's place, parents first; `count` numbers them."""
    for label in labels:
        here, count[0] = count[0], count[0] + 1
        yield label, parent
        yield from _walk(label.children, here, count)
