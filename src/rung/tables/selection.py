"""Some rows of a table, kept in memory as strings: what is written of a table of which only a part is wanted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rung.tables.chunk import Cells, Chunk
from rung.tables.reader import Reader
from rung.tables.source import Source


class Selection(Reader):
    """Rows that were picked from a table already, in the order in which they were picked."""

    def __init__(self, source: Source, columns: Sequence[str], rows: Sequence[list[str]]) -> None:
        super().__init__(source)
        self.columns = list(columns)
        self.rows = len(rows)
        self._picked = rows

    def scan(self) -> None:
        """Nothing is left to check."""

    def chunks(self, text_column: str, size: int) -> Iterator[Chunk]:
        """The rows, `size` at a time."""
        for first in range(0, self.rows, size):
            yield Cells(self.columns, text_column, list(self._picked[first : first + size]))
