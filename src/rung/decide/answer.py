"""What is said of one text."""

from __future__ import annotations

from dataclasses import dataclass

GIVEN = "given"  # the rung of a label that a person gave


@dataclass(frozen=True)
class Answer:
    """What is said of one text.

    label is None when no answer can be given: `error` then says why the text could not be read, or `reason` why no label
    fits. With several labels it is a tuple of names, possibly empty. probability is that of the label; of several labels,
    of the least probable one that was given, and of no label, that none fits. rung is where the answer stands, "given" for a
    label that a person gave; reason says in words what it rests on.
    """

    label: str | tuple[str, ...] | None
    probability: float | None
    rung: str
    reason: str
    error: str | None = None
