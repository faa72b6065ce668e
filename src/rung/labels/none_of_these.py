"""What a person writes in place of a label for a text that belongs to none of the labels."""

from __future__ import annotations

NONE_OF_THESE = "none of these"


def is_none_of_these(word: str) -> bool:
    """Whether a cell holds the words "none of these", in any case and with any spaces.

    >>> is_none_of_these(" None of  these"), is_none_of_these("none")
    (True, False)
    """
    return " ".join(word.split()).casefold() == NONE_OF_THESE
