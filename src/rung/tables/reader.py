"""What every format must be able to do: be checked once from end to end, then be read in chunks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

from rung.tables.chunk import Chunk
from rung.tables.dialect import Dialect
from rung.tables.source import Source


class Reader(ABC):
    """One format's way to read a source. `scan` comes first and fills in the rest; both keep memory flat."""

    dialect = Dialect()  # how a file of lines made from this table is written

    def __init__(self, source: Source) -> None:
        self.source = source
        self.columns: list[str] = []
        self.text_candidates: list[str] = []  # the columns that could hold the texts
        self.rows = 0
        self._line = 0  # where the row that was read last begins

    @abstractmethod
    def scan(self) -> None:
        """Check structure and encoding from end to end, and learn the columns and how many rows there are.

        Raises UserError at the first fault, naming its line.
        """

    @abstractmethod
    def chunks(self, text_column: str, size: int) -> Iterator[Chunk]:
        """The rows, `size` at a time (the last chunk may be smaller)."""

    def line_of(self, row: int) -> int | None:
        """The line in which a row (from 0) begins; None where the format has no lines. It reads the file up to there."""
        rows = self.chunks(self.columns[0], 1)
        next(islice(rows, row, None), None)
        return self._line or None

    def pad_to_file_width(self, rows: Sequence[list[str]]) -> Sequence[list[str]]:
        """Rows of `columns`, with an empty field for every column of the file that was left out."""
        return rows

    def schema(self) -> Any:
        """The Arrow schema of `Chunk.arrays`: strings, where the format knows no other types."""
        import pyarrow as pa

        return pa.schema([(column, pa.string()) for column in self.columns])

    def check_text(self, text_column: str) -> None:  # noqa: B027 - most formats can take any column
        """Raise UserError if this column can never hold a text."""
