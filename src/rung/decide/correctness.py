"""Which answers are right, where some texts have no answer."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from rung.decide.hierarchy import Tree
from rung.errors import UserError
from rung.labels.order import LabelIndex

Flags = npt.NDArray[np.bool_]
Indices = npt.NDArray[np.intp]
NONE_OF_THESE_INDEX = -2  # the index of "none of these"; −1 is that of a text of which nothing is known


def right_labels(answers: npt.NDArray[Any], truth: Indices, labels: list[Any], tree: Tree | None) -> Flags:
    """Whether each answer (n,) is the true label; truth (n,) are places in `labels`, below 0 where it is none of them.

    The answer None is right where truth is `NONE_OF_THESE_INDEX`, and nowhere else. In a tree, whose nodes `labels` are in any
    order, an answer under the true label is right too.
    """
    index = LabelIndex(labels)
    places = {value: index.find(value) for value in set(answers.tolist())}
    answered = np.array([-1 if places[value] is None else places[value] for value in answers.tolist()], dtype=np.intp)
    order = [] if tree is None else [tree.values.index(value) for value in labels]
    under = np.eye(len(labels), dtype=bool) if tree is None else tree.lies_under[np.ix_(order, order)]
    without_label = np.array([value is None for value in answers.tolist()], dtype=bool)
    is_right = (answered >= 0) & (truth >= 0) & under[answered, truth]
    return np.asarray(is_right | (without_label & (truth == NONE_OF_THESE_INDEX)))


def share_right(right: npt.ArrayLike, labelled: npt.ArrayLike, weights: Any = None) -> float:
    """The share of right answers among the texts whose true label is known: `labelled` (n,). Raises UserError if there is none."""
    rows = np.flatnonzero(labelled)
    if not len(rows):
        raise UserError("score: no text has a label.", "Give y with the true labels.")
    return float(np.average(np.asarray(right)[rows], weights=None if weights is None else np.asarray(weights)[rows]))
