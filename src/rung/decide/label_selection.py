"""Select labels by their probabilities: the most probable one, the deepest of a tree that is confident, or all above one half."""

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
    """What was selected for n texts: labels (n,), which are labels, tuples of labels or None, probabilities (n,), and reasons."""

    labels: npt.NDArray[np.object_]
    probabilities: Floats
    reasons: list[str]


def most_probable(labels: list[Any], probabilities: Floats, reason: str) -> Choice:
    """The most probable label of each text, from probabilities (n, k)."""
    best = probabilities.argmax(axis=1)
    return Choice(np.array(labels, dtype=object)[best], probabilities[np.arange(len(best)), best], [reason] * len(best))


def deepest_confident(tree: Tree, leaves: Floats, confidence: float, reason: str) -> Choice:
    """The deepest label of the tree whose probability reaches `confidence`; None where not even a label at the top does."""
    places = tree.answers(leaves, confidence)
    probabilities = tree.probabilities(leaves)
    labels = np.array([*tree.values, None], dtype=object)  # place −1 is the last
    top = np.array(tree.parents) < 0
    chances = np.where(
        places >= 0, probabilities[np.arange(len(places)), places], 1 - probabilities[:, top].max(axis=1, initial=0.0)
    )
    none = tr("no label has a probability of {confidence:g} or more", confidence=confidence)
    reasons = [f"{' > '.join(tree.path(int(place)))}: {reason}" if place >= 0 else none for place in places]
    return Choice(labels[places], np.asarray(chances), reasons)


def all_above_half(labels: list[Any], probabilities: Floats, reason: str) -> Choice:
    """All labels with a probability above one half, from independent probabilities (n, k)."""
    chosen = np.empty(len(probabilities), dtype=object)
    chosen[:] = [tuple(labels[k] for k in np.flatnonzero(row > 0.5)) for row in probabilities]
    least = np.where(probabilities > 0.5, probabilities, np.inf).min(axis=1, initial=np.inf)
    none = 1 - probabilities.max(axis=1, initial=0.0)
    return Choice(chosen, np.where(np.isfinite(least), least, none), [reason] * len(chosen))


def with_rejections(choice: Choice, rejected: Flags, probability: Floats) -> Choice:
    """The choice without a label for the rejected texts; `probability` (n,) is that a text belongs to none of the labels."""
    labels = choice.labels.copy()
    labels[rejected] = None
    none = tr("none of these: farther from every label than the other texts")
    reasons = [none if out else reason for out, reason in zip(rejected, choice.reasons, strict=True)]
    return Choice(labels, np.where(rejected, probability, choice.probabilities), reasons)
