"""Why a text or an image cannot be read, as far as it shows before a backbone is asked."""

from __future__ import annotations

from rung.evidence.images import Picture
from rung.messages import tr


def fault(text: object) -> str | None:
    """Why a text cannot be read, or None; of an image, as far as it is known before it is opened.

    >>> fault("  ")
    'the text is empty'
    """
    if isinstance(text, Picture):
        return text.fault
    if isinstance(text, str):
        return None if text.strip() else tr("the text is empty")
    if is_missing(text):
        return tr("the text is missing")
    return tr("not a text but {kind}", kind=type(text).__name__)


def is_missing(value: object) -> bool:
    """Whether a value is None, NaN, NaT or pandas.NA: nothing, or not equal to itself, or unable to say."""
    try:
        return value is None or bool(value != value)  # only NaN differs from itself
    except TypeError:
        return True
    except ValueError:  # an array: something, though not a text
        return False
