"""The column that holds the texts: the requested one, or the only one that can hold them."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Sequence

from rung.errors import UserError, nearest
from rung.messages import Localized, tr

_LETTER = re.compile(r"[^\W\d_]")
_DIGIT = re.compile(r"\d")
_NOT_TEXT = frozenset(
    {"true", "false", "yes", "no", "y", "n", "t", "f", "na", "n/a", "nan", "none", "null", "inf", "-inf"}
)


def looks_like_text(value: str) -> bool:
    """Whether a value could be a text, and not only a number, a date, an identifier, or yes and no.

    It needs a letter; a single ASCII word with a digit in it (T-17, 2024-01-05T10:30Z, 3fa85f64-5717) is an identifier.

    >>> [looks_like_text(v) for v in ("hello", "007", "T-17", "2024-01-05 10:33", "yes", "order 66", "好", "")]
    [True, False, False, False, False, True, True, False]
    """
    if not value or value.isdecimal() or not _LETTER.search(value):
        return False
    if value.isascii() and len(value.split(None, 1)) == 1 and _DIGIT.search(value):
        return False
    return len(value) > 5 or value.strip().lower() not in _NOT_TEXT


def text_column(
    name: str,
    columns: Sequence[str],
    text_candidates: Sequence[str],
    requested: str | None,
    preferred: Sequence[str] = ("text",),
    unclear: Localized | None = None,
) -> str:
    """The column that holds the texts of the table called `name`.

    `requested` if given; else the first of the `preferred` names; else the only one in `text_candidates`; else the only column.
    Raises UserError if `requested` is not there (naming the nearest), or if it is not clear which one it is; `unclear` is
    then the hint, where --text is not the way to name it.

    >>> text_column("tickets.csv", ["id", "message"], ["message"], None)
    'message'
    """
    if requested is not None:
        return _known(name, columns, requested)
    for choice in ([each for each in preferred if each in columns][:1], text_candidates, columns):
        if len(choice) == 1:
            return choice[0]
    raise UserError(
        "{name}: {count} columns could hold the texts (columns: {columns})."
        if text_candidates
        else "{name}: no column looks like texts (columns: {columns}).",
        unclear or _options_hint(text_candidates or columns),
        name=name,
        count=len(text_candidates),
        columns=", ".join(columns),
    )


def _known(name: str, columns: Sequence[str], requested: str) -> str:
    if requested in columns:
        return requested
    folded = {column.casefold(): column for column in reversed(columns)}
    near = nearest(requested.casefold(), folded)
    hint = Localized(f"--text {shlex.quote(folded[near])}") if near else _options_hint(columns)
    raise UserError(
        "{name}: there is no column '{requested}' (columns: {columns}).",
        hint,
        name=name,
        requested=requested,
        columns=", ".join(columns),
    )


def _options_hint(columns: Sequence[str]) -> Localized:
    options = [f"--text {shlex.quote(column)}" for column in columns[:3]]
    return tr("Name it:  {options}", options=tr("  or  ").join(options))


def check_unique_names(name: str, columns: Iterable[tuple[int, str]]) -> None:
    """Raise UserError if two `columns` (position from 1, and name) of the table called `name` have the same name."""
    positions: dict[str, int] = {}
    for position, column in columns:
        if column in positions:
            raise UserError(
                "{name}: columns {first} and {second} are both named '{column}'.",
                "Give every column a name of its own in the header.",
                name=name,
                first=positions[column],
                second=position,
                column=column,
            )
        positions[column] = position
