"""From probabilities to answers: one label a text, several, one of a tree, or none."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from rung.decide.answer import Answer
from rung.decide.label_selection import Choice, all_above_half, deepest_confident, most_probable, with_rejections
from rung.decide.rejection import Reject
from rung.estimator.label_space import LabelSpace
from rung.evidence import Evidence
from rung.messages import tr_n

Floats = npt.NDArray[np.float64]


def choose_several(space: LabelSpace, probabilities: Floats, rung: str) -> Choice:
    """All labels that are more likely than not, from independent probabilities (n, k)."""
    return all_above_half(space.classes.tolist(), probabilities, _reason(space, rung))


def choose_one(
    space: LabelSpace, probabilities: Floats, evidence: Evidence, rung: str, *, confidence: float, reject: Reject | None
) -> Choice:
    """One label a text from probabilities (n, k): the likeliest, or in a tree the deepest that reaches `confidence`.

    It is None for texts that could not be read, and for those that `reject`, where it is given, takes for none of the labels.
    """
    if space.tree is not None:
        chosen = deepest_confident(space.tree, probabilities, confidence, _reason(space, rung))
    else:
        chosen = most_probable(space.classes.tolist(), probabilities, _reason(space, rung))
    if reject is not None:
        chosen = with_rejections(chosen, reject.rejected(evidence.features), reject.probability(evidence.features))
    chosen.labels[~evidence.ok] = None
    return chosen


def as_answers(
    chosen: Choice, faults: Sequence[str | None], rung: str, label_sets: Sequence[tuple[Any, ...] | None]
) -> list[Answer]:
    """One `Answer` a text; faults say why a text could not be read, None where it was."""
    rows = zip(chosen.labels, chosen.probabilities, chosen.reasons, faults, label_sets, strict=True)
    return [
        Answer(label, float(probability), rung, reason, label_set=label_set)
        if fault is None
        else Answer(None, None, rung, fault, fault)
        for label, probability, reason, fault, label_set in rows
    ]


def _reason(space: LabelSpace, rung: str) -> str:
    return tr_n("rung {rung}, {n} label", "rung {rung}, {n} labels", n=len(space.classes), rung=rung)
