"""Read CSV and TSV: four separators are detected, line breaks may be quoted, values stay exactly as they were written."""

from __future__ import annotations

import csv
import io
import re
import shlex
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import chain, islice
from pathlib import Path
from typing import TextIO

from rung.errors import UserError
from rung.messages import Localized, message, tr
from rung.tables.chunk import Cells, Chunk
from rung.tables.column import check_unique_names, looks_like_text
from rung.tables.dialect import Dialect
from rung.tables.reader import Reader
from rung.tables.source import Source, line_end
from rung.text_encoding import declared_separator

SEPARATORS = "\t,;|"  # the tab is first, because it wins a tie: texts often contain commas and hardly ever tabs
# Without a separator in the header there is one column, whose texts may contain any separator. This code point is a Unicode
# noncharacter, which no text contains.
_NO_SEPARATOR = "\uffff"
_SAMPLE_CHARACTERS = 1 << 16
# The csv module's own limit is 131072 characters. Without a limit an unclosed quote would read a huge file into memory.
_FIELD_CHARACTERS = 1 << 26
_NOT_UTF8 = re.compile("[\udc80-\udcff]")  # what surrogateescape makes of bytes that are not UTF-8


class Delimited(Reader):
    """A file of rows whose fields stand between separators. The first row that is not blank is the header."""

    def __init__(self, source: Source, delimiter: str | None = None) -> None:
        super().__init__(source)
        self._delimiter = delimiter
        self._declared = False  # whether the first line says what the separator is
        self._width = 0  # columns of the file
        self._kept: list[int] = []  # which of them are columns of the table

    def scan(self) -> None:
        """Check every row, and learn the separator, the columns, and which of them could hold texts."""
        self._learn_dialect()
        rows = self._rows()
        header = next(rows, [])
        if not header:
            raise self.source.empty()
        named = [(i, column) for i, column in enumerate(header, 1) if column.strip()]
        check_unique_names(self.source.name, named)
        unclear = [] if "text" in header else list(range(len(header)))
        unnamed = [i for i, column in enumerate(header) if not column.strip()]
        empty = unnamed
        for row in rows:
            self.rows += 1
            if unclear:
                unclear = [i for i in unclear if not looks_like_text(row[i])]
            if empty:
                empty = [i for i in empty if not row[i]]
        self._keep_columns(header, unnamed, empty)
        self.text_candidates = [header[i] for i in self._kept if i not in unclear]
        if not self.rows:
            raise UserError(
                "{name} has a header but no rows.",
                "If its first line is a text and not a header, say that the file has one text per line:  --format txt",
                name=self.source.name,
            )

    def chunks(self, text_column: str, size: int) -> Iterator[Chunk]:
        """The rows, `size` at a time."""
        rows = self._rows()
        next(rows, None)
        while batch := list(islice(rows, size)):
            if len(self._kept) < self._width:
                batch = [[row[i] for i in self._kept] for row in batch]
            yield Cells(self.columns, text_column, batch)

    def pad_to_file_width(self, rows: Sequence[list[str]]) -> list[list[str]]:
        """Rows of `columns`, with an empty field for every column of the file that was left out."""
        places = {column: place for place, column in enumerate(self._kept)}
        return [[row[places[i]] if i in places else "" for i in range(self._width)] for row in rows]

    def _keep_columns(self, header: list[str], unnamed: list[int], empty: list[int]) -> None:
        """Leave out the unnamed columns that are empty: separators at the end of every line, as spreadsheets write them.

        One unnamed column may hold values (pandas writes its index so). Raises UserError where several do.
        """
        filled = [i + 1 for i in unnamed if i not in empty]
        if len(filled) > 1:
            raise UserError(
                "{name}: columns {first} and {second} have values but no name in the header.",
                "Write a name above each of them in the header.",
                name=self.source.name,
                first=filled[0],
                second=filled[1],
            )
        self._width = len(header)
        self._kept = [i for i in range(self._width) if i not in empty]
        self.columns = [header[i] for i in self._kept]
        if not self.columns:
            raise self.source.empty()

    def _learn_dialect(self) -> None:
        """Learn the separator (given, declared by sep=; or detected in the first rows), the line end and the byte-order mark."""
        with self.source.text(errors="replace") as text:
            first = next(text, "")
            declared = declared_separator(first)
            if self._delimiter is None or declared:
                rest = "" if declared else text.read(_SAMPLE_CHARACTERS)
                self._delimiter = declared or detect_separator(first + rest)
                if (
                    first.startswith("#")
                    and self._delimiter == _NO_SEPARATOR
                    and detect_separator(rest, _SAMPLE_CHARACTERS) != _NO_SEPARATOR
                ):
                    raise self._comment_above_header()
        self._declared = declared is not None
        self.dialect = Dialect(
            "," if self._delimiter == _NO_SEPARATOR else self._delimiter,
            self._header_end(),
            byte_order_mark=self.source.byte_order_mark(),
            declared=self._declared,
        )

    def _comment_above_header(self) -> UserError:
        return UserError(
            "{name}: line 1 is a comment and not the header: the lines below it have several fields.",
            "Remove it:  sed 1d {file} > {new}",
            name=self.source.name,
            file=Localized(shlex.quote(self.source.name)),
            new=Localized(shlex.quote(f"{Path(self.source.name).stem}-table.csv")),
        )

    def _header_end(self) -> str:
        """The line end of the header row; a line break inside its quotes does not count."""
        with self.source.text(errors="replace") as text:
            reader = csv.reader(text, delimiter=self._delimiter or ",")
            with suppress(csv.Error):  # the check of the whole file reports it
                next(filter(None, reader), None)
        with self.source.text(errors="replace") as text:
            return line_end(next(islice(text, max(reader.line_num - 1, 0), None), ""))

    def _lines(self, text: TextIO) -> Iterator[str]:
        """The lines, with a blank one in place of a declared separator, so that line numbers stay those of the file."""
        return chain(("\n",), islice(text, 1, None)) if self._declared else iter(text)

    def _rows(self) -> Iterator[list[str]]:
        """The header, then every row. Blank lines are no rows, except where a row is one field, which may be empty."""
        csv.field_size_limit(max(csv.field_size_limit(), _FIELD_CHARACTERS))
        with self.source.text() as lines:
            reader = csv.reader(self._lines(lines), delimiter=self._delimiter or ",", strict=True)
            width, line = -1, 1  # no header yet; `line` is where the current row begins
            try:
                for row in reader:
                    self._line = line
                    if len(row) == width:
                        yield row
                    elif row and width < 0:
                        width = len(row)
                        yield row
                    elif row:
                        raise self._wrong_width(line, len(row), width)
                    elif width == 1:
                        yield [""]
                    line = reader.line_num + 1
            except csv.Error as error:
                raise self._broken_file(line, reader.line_num, str(error)) from None
            except UnicodeDecodeError:
                raise self._not_utf8() from None

    def _wrong_width(self, line: int, fields: int, width: int) -> UserError:
        delimiter = self.dialect.delimiter
        return UserError(
            "{name}: line {line} has 1 field, the header has {width}."
            if fields == 1
            else "{name}: line {line} has {fields} fields, the header has {width}.",
            "Correct that line; the separator is {separator}, and a text that contains it must stand in double quotes.",
            name=self.source.name,
            line=line,
            fields=fields,
            width=width,
            separator=tr("a tab") if delimiter == "\t" else f"'{delimiter}'",
        )

    def _broken_file(self, line: int, last: int, fault: str) -> UserError:
        opened = line
        if "expected after" in fault and line < last:
            what = message(
                "{name}: broken CSV: in line {last}, something follows a closing quote (the row begins in line {line})."
            )
        elif "expected after" in fault:
            what = message("{name}: broken CSV: in line {last}, something follows a closing quote.")
        elif "unexpected end" in fault or "field limit" in fault:
            what = message("{name}: broken CSV: the quote that opens in line {opened} is never closed.")
            opened = self._open_quote(line)
        else:
            what = message("{name}: broken CSV: in line {last}, {fault}.")
        return UserError(
            what,
            'Close the quote; a quote inside a quoted text is written twice:  "she said ""yes"" to it"',
            name=self.source.name,
            line=line,
            last=last,
            opened=opened,
            fault=fault,
        )

    def _open_quote(self, first: int) -> int:
        """The line of the quote that stays open in the row that begins in line `first`."""
        opened, closed = 0, 0  # the lines in which the open quote, and one that has just closed, began
        fresh = True  # whether a field begins here
        with self.source.text() as lines:
            for number, line in enumerate(islice(lines, first - 1, None), first):
                for character in line:
                    if opened:
                        if character == '"':
                            opened, closed = 0, opened
                    elif character == '"' and (fresh or closed):  # a quote right after a closing one opens it again
                        opened, closed, fresh = closed or number, 0, False
                    else:
                        closed, fresh = 0, character == self._delimiter
        return opened or first

    def _not_utf8(self) -> UserError:
        """The error names the row as well: with quoted line breaks it differs from the line."""
        with self.source.text(errors="surrogateescape") as lines:
            reader = csv.reader(self._lines(lines), delimiter=self._delimiter or ",")
            for number, row in enumerate(filter(None, reader)):
                if _NOT_UTF8.search("".join(row)):
                    return self.source.not_utf8(number)
        return self.source.not_utf8()


def detect_separator(sample: str, limit: int = _SAMPLE_CHARACTERS) -> str:
    r"""Detect the separator of a CSV file from its beginning (up to `limit` characters).

    Of the separators that stand in the header outside of quotes, the one under which all rows are equally wide; if
    there are several, or none, the one that makes most fields.

    >>> detect_separator('id;"name, first"\n1;"Ada"\n'), detect_separator("a|b\n1,5|2\n")
    (';', '|')
    >>> detect_separator("text\nyes, please\n") == _NO_SEPARATOR
    True
    """
    widths = {delimiter: _widths(sample, delimiter, len(sample) >= limit) for delimiter in SEPARATORS}
    possible = {delimiter: found for delimiter, found in widths.items() if found and found[0] > 1}
    even = {delimiter: found for delimiter, found in possible.items() if len(set(found)) == 1}
    choice = even or possible
    return max(choice, key=lambda delimiter: choice[delimiter][0]) if choice else _NO_SEPARATOR


def _widths(sample: str, delimiter: str, cut: bool) -> list[int]:
    try:
        widths = [len(row) for row in csv.reader(io.StringIO(sample, newline=""), delimiter=delimiter) if row]
    except csv.Error:  # the check of the whole file reports it
        return []
    return widths[:-1] if cut and len(widths) > 1 else widths
