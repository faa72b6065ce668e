"""How rows become bytes: CSV, JSON Lines, Parquet."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, BinaryIO

from rung.tables.chunk import Chunk, dumps
from rung.tables.dialect import Dialect
from rung.tables.table import Table

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

    def _flush(self) -> None:
        import pyarrow as pa

        if self._waiting:
            waiting, self._waiting = self._waiting, []
            self._writer.write_table(pa.Table.from_batches(waiting, schema=self._schema))


def _extended(line: str, new: str) -> str:
    body = line[:-1].rstrip()  # without the closing brace
    comma = ", " if new and body != "{" else ""
    return f"{body}{comma}{new}}}"
