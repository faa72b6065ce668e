"""Labels that are given at the parents of a tree: the text lies somewhere under the parent, at the likeliest leaf there."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from rung.decide.hierarchy import Tree
from rung.labels.normal_form import LabelValue

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
Indices = npt.NDArray[np.intp]


def parents_of(tree: Tree) -> tuple[list[LabelValue], Flags]:
    """The p labels with children, and which of the k leaves lie under each (p, k)."""
    nodes = sorted({int(parent) for parent in tree.parents if parent >= 0})
    return [tree.values[node] for node in nodes], tree.under.T[nodes] > 0


def with_leaves(known: Indices, log_posterior: Floats, under: Flags) -> Indices:
    """Places of leaves (n,) in the place of parents: the likeliest leaf under each, by log p (n, k) of the leaves.

    known (n,) holds places of leaves, k + i for parent i, below 0 where there is none; under (p, k) are the leaves of each parent.
    """
    k = log_posterior.shape[1]
    above = np.flatnonzero(known >= k)
    found = known.copy()
    found[above] = np.where(under[known[above] - k], log_posterior[above], -np.inf).argmax(axis=1)
    return found
