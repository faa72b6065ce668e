"""CSV and TSV: any of four separators, quoted line breaks, values exactly as they were written."""

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
from rung.messages import Localized
from rung.tables.chunk import Cells, Chunk
from rung.tables.column import carries_text, check_unique_names
from rung.tables.dialect import Dialect
from rung.tables.reader import Reader
from rung.tables.source import Source, line_end
from rung.text_encoding import declared_separator

SEPARATORS = "\t,;|"  # a tab first: where two fit alike, texts hold commas and hardly tabs
# No separator in the header means one column, whose texts may hold any separator. Unicode sets this code point apart
# as a character that no text has.
_NONE = "\uffff"
_SAMPLE_CHARACTERS = 1 << 16
# The csv module's own limit is 131072 characters. Some limit must be, else a lost quote reads a huge file into memory.
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
                unclear = [i for i in unclear if not carries_text(row[i])]
            if empty:
                empty = [i for i in empty if not row[i]]
        self._keep_columns(header, unnamed, empty)
        self.of_text = [header[i] for i in self._kept if i not in unclear]
        if not self.rows:
            raise UserError(
                "{name} has a header but no rows.",
                "If its first line is a text and not a header, say that it holds a text a line:  --format txt",
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

    def as_wide_as_the_file(self, rows: Sequence[list[str]]) -> list[list[str]]:
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
        """The separator that is given, declared (sep=;) or seen in the first rows; how lines end; a byte-order mark."""
        with self.source.text(errors="replace") as text:
            first = next(text, "")
            declared = declared_separator(first)
            if self._delimiter is None or declared:
                rest = "" if declared else text.read(_SAMPLE_CHARACTERS)
                self._delimiter = declared or separator(first + rest, _SAMPLE_CHARACTERS)
                if first.startswith("#") and self._delimiter == _NONE and separator(rest, _SAMPLE_CHARACTERS) != _NONE:
                    raise self._comment()
        self._declared = declared is not None
        self.dialect = Dialect(
            "," if self._delimiter == _NONE else self._delimiter,
            self._header_end(),
            byte_order_mark=self.source.byte_order_mark(),
            declared=self._declared,
        )

    def _comment(self) -> UserError:
        return UserError(
            "{name}: line 1 is a comment and not the header: the lines below it have several fields.",
            "Take it out:  sed 1d {file} > {new}",
            name=self.source.name,
            file=Localized(shlex.quote(self.source.name)),
            new=Localized(shlex.quote(f"{Path(self.source.name).stem}-table.csv")),
        )

    def _header_end(self) -> str:
        """What the line of the header ends with; a line break inside its quotes is none of the file's line ends."""
        with self.source.text(errors="replace") as text:
            reader = csv.reader(text, delimiter=self._delimiter or ",")
            with suppress(csv.Error):  # the check of the whole file will name it
                next(filter(None, reader), None)
        with self.source.text(errors="replace") as text:
            return line_end(next(islice(text, max(reader.line_num - 1, 0), None), ""))

    def _lines(self, text: TextIO) -> Iterator[str]:
        """The lines, a blank one in place of a declared separator, so that numbers of lines stay those of the file."""
        return chain(("\n",), islice(text, 1, None)) if self._declared else iter(text)

    def _rows(self) -> Iterator[list[str]]:
        """The header, then every row. Blank lines are no rows, except where a row is one field, which may be empty."""
        csv.field_size_limit(max(csv.field_size_limit(), _FIELD_CHARACTERS))
        with self.source.text() as lines:
            reader = csv.reader(self._lines(lines), delimiter=self._delimiter or ",", strict=True)
            width, line = -1, 1  # no header yet; `line` is where the row at hand begins
            try:
                for row in reader:
                    self._line = line
                    if len(row) == width:
                        yield row
                    elif row and width < 0:
                        width = len(row)
                        yield row
                    elif row:
                        raise self._uneven(line, len(row), width)
                    elif width == 1:
                        yield [""]
                    line = reader.line_num + 1
            except csv.Error as error:
                raise self._broken(line, reader.line_num, str(error)) from None
            except UnicodeDecodeError:
                raise self._not_utf8() from None

    def _uneven(self, line: int, fields: int, width: int) -> UserError:
        shown = {"\t": "tab"}.get(self.dialect.delimiter, f"'{self.dialect.delimiter}'")
        return UserError(
            "{name}: line {line} has {fields} field{value}, the header has {width}.",
            "Mend that line; the separator is {shown}, and a text that holds one must stand in double quotes.",
            name=self.source.name,
            line=line,
            fields=fields,
            value="s"[: fields > 1],
            width=width,
            shown=shown,
        )

    def _broken(self, line: int, last: int, fault: str) -> UserError:
        if "expected after" in fault:
            where = f"in line {last}, something follows a closing quote" + (
                f" (the row begins in line {line})" * (line < last)
            )
        elif "unexpected end" in fault or "field limit" in fault:
            where = f"the quote that opens in line {self._open_quote(line)} is never closed"
        else:
            where = f"in line {last}, {fault}"
        return UserError(
            "{name}: broken CSV: {where}.",
            'Close the quote; a quote inside a quoted text is written twice:  "she said ""yes"" to it"',
            name=self.source.name,
            where=where,
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
        """Name the row as well: with quoted line breaks it is not the line."""
        with self.source.text(errors="surrogateescape") as lines:
            reader = csv.reader(self._lines(lines), delimiter=self._delimiter or ",")
            for number, row in enumerate(filter(None, reader)):
                if _NOT_UTF8.search("".join(row)):
                    return self.source.not_utf8(f", row {number}" if number else ", the header")
        return self.source.not_utf8()


def separator(sample: str, limit: int = _SAMPLE_CHARACTERS) -> str:
    r"""What separates the fields of a CSV file, seen from its beginning (up to `limit` characters of it).

    Of the separators that stand in the header outside of quotes, the one under which all rows are equally wide; if
    there are several, or none, the one that makes most fields.

    >>> separator('id;"name, first"\n1;"Ada"\n'), separator("a|b\n1,5|2\n"), separator("text\nyes, please\n") == _NONE
    (';', '|', True)
    """
    widths = {delimiter: _widths(sample, delimiter, len(sample) >= limit) for delimiter in SEPARATORS}
    possible = {delimiter: found for delimiter, found in widths.items() if found and found[0] > 1}
    even = {delimiter: found for delimiter, found in possible.items() if len(set(found)) == 1}
    choice = even or possible
    return max(choice, key=lambda delimiter: choice[delimiter][0]) if choice else _NONE


def _widths(sample: str, delimiter: str, cut: bool) -> list[int]:
    try:
        widths = [len(row) for row in csv.reader(io.StringIO(sample, newline=""), delimiter=delimiter) if row]
    except csv.Error:  # a fault that the check of the whole file will name
        return []
    return widths[:-1] if cut and len(widths) > 1 else widths
