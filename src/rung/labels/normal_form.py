"""The normal form of a label: one text for every way to type it, the type that it was given in, and all that reads as it."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Iterator

from rung.errors import UserError

LabelValue = str | int | float | bool

# What editors, spreadsheets and web pages leave at the ends of a name, and `str.strip` does not take away:
# zero-width space, word joiner, byte-order mark, and the zero that NumPy itself drops from the end of a text.
_INVISIBLE = "\u200b\u2060\ufeff\0"


def normal_text(text: str) -> str:
    r"""The text of a name: composed (Unicode NFC), without white space and invisible characters at its ends.

    >>> normal_text(" cafe\u0301\ufeff") == "caf\u00e9"
    True
    """
    composed, before = unicodedata.normalize("NFC", str(text)), None
    while composed != before:
        before, composed = composed, composed.strip().strip(_INVISIBLE)
    return composed


def label_value(given: object) -> LabelValue:
    """A label as it is kept and given back: a text in normal form, or a number or bool of Python, also if NumPy's is given.

    Raises UserError for an empty text, half a surrogate, NaN, infinity, and all that is neither text nor number.

    >>> label_value(" refund "), label_value(True), label_value(2024)
    ('refund', True, 2024)
    """
    if isinstance(given, str):
        return _text(given)
    scalar = _scalar(given)
    if isinstance(scalar, bool | int) or (isinstance(scalar, float) and math.isfinite(scalar)):
        return scalar
    raise UserError(
        "labels: {given!r} is not a name.", "Write label names as texts, in quotes, or as numbers.", given=given
    )


def spellings(value: LabelValue) -> tuple[str, ...]:
    """The texts that stand for a label, the usual one first: a file may write 1 as 1.0, and True as true or 1.

    >>> spellings(1), spellings(0.5), spellings("yes"), spellings(True)
    (('1', '1.0'), ('0.5',), ('yes',), ('True', 'true', 'TRUE', '1', '1.0'))
    """
    if isinstance(value, bool):
        return (str(value), str(value).lower(), str(value).upper(), *spellings(int(value)))
    if isinstance(value, int):
        return str(value), f"{value}.0"
    if isinstance(value, float):
        return (str(value), str(int(value))) if value.is_integer() else (str(value),)
    return (value,)


def readings(given: object) -> Iterator[str]:
    """The texts that something in y, in shares or in a file may stand for, the likeliest first; none for what is no label."""
    if isinstance(given, str):
        yield normal_text(given)
        return
    scalar = _scalar(given)
    if isinstance(scalar, bool | int) or (isinstance(scalar, float) and math.isfinite(scalar)):
        yield from spellings(scalar)


def _scalar(given: object) -> object:
    """A NumPy scalar as Python's own; everything else as it is."""
    item = getattr(given, "item", None)
    found = item() if callable(item) and getattr(given, "shape", None) == () else given
    if isinstance(found, bool):
        return found
    return next((kind(found) for kind in (int, float) if isinstance(found, kind)), found)  # an IntEnum is its number


def _text(given: str) -> str:
    clean = normal_text(given)
    if not clean:
        raise UserError("labels: one label has an empty name.", "Give it a name, or take it out.")
    if any("\ud800" <= letter <= "\udfff" for letter in clean):
        raise UserError(
            "labels: {name} holds half a character (a lone surrogate), which cannot be saved to a file.",
            "Type the name again; it was probably cut in the middle of an emoji.",
            name=ascii(clean),
        )
    return clean
