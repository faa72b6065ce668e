"""Known labels that are parents in a tree: the text belongs to some leaf under the parent, and is put at the likeliest one."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from rung.decide.hierarchy import Tree
from rung.labels.normal_form import LabelValue

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
Indices = npt.NDArray[np.intp]


def parents_of(tree: Tree) -> tuple[list[LabelValue], Flags]:
    """The p labels with children, and which of the k leaves are under each (p, k)."""
    nodes = sorted({int(parent) for parent in tree.parents if parent >= 0})
    return [tree.values[node] for node in nodes], tree.under.T[nodes] > 0


def with_leaves(known: Indices, log_posterior: Floats, under: Flags) -> Indices:
    """The known places (n,) with every parent replaced by the likeliest leaf under it, by log p (n, k) of the leaves.

    known (n,) holds places of leaves, k + i for parent i, below 0 where no label is known; under (p, k) marks the leaves of each
    parent.
    """
    k = log_posterior.shape[1]
    at_parents = np.flatnonzero(known >= k)
    found = known.copy()
    found[at_parents] = np.where(under[known[at_parents] - k], log_posterior[at_parents], -np.inf).argmax(axis=1)
    return found
