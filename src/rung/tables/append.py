"""Append rows to an existing file, whose earlier bytes do not change."""

from __future__ import annotations

import gzip
import os
import secrets
import shutil
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from rung.errors import UserError
from rung.tables.chunk import Cells
from rung.tables.table import Table

APPENDABLE = ("csv", "tsv", "jsonl")  # formats whose files grow at their end


def check_appendable(path: Path, table: Table) -> None:
    """Raise UserError if no rows can be appended to the file `path`, which was opened as `table`."""
    if table.format not in APPENDABLE:
        raise UserError(
            "--out {path}: rows can be appended only to .csv, .tsv and .jsonl.",
            "Name a new file with --out, and give both to --known:  --out {other}",
            path=path,
            other=path.with_name(f"{path.name.split('.')[0]}-2.csv"),
        )


def append_rows(path: Path, table: Table, rows: Sequence[list[str]]) -> None:
    """Append rows, in the columns of `table`, to the file `path` from which it was opened.

    The separator and the line ends are those of the file. The file is replaced in one step, so that it never holds only some of
    the rows. Raises UserError if it cannot be written; it is then unchanged.
    """
    check_appendable(path, table)
    target = Path(os.path.realpath(path))
    part = target.with_name(f".{target.name}.{secrets.token_hex(4)}.part")
    try:
        old = target.read_bytes()
        plain = gzip.decompress(old) if old[:2] == b"\x1f\x8b" else old
        added = (b"" if plain[-1:] in (b"\n", b"\r") else table.dialect.line_end.encode()) + _encoded(table, rows)
        part.write_bytes(old + (added if plain is old else gzip.compress(added, mtime=0)))
        with part.open("rb+") as complete:
            os.fsync(complete.fileno())  # the rename must not reach the disk before the bytes do
        shutil.copymode(target, part)
        part.replace(target)
    except OSError as error:
        raise UserError(
            "{path} cannot be written: {fault}.",
            "The file is unchanged. Make room, or name another file:  --out OTHER",
            path=path,
            fault=error.strerror or error,
        ) from None
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)


def _encoded(table: Table, rows: Sequence[list[str]]) -> bytes:
    if table.format != "jsonl":
        return table.dialect.encode(table.pad_to_file_width(rows))
    objects = Cells(table.columns, table.text_column, list(rows)).objects()
    return "".join(line + table.dialect.line_end for line in objects).encode("utf-8")
