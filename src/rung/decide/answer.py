"""The answer to one text."""

from __future__ import annotations

from dataclasses import dataclass

from rung.labels.normal_form import LabelValue

GIVEN = "given"  # the rung of a label that a person gave


@dataclass(frozen=True)
class Answer:
    """The answer to one text.

    label keeps its type (a number stays a number). It is None where there is no answer: then `error` says why the text could not
    be read, or `reason` why no label fits. With several labels it is a tuple, which may be empty. probability is that of the
    label; with several labels, that of the least probable one; without a label, that no label fits. rung is the rung that gave
    the answer, or "given" for a label that a person gave; reason says in words what the answer is based on. label_set is the
    set of labels that contains the true one with the chosen probability, where it was asked for.
    """

    label: LabelValue | tuple[LabelValue, ...] | None
    probability: float | None
    rung: str
    reason: str
    error: str | None = None
    label_set: tuple[LabelValue, ...] | None = None
