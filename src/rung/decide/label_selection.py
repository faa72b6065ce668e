"""From probabilities to names: one label, the label at the depth that is sure enough, or as many as apply."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from rung.decide.hierarchy import Tree
from rung.messages import tr

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Choice:
    """What was chosen for n texts: labels (n,), tuples of labels or None, probabilities (n,), and why in words."""

    labels: npt.NDArray[np.object_]
    probabilities: Floats
    reasons: list[str]


def one(labels: list[Any], probabilities: Floats, because: str) -> Choice:
    """The most probable label of each text, from probabilities (n, k)."""
    best = probabilities.argmax(axis=1)
    return Choice(
        np.array(labels, dtype=object)[best], probabilities[np.arange(len(best)), best], [because] * len(best)
    )


def deepest(tree: Tree, leaves: Floats, confidence: float, because: str) -> Choice:
    """The deepest label of the tree that is as probable as `confidence`; None where not even the top is."""
    places = tree.answers(leaves, confidence)
    of_all = tree.probabilities(leaves)
    labels = np.array([*tree.values, None], dtype=object)  # place −1 is the last
    top = np.array(tree.parents) < 0
    sure = np.where(places >= 0, of_all[np.arange(len(places)), places], 1 - of_all[:, top].max(axis=1, initial=0.0))
    unsure = tr("no label is as probable as {confidence:g}", confidence=confidence)
    reasons = [f"{' > '.join(tree.path(int(place)))}: {because}" if place >= 0 else unsure for place in places]
    return Choice(labels[places], np.asarray(sure), reasons)


def several(labels: list[Any], probabilities: Floats, because: str) -> Choice:
    """All labels that are more likely than not, from independent probabilities (n, k)."""
    chosen = np.empty(len(probabilities), dtype=object)
    chosen[:] = [tuple(labels[k] for k in np.flatnonzero(row > 0.5)) for row in probabilities]
    least = np.where(probabilities > 0.5, probabilities, np.inf).min(axis=1, initial=np.inf)
    none = 1 - probabilities.max(axis=1, initial=0.0)
    return Choice(chosen, np.where(np.isfinite(least), least, none), [because] * len(chosen))


def without(choice: Choice, rejected: Flags, probability: Floats) -> Choice:
    """The same, with no label for the texts that belong to none; their probability (n,) is that of belonging to none."""
    labels = choice.labels.copy()
    labels[rejected] = None
    why = tr("none of these: further from every label than the others")
    reasons = [why if out else reason for out, reason in zip(rejected, choice.reasons, strict=True)]
    return Choice(labels, np.where(rejected, probability, choice.probabilities), reasons)
