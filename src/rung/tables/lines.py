"""Read plain text: one text per line."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from rung.tables.chunk import Cells, Chunk
from rung.tables.dialect import Dialect
from rung.tables.reader import Reader


class Lines(Reader):
    """Every line is a row of one column, `text`; a blank line is a row whose text is empty, so that rows stay rows."""

    def scan(self) -> None:
        """Check that it is UTF-8, and count the lines."""
        self.columns = self.text_candidates = ["text"]
        self.rows = sum(1 for _ in self._rows())
        self.dialect = Dialect(line_end=self.source.first_line_end(), byte_order_mark=self.source.byte_order_mark())
        if not self.rows:
            raise self.source.empty()

    def chunks(self, text_column: str, size: int) -> Iterator[Chunk]:
        """The lines, `size` at a time."""
        rows = self._rows()
        while batch := list(islice(rows, size)):
            yield Cells(self.columns, text_column, batch)

    def _rows(self) -> Iterator[list[str]]:
        try:
            with self.source.text() as lines:
                for self._line, line in enumerate(lines, 1):
                    yield [line.rstrip("\r\n")]
        except UnicodeDecodeError:
            raise self.source.not_utf8() from None
