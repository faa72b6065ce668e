"""Excel workbooks (.xlsx): the rows of one sheet as strings, as a person sees them there."""

from __future__ import annotations

import re
import shlex
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import IO, Any, NamedTuple
from zipfile import BadZipFile

from rung.errors import UserError, nearest
from rung.messages import Localized, message, tr
from rung.text_encoding import cannot_read

INSTALL = message("pip install 'rung[excel]'")
MOST_ROWS, MOST_COLUMNS, MOST_CHARACTERS = 1 << 20, 1 << 14, (1 << 15) - 1  # of a sheet, and of a cell
_BLOCK_BYTES, _OVERLAP_BYTES = 1 << 20, 1 << 17  # a cell is shorter than the overlap
_ESCAPED = re.compile(r"_x([0-9A-Fa-f]{4})_")  # what Excel writes for signs that XML cannot hold
_MERGED = re.compile(rb'<(?:\w+:)?mergeCell\b[^>]*\bref="([A-Z]+)(\d+):[A-Z]+(\d+)"')
# A formula without a value. One whose value is an empty text says so by its type.
_NO_VALUE = re.compile(
    rb'<c (?![^>]*\bt="str")[^>]*\br="([A-Z]+\d+)"[^>]*><f\b(?:[^>]*/>|[^>]*>[^<]*</f>)(?:<v\s*/>|<v></v>)?</c>'
)


class Merged(NamedTuple):
    """A cell that stands for several rows: its column (from 0) and its first and last row (from 1)."""

    column: int
    first: int
    last: int


def sheet_rows(path: Path, name: str, sheet: str | None = None) -> Iterator[tuple[int, list[str]]]:
    """The number (from 1) and the cells of every row of a sheet, in order; a row may be shorter than others.

    `sheet` names the sheet; without it, it is the only visible one that holds anything. Numbers are written as short as they can
    be (7, not 7.0), dates in ISO 8601, formulas as their values; a cell that is merged downwards stands in each of its rows.
    Rows are read one by one. `name` is what messages call the file.
    Raises UserError where openpyxl is missing, the file is no workbook, the sheet is not clear, or a formula has no value.
    """
    with _opened(path, name) as book:
        chosen = _chosen(book, name, sheet)
        with chosen._get_source() as stream:
            merged = _survey(stream, name, chosen.title)
        yield from _filled(_cells(chosen), merged)


@contextmanager
def _opened(path: Path, name: str) -> Iterator[Any]:
    try:
        from openpyxl import load_workbook
    except ImportError:
        raise UserError("{name}: openpyxl, which reads .xlsx, is not installed.", INSTALL, name=name) from None
    try:
        with path.open("rb") as file, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what openpyxl does not know of (charts, styles) is not read
            book = load_workbook(file, read_only=True, data_only=True)
            try:
                yield book
            finally:
                book.close()
    except OSError as error:
        raise cannot_read(name, error) from None
    except (
        BadZipFile,
        KeyError,
        ValueError,
        TypeError,
        SyntaxError,
        EOFError,
    ) as error:  # XML's error is a SyntaxError
        if isinstance(error, UserError):
            raise
        raise UserError(
            "{name} cannot be read as .xlsx ({kind}): it is damaged, protected by a password, or in another format.",
            "Open it in the spreadsheet, and save it as .xlsx without a password, or as CSV UTF-8.",
            name=name,
            kind=type(error).__name__,
        ) from None


def _chosen(book: Any, name: str, asked: str | None) -> Any:
    """The sheet that is asked for, or the only one that a person sees something in."""
    sheets = {sheet.title: sheet for sheet in book.worksheets}
    for each in sheets.values():
        each.reset_dimensions()  # some programs write wrong ones, and cells beyond them would be lost
    if asked is not None:
        if asked in sheets:
            return sheets[asked]
        near = nearest(asked, sheets)
        raise UserError(
            "{name}: there is no sheet {asked!r} (sheets: {sheets}).",
            _options([near] if near else list(sheets)),
            name=name,
            asked=asked,
            sheets=", ".join(sheets),
        )
    filled = [title for title, each in sheets.items() if each.sheet_state == "visible" and any(map(any, _cells(each)))]
    if len(filled) == 1:
        return sheets[filled[0]]
    if not filled:
        raise UserError("{name} is empty.", "Check it:  ls -l {file}", name=name, file=Localized(shlex.quote(name)))
    raise UserError(
        "{name}: {count} sheets hold something ({sheets}).",
        _options(filled),
        name=name,
        count=len(filled),
        sheets=", ".join(filled),
    )


def _options(sheets: list[str]) -> Localized:
    options = [f"--sheet {shlex.quote(sheet)}" for sheet in sheets[:3]]
    return tr("Name it:  {options}", options=tr("  or  ").join(options))


def _survey(stream: IO[bytes], name: str, sheet: str) -> list[Merged]:
    """The cells that are merged downwards, by their first rows. Raises UserError where a formula was never calculated."""
    merged, kept = set(), b""
    while block := stream.read(_BLOCK_BYTES):
        kept = kept[-_OVERLAP_BYTES:] + block
        if found := _NO_VALUE.search(kept):
            raise UserError(
                "{name}: the formula in {cell} of sheet {sheet!r} has no value: it was never calculated.",
                "Open the file in the spreadsheet, and save it there.",
                name=name,
                cell=found[1].decode(),
                sheet=sheet,
            )
        merged |= {Merged(_column(each[1]), int(each[2]), int(each[3])) for each in _MERGED.finditer(kept)}
    return sorted((each for each in merged if each.last > each.first), key=lambda each: each.first)


def _column(letters: bytes) -> int:
    number = 0
    for letter in letters:
        number = 26 * number + letter - 64
    return number - 1


def _cells(sheet: Any) -> Iterator[list[str]]:
    """Every row from the first on, also blank ones."""
    return ([_shown(value) for value in row] for row in sheet.iter_rows(values_only=True))


def _filled(rows: Iterator[list[str]], merged: list[Merged]) -> Iterator[tuple[int, list[str]]]:
    waiting, active = merged[::-1], dict[Merged, str]()
    for number, row in enumerate(rows, 1):
        for each in [each for each in active if number > each.last]:
            del active[each]
        while waiting and waiting[-1].first <= number:
            each = waiting.pop()
            active[each] = row[each.column] if each.column < len(row) else ""
        for each, value in active.items():
            row += [""] * (each.column + 1 - len(row))
            row[each.column] = value
        yield number, row


def _shown(value: Any) -> str:
    """A cell's value as a person sees it, dates in ISO 8601."""
    if value is None:
        return ""
    if isinstance(value, str):
        return _ESCAPED.sub(lambda found: chr(int(found[1], 16)), value) if "_x" in value else value
    if isinstance(value, bool):
        return str(value).upper()
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    if isinstance(value, datetime):
        midnight = not (value.hour or value.minute or value.second or value.microsecond)
        return value.date().isoformat() if midnight else value.isoformat(" ")
    return str(value)
