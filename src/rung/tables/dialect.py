"""The dialect of a file of lines (separator, byte-order mark, line end, sep= line): what is written follows what was read."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

_MARK = "\ufeff"


@dataclass(frozen=True)
class Dialect:
    r"""How a CSV or TSV file is written. A table has the dialect of its own file, so that the output opens where the input did.

    `byte_order_mark` stands before all else: Excel needs it to see UTF-8. `declared` says that the first line is Excel's own
    declaration of the separator (sep=;), which is no row.

    >>> Dialect(";", "\r\n", declared=True).page([("id", "text"), ("007", "a;b")])
    b'sep=;\r\nid;text\r\n007;"a;b"\r\n'
    """

    delimiter: str = ","
    line_end: str = "\n"
    byte_order_mark: bool = False
    declared: bool = False

    def page(self, rows: Iterable[Sequence[str]]) -> bytes:
        """A whole file: what stands before the rows, then the rows. The header is the first of them."""
        return self.preamble() + self.encode(rows)

    def preamble(self) -> bytes:
        """The byte-order mark and the declared separator, where this dialect has them."""
        declaration = f"sep={self.delimiter}{self.line_end}" if self.declared else ""
        return f"{_MARK if self.byte_order_mark else ''}{declaration}".encode()

    def encode(self, rows: Iterable[Sequence[str]]) -> bytes:
        """The rows as UTF-8, each with its line end; quotes stand only where they are needed."""
        return "".join(map(self._line, rows)).encode("utf-8")

    def separated_by(self, delimiter: str) -> Dialect:
        """The same dialect with another separator; a declaration of the old one does not stay."""
        return self if delimiter == self.delimiter else replace(self, delimiter=delimiter, declared=False)

    def _line(self, row: Sequence[str]) -> str:
        # faster than the csv module, which looks at each character; and that forgets to quote \r before Python 3.13
        line = self.delimiter.join(row)
        if not line or line.count(self.delimiter) >= len(row) or '"' in line or "\n" in line or "\r" in line:
            line = self.delimiter.join(map(self._quoted, row)) or '""'
        return line + self.line_end

    def _quoted(self, field: str) -> str:
        if '"' in field:
            return '"' + field.replace('"', '""') + '"'
        return f'"{field}"' if self.delimiter in field or "\n" in field or "\r" in field else field
