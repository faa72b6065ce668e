"""A sheet of an Excel workbook (.xlsx) as a table: it is unpacked once, as CSV on disk, and read from there."""

from __future__ import annotations

from collections.abc import Iterator

from rung.errors import UserError
from rung.tables.delimited import Delimited
from rung.tables.dialect import Dialect
from rung.tables.source import Source
from rung.workbook import sheet_rows

_UNPACKED = Dialect()
_NUMBER = "number"  # stands in the header above the numbers of rows


class Spreadsheet(Delimited):
    """The rows below the first one that holds anything, which is the header. Blank rows are none, as in CSV.

    A column without a name is left out if nothing stands in it. The first one may hold something: it is an index.
    """

    def __init__(self, source: Source, sheet: str | None) -> None:
        super().__init__(source, _UNPACKED.delimiter)
        self._sheet = sheet
        self._places: list[int] = []  # of the columns that are read

    def scan(self) -> None:
        """Unpack the sheet, and learn the columns, and which of them could hold texts."""
        self.source = Source.of_lines(self.source.name, self._unpack(self.source))
        super().scan()

    def _learn_dialect(self) -> None:
        self.dialect = Dialect(byte_order_mark=True)  # a CSV that is made from a workbook is opened in Excel again

    def _unpack(self, book: Source) -> Iterator[bytes]:
        """The lines of CSV, all as wide as the header, each with the number of its row at its end; none for blank rows.

        Where a row is one cell, a blank one is a row whose text is empty, except at the end.
        """
        rows = sheet_rows(book.path, book.name, self._sheet)
        header = next((row for _, row in rows if any(row)), [])
        while header and not header[-1]:
            header.pop()
        yield _UNPACKED.encode([[*header, _NUMBER]])
        index, blank = False, list[int]()
        for number, row in rows:
            if not any(row):
                blank += [number] * (len(header) == 1)
                continue
            unnamed = [i for i, cell in enumerate(row) if cell and not "".join(header[i : i + 1])]
            if any(unnamed):
                raise self._unnamed_column_with_value(number, unnamed[-1])
            index = index or bool(unnamed)
            yield _UNPACKED.encode(["", str(each)] for each in blank)
            yield _UNPACKED.encode([[*[*row, *[""] * len(header)][: len(header)], str(number)]])
            blank.clear()
        self._places = [i for i, name in enumerate(header) if name or (i == 0 and index)]

    def _unnamed_column_with_value(self, row: int, column: int) -> UserError:
        return UserError(
            "{name}: in row {row}, column {column} has a value but no name in the header.",
            "Write a name above it; remove rows above the header, such as a title.",
            name=self.source.name,
            row=row,
            column=column + 1,
        )

    def _rows(self) -> Iterator[list[str]]:
        for row in super()._rows():
            self._line = int(row[-1]) if row[-1] != _NUMBER else 0
            yield [row[i] for i in self._places]
