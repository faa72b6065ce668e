"""How rows become bytes: CSV, JSON Lines, Parquet, Excel."""

from __future__ import annotations

import shutil
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from datetime import datetime
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, BinaryIO

from rung.errors import UserError
from rung.tables.chunk import Chunk, dumps
from rung.tables.dialect import Dialect
from rung.tables.table import Table
from rung.text_encoding import BLOCK_BYTES
from rung.workbook import INSTALL, MOST_CHARACTERS, MOST_COLUMNS, MOST_ROWS

Value = str | float | int | None
_ROW_GROUP_ROWS = 1 << 16


class Sink(ABC):
    """One format's way to write. `added` are the new columns' names and what they hold: str, float or int."""

    def __init__(self, stream: BinaryIO, added: Mapping[str, type]) -> None:
        self.stream = stream
        self.added = added

    @abstractmethod
    def write(self, chunk: Chunk, values: Sequence[Sequence[Value]]) -> None:
        """Append the rows of `chunk`, with the new columns' `values` in the order of `added`."""

    def close(self) -> None:  # noqa: B027 - text formats have no end to write
        """Write what the format needs at its end."""

    def discard(self) -> None:  # noqa: B027 - text formats hold nothing
        """Give up what was written, and let go of what is held."""


class CsvSink(Sink):
    """CSV or TSV, in a given dialect."""

    def __init__(self, stream: BinaryIO, added: Mapping[str, type], table: Table, dialect: Dialect) -> None:
        super().__init__(stream, added)
        self.dialect = dialect
        stream.write(dialect.page([[*table.columns, *added]]))

    def write(self, chunk: Chunk, values: Sequence[Sequence[Value]]) -> None:
        """Append rows; None is an empty field."""
        columns = [["" if value is None else str(value) for value in column] for column in values]
        added = zip(*columns, strict=True) if columns else [()] * len(chunk)
        self.stream.write(self.dialect.encode([[*row, *new] for row, new in zip(chunk.cells(), added, strict=True)]))


class JsonSink(Sink):
    """JSON Lines: the row's own object, to the letter, with the new keys before its closing brace."""

    def __init__(self, stream: BinaryIO, added: Mapping[str, type], dialect: Dialect) -> None:
        super().__init__(stream, added)
        self._line_end = dialect.line_end
        stream.write(dialect.preamble())

    def write(self, chunk: Chunk, values: Sequence[Sequence[Value]]) -> None:
        """Append rows; None is null."""
        keys = [dumps(name) + ": " for name in self.added]
        columns = [[key + dumps(value) for value in column] for key, column in zip(keys, values, strict=True)]
        rows = zip(chunk.objects(), zip(*columns, strict=True), strict=True)
        self.stream.write("".join(_extended(row, ", ".join(new)) + self._line_end for row, new in rows).encode("utf-8"))


class ParquetSink(Sink):
    """Parquet: the table's own Arrow types, then strings, float64 and int64."""

    def __init__(self, stream: BinaryIO, added: Mapping[str, type], table: Table) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        super().__init__(stream, added)
        self._types = [{str: pa.string(), float: pa.float64(), int: pa.int64()}[kind] for kind in added.values()]
        self._schema = table.schema()
        for name, kind in zip(added, self._types, strict=True):
            self._schema = self._schema.append(pa.field(name, kind))
        self._writer = pq.ParquetWriter(stream, self._schema)
        self._waiting: list[Any] = []

    def write(self, chunk: Chunk, values: Sequence[Sequence[Value]]) -> None:
        """Append rows; they are gathered into row groups, because many small ones make a slow file."""
        import pyarrow as pa

        new = [pa.array(column, kind) for column, kind in zip(values, self._types, strict=True)]
        self._waiting.append(pa.RecordBatch.from_arrays([*chunk.arrays(), *new], schema=self._schema))
        if sum(batch.num_rows for batch in self._waiting) >= _ROW_GROUP_ROWS:
            self._flush()

    def close(self) -> None:
        """Write the last row group and the footer."""
        self._flush()
        self._writer.close()

    def discard(self) -> None:
        """Close the writer, whose footer nobody wants."""
        self._writer.close()

    def _flush(self) -> None:
        import pyarrow as pa

        if self._waiting:
            waiting, self._waiting = self._waiting, []
            self._writer.write_table(pa.Table.from_batches(waiting, schema=self._schema))


class XlsxSink(Sink):
    """A workbook of one sheet: the table's columns as text (007 stays 007, and =1+1 no formula), the new numbers as numbers."""

    def __init__(self, stream: BinaryIO, added: Mapping[str, type], table: Table) -> None:
        super().__init__(stream, added)
        _check_fits(table, len(added))
        from xlsxwriter import Workbook

        # rows go to a temporary file one by one; the time inside stays the same, so that the same rows make the same bytes
        self._scratch = TemporaryDirectory(prefix="rung-")
        self._packed = Path(self._scratch.name) / "packed.xlsx"
        self._book = Workbook(self._packed, {"constant_memory": True, "tmpdir": self._scratch.name})
        self._book.set_properties({"created": datetime(2000, 1, 1)})
        self._sheet = self._book.add_worksheet()
        self._row = 0
        self._put([*table.columns, *added])

    def write(self, chunk: Chunk, values: Sequence[Sequence[Value]]) -> None:
        """Append rows; None is an empty cell."""
        added = zip(*values, strict=True) if values else [()] * len(chunk)
        for row, new in zip(chunk.cells(), added, strict=True):
            self._put([*row, *new])

    def close(self) -> None:
        """Pack the workbook, and copy it to where it belongs."""
        from xlsxwriter.exceptions import FileCreateError

        try:
            self._book.close()
        except FileCreateError as error:
            raise error.args[0] if isinstance(error.args[0], OSError) else OSError(str(error)) from None
        with self._packed.open("rb") as packed:
            shutil.copyfileobj(packed, self.stream, BLOCK_BYTES)
        self._scratch.cleanup()

    def discard(self) -> None:
        """Leave no temporary file."""
        self._book.fileclosed = True  # else its destructor would pack what nobody wants
        self._sheet.row_data_fh.close()
        self._scratch.cleanup()

    def _put(self, row: Sequence[Value]) -> None:
        for column, value in enumerate(row):
            if isinstance(value, str) and value:
                self._sheet.write_string(self._row, column, value)
            elif isinstance(value, int | float):
                self._sheet.write_number(self._row, column, value)
        self._row += 1


def _check_fits(table: Table, added: int) -> None:
    """Raise UserError if a sheet cannot hold the table, before anything is written: what is too long would be cut."""
    if not find_spec("xlsxwriter"):
        raise UserError("--out: XlsxWriter, which writes .xlsx, is not installed.", INSTALL)
    if table.rows >= MOST_ROWS or len(table.columns) + added > MOST_COLUMNS:
        raise UserError(
            "--out: a sheet of .xlsx holds {most_rows:,} rows and {most_columns:,} columns, and this table is larger.",
            "Write .csv or .parquet.",
            most_rows=MOST_ROWS - 1,
            most_columns=MOST_COLUMNS,
        )
    lengths = (len(cell) for chunk in table.chunks() for row in chunk.cells() for cell in row)
    longest = max(map(len, table.columns), default=0)
    longest = max(longest, max(lengths, default=0))
    if longest > MOST_CHARACTERS:
        raise UserError(
            "--out: a cell of .xlsx holds {most:,} characters, and one here has {longest:,}.",
            "Write .csv or .parquet.",
            most=MOST_CHARACTERS,
            longest=longest,
        )


def _extended(line: str, new: str) -> str:
    body = line[:-1].rstrip()  # without the closing brace
    comma = ", " if new and body != "{" else ""
    return f"{body}{comma}{new}}}"
