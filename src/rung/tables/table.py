"""Open a table of any format, and check it completely before it is used."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Sequence
from copy import copy
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from rung.errors import UserError
from rung.messages import Localized, tr
from rung.tables.chunk import Chunk
from rung.tables.column import text_column
from rung.tables.delimited import Delimited
from rung.tables.folder import ImageFolder
from rung.tables.formats import format_of
from rung.tables.jsonlines import JsonLines
from rung.tables.lines import Lines
from rung.tables.parquet import ParquetFile
from rung.tables.reader import Reader
from rung.tables.selection import Selection
from rung.tables.source import Source, check_exists
from rung.tables.spreadsheet import Spreadsheet
from rung.text_encoding import utf16_error, utf16_without_mark

_OF_IMAGES = ("image", "path", "file")  # usual names of a column of images
CHUNK_ROWS = 1024  # measured: larger chunks outgrow the processor cache and are a third slower to read and write


def open_table(
    path: str | Path,
    *,
    text: str | None = None,
    format: str | None = None,  # noqa: A002 - its flag
    sheet: str | None = None,
    of_images: bool = False,
    usual: Sequence[str] = (),
    apart: Collection[str] = (),
    unclear: Localized | None = None,
) -> Table:
    """The table in a file, checked: .csv .tsv .txt .jsonl .parquet .xlsx, the text formats also .gz, or "-" (standard input).

    `text` names the column of texts; without it, it is the one named text, or the only one that is not all numbers,
    dates, identifiers or yes and no. `format` overrides the ending; standard input is CSV unless it says otherwise.
    `usual` are names of the column of texts that are looked for first; columns `apart` are never it, unless they are named;
    `unclear` is the hint where it stays open which column it is. `sheet` names the sheet of a workbook that has several.
    With `of_images` its texts are names of images, in a column called image, path or file, and it may be a folder of them.
    Raises UserError at the first fault of the file, of its structure or of its encoding.
    """
    if of_images and os.path.isdir(path):
        return _open_folder(str(path))
    check_exists(str(path))  # before the format: a missing file is the more useful error
    kind = format_of(str(path), format)
    if sheet is not None and kind != "xlsx":
        raise UserError("--sheet {sheet}: {name} has no sheets.", "Leave out --sheet.", sheet=sheet, name=path)
    source = Source(str(path))
    try:
        _check_start(source, kind)
        reader = Spreadsheet(source, sheet) if kind == "xlsx" else _reader(source, kind)
        reader.scan()
        text_candidates = [name for name in reader.text_candidates if name not in apart]
        usual = usual or (_OF_IMAGES if of_images else ("text",))
        column = text_column(source.name, reader.columns, text_candidates, text, usual, unclear)
        reader.check_text(column)
    except BaseException:
        source.close()
        raise
    return Table(source, reader, kind, column)


class Table:
    """A checked table: its columns, which of them holds the texts, how many rows it has, and the rows in chunks.

    Use it as a context manager: at the end the temporary copy of standard input is removed.
    """

    def __init__(self, source: Source, reader: Reader, format: str, text_column: str) -> None:  # noqa: A002 - its flag
        self.name = source.name
        self.path = source.path
        self.format = format
        self.dialect = reader.dialect
        self.columns = reader.columns
        self.text_column = text_column
        self.rows = reader.rows
        self._source = source
        self._reader = reader

    @property
    def folder(self) -> Path:
        """What relative paths in its cells are relative to: its own folder; of standard input, where one stands."""
        if self.name == "standard input":
            return Path()
        return self.path if self.path.is_dir() else self.path.parent

    @property
    def content(self) -> Path:
        """The file whose bytes are the table's rows: of a workbook only the sheet that is read."""
        return self._reader.source.path

    def chunks(self, size: int = CHUNK_ROWS) -> Iterator[Chunk]:
        """The rows in order, `size` at a time; as often as wanted, and never more than a chunk in memory.

        Raises UserError if the file is no longer what was checked.
        """
        count = 0
        for chunk in self._reader.chunks(self.text_column, size):
            count += len(chunk)
            yield chunk
        if count != self.rows:
            raise UserError(
                "{name} changed while it was read: it had {rows} rows, now {count}.",
                "Run it again when nothing else writes to it.",
                name=self.name,
                rows=self.rows,
                count=count,
            )

    def column(self, name: str) -> list[str | None]:
        """One column's values, of all rows, as strings; None where there is none (an empty CSV cell is "").

        Raises UserError if there is no such column.
        """
        if name not in self.columns:
            raise UserError(
                "{name}: there is no column '{column}' (columns: {columns}).",
                "Name one of these columns.",
                name=self.name,
                column=name,
                columns=", ".join(self.columns),
            )
        return [value for chunk in self.chunks() for value in chunk.column(name)]

    def selection(self, columns: Sequence[str], rows: Sequence[list[str]]) -> Table:
        """A table of these rows of strings, for an output that is written in the dialect of this one."""
        made = copy(self)
        made.columns, made.rows = list(columns), len(rows)
        made._reader = Selection(self._source, columns, rows)
        return made

    def pad_to_file_width(self, rows: Sequence[list[str]]) -> Sequence[list[str]]:
        """Rows of `columns`, with an empty field for every column of the file that was left out."""
        return self._reader.pad_to_file_width(rows)

    def place(self, row: int) -> Localized:
        """Where a row (from 0) stands in the person's own file, as an editor numbers its lines or a table its rows."""
        line = self._reader.line_of(row)
        if line is None or self.format == "xlsx":
            return tr("row {row}", row=line or row + 1)
        return tr("line {line}", line=line)

    def schema(self) -> Any:
        """The Arrow schema of the rows; strings unless the table is Parquet."""
        return self._reader.schema()

    def close(self) -> None:
        """Remove the temporary copies of standard input and of an unpacked sheet."""
        self._source.close()
        self._reader.source.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _open_folder(name: str) -> Table:
    source = Source(name)
    reader = ImageFolder(source)
    reader.scan()
    return Table(source, reader, "csv", reader.columns[0])


def _check_start(source: Source, kind: str) -> None:
    """Raise UserError if the first bytes show another format than the name."""
    start = source.start()
    if start == b"PK\x03\x04" and kind != "xlsx":
        raise UserError(
            "{name} is a spreadsheet or an archive, not {kind}.",
            "If it is a workbook of Excel:  --format xlsx",
            name=source.name,
            kind=kind,
        )
    if start == b"PAR1" and kind != "parquet":
        raise UserError("{name} is Parquet, not {kind}.", "--format parquet", name=source.name, kind=kind)
    if kind != "parquet" and (unmarked := utf16_without_mark(start)):
        raise utf16_error(source.name, unmarked)
    if kind == "parquet" and start[:2] == b"\x1f\x8b":
        raise UserError("{name} is Parquet inside gzip.", "Unpack it first:  gunzip {name}", name=source.name)


def _reader(source: Source, kind: str) -> Reader:
    if kind == "csv":
        return Delimited(source)
    if kind == "tsv":
        return Delimited(source, "\t")
    if kind == "txt":
        return Lines(source)
    return JsonLines(source) if kind == "jsonl" else ParquetFile(source)
