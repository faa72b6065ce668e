"""What is said of one text."""

from __future__ import annotations

from dataclasses import dataclass

from rung.labels.normal_form import LabelValue

GIVEN = "given"  # the rung of a label that a person gave


@dataclass(frozen=True)
class Answer:
    """What is said of one text.

    label is as it was given (a number stays one). It is None when no answer can be given: `error` then says why the text could
    not be read, or `reason` why no label fits. With several labels it is a tuple of labels, possibly empty. probability is that
    of the label; of several labels, of the least probable one that was given, and of no label, that none fits. rung is where
    the answer stands, "given" for a label that a person gave; reason says in words what it rests on. label_set holds
    the labels among which the true one is, where it was asked for.
    """

    label: LabelValue | tuple[LabelValue, ...] | None
    probability: float | None
    rung: str
    reason: str
    error: str | None = None
    label_set: tuple[LabelValue, ...] | None = None
