"""Rows below what stands in a file already, which stays as it is to the last byte."""

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
    """Raise UserError where no rows can be put below those of the file `path`, which was opened as `table`."""
    if table.format not in APPENDABLE:
        raise UserError(
            "--out {path}: rows cannot be put below those of this file (only of .csv, .tsv and .jsonl).",
            "Name a new file with --out, and give both to --known:  --out {other}",
            path=path,
            other=path.with_name(f"{path.name.split('.')[0]}-2.csv"),
        )


def append_rows(path: Path, table: Table, rows: Sequence[list[str]]) -> None:
    """Put rows, in the columns of `table`, below those of the file `path` that it was opened from.

    Separator and line ends are the file's own. The file is replaced as a whole, so that it never holds a part of the rows.
    Raises UserError where it cannot be written; it is then as it was.
    """
    check_appendable(path, table)
    target = Path(os.path.realpath(path))
    part = target.with_name(f".{target.name}.{secrets.token_hex(4)}.part")
    try:
        old = target.read_bytes()
        plain = gzip.decompress(old) if old[:2] == b"\x1f\x8b" else old
        fresh = (b"" if plain[-1:] in (b"\n", b"\r") else table.dialect.line_end.encode()) + _encoded(table, rows)
        part.write_bytes(old + (fresh if plain is old else gzip.compress(fresh, mtime=0)))
        with part.open("rb+") as whole:
            os.fsync(whole.fileno())  # a name must not outlive its bytes when the machine goes down
        shutil.copymode(target, part)
        part.replace(target)
    except OSError as error:
        raise UserError(
            "{path} cannot be written: {fault}.",
            "Nothing was changed there. Make room, or name another file:  --out OTHER",
            path=path,
            fault=error.strerror or error,
        ) from None
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)


def _encoded(table: Table, rows: Sequence[list[str]]) -> bytes:
    if table.format != "jsonl":
        return table.dialect.encode(table.as_wide_as_the_file(rows))
    objects = Cells(table.columns, table.text_column, list(rows)).objects()
    return "".join(line + table.dialect.line_end for line in objects).encode("utf-8")
