"""Write a table with its answers in added columns: the complete file, or no file."""

from __future__ import annotations

import gzip
import os
import secrets
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self, cast

from rung.errors import UserError
from rung.messages import Localized, tr
from rung.tables.chunk import Chunk
from rung.tables.dialect import Dialect
from rung.tables.formats import output_format
from rung.tables.sinks import CsvSink, JsonSink, ParquetSink, Sink, Value, XlsxSink
from rung.tables.table import Table
from rung.text_encoding import BLOCK_BYTES

ANSWER: Mapping[str, type] = {"label": str, "probability": float, "error": str}


def open_output(
    path: str | Path | None,
    table: Table,
    added: Mapping[str, type] = ANSWER,
    *,
    prefix: str = "",
    force: bool = False,
    part: Path | None = None,
) -> Output:
    """Open the output for the rows of `table` with their `added` columns (for each a name, and str, float or int).

    The ending of `path` gives the format; None or "-" is standard output: JSON Lines if the table is, else CSV.
    `prefix` stands before every added name; `force` lets a file that exists be replaced; `part` is where the file grows until
    it is whole, on the same disk (else a new name beside it).
    Raises UserError if an added name is taken or the path cannot be written. Nothing stands at `path` before `close`.
    """
    named = {prefix + name: kind for name, kind in added.items()}
    _check_names(table, named, prefix)
    if path is None or str(path) == "-":
        return Output(None, table, named, "jsonl" if table.format == "jsonl" else "csv")
    path = Path(path)
    _check_no_folder(path)
    kind = output_format(path)
    _check_path(path, table, force)
    return Output(path, table, named, kind, part)


class Output:
    """Append chunks with their answers; as a context manager it is closed at the end, or discarded after an error.

    A file appears under its name only when it is complete: until then it has another name in the same folder. On standard
    output nothing appears before the first rows: whatever is refused until then leaves no header there.
    If the reader of standard output closes it (as head does), the with-block ends without an error and `cut_short` is True.
    """

    def __init__(
        self,
        path: Path | None,
        table: Table,
        added: Mapping[str, type],
        kind: str,
        part: Path | None = None,
    ) -> None:
        self.path = path
        self.rows = 0
        self.cut_short = False
        self._added = added
        self._target = Path(os.path.realpath(path)) if path else None  # a symbolic link stays one
        self._part = None if self._target is None else part or _temporary_path(self._target)
        self._file: BinaryIO | None = None
        self._stream: BinaryIO | None = None
        self._sink: Sink | None = None
        self._closed = False
        self._new_sink = partial(self._make_sink, table, kind)
        try:
            with self._reporting_os_errors():
                self._open()
                if self._part is not None:
                    self._started_sink()
        except BaseException:
            self.discard()
            raise

    def write(self, chunk: Chunk, values: Sequence[Sequence[Value]]) -> None:
        """Append the rows of `chunk`; `values` holds one sequence for each added column, as long as the chunk.

        None and not-a-number become an empty field, null. Raises UserError if there is no room to write.
        """
        if [len(column) for column in values] != [len(chunk)] * len(self._added):
            raise ValueError(f"{len(self._added)} columns of {len(chunk)} values are needed")
        plain = [_plain(column, kind) for column, kind in zip(values, self._added.values(), strict=True)]
        assert not self._closed, "written after it was closed"
        with self._reporting_os_errors():
            self._started_sink().write(chunk, plain)
            if self._part is None:
                self._flush()  # so that a reader who has left is noticed now, and one who waits sees rows
        self.rows += len(chunk)

    def close(self) -> None:
        """Finish, and let the file appear under its name."""
        if self._closed:
            return
        self._closed = True
        try:
            with self._reporting_os_errors():
                self._started_sink().close()
                self._finish()
        except BaseException:
            self.discard()
            raise
        self._sink = None

    def discard(self) -> None:
        """Abandon the output: no new file is left, and an earlier file of that name is unchanged."""
        self._closed = True
        if self._sink is not None:
            with suppress(Exception):  # the footer of a file that is thrown away
                self._sink.discard()
        self._sink = None
        with suppress(OSError):
            self._close_streams()
        if self._part is not None:
            with suppress(OSError):
                self._part.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if error is not None:
            self.discard()
            return isinstance(error, _ReaderLeft)
        with suppress(_ReaderLeft):
            self.close()
        return False

    def _started_sink(self) -> Sink:
        """The sink of the rows, which writes its header when it is made."""
        if self._sink is None:
            self._sink = self._new_sink()
        return self._sink

    def _open(self) -> None:
        if self._part is None:
            sys.stdout.flush()
            self._file = _duplicate_stdout()
            self._stream = self._file or sys.stdout.buffer
            return
        self._part.unlink(missing_ok=True)  # of a run that was killed
        self._file = self._part.open("xb", buffering=BLOCK_BYTES)
        packed = self._target is not None and self._target.suffix.lower() == ".gz"
        # no name and no time inside: the same rows make the same bytes
        gz = gzip.GzipFile("", "wb", fileobj=self._file, mtime=0) if packed else None
        self._stream = cast(BinaryIO, gz) if gz else self._file

    def _make_sink(self, table: Table, kind: str) -> Sink:
        assert self._stream is not None
        if kind == "jsonl":
            return JsonSink(self._stream, self._added, table.dialect if table.format == "jsonl" else Dialect())
        if kind == "parquet":
            return ParquetSink(self._stream, self._added, table)
        if kind == "xlsx":
            return XlsxSink(self._stream, self._added, table)
        return CsvSink(self._stream, self._added, table, _dialect(kind, table, on_disk=self.path is not None))

    def _finish(self) -> None:
        self._flush()
        self._close_streams()
        if self._part is not None and self._target is not None:
            with self._part.open("rb+") as complete:
                os.fsync(complete.fileno())  # the rename must not reach the disk before the bytes do
            self._part.replace(self._target)

    def _close_streams(self) -> None:
        if self._file is None:  # Python's own standard output stays open
            return
        try:
            if self._stream is not None:
                self._stream.close()
        finally:  # closing a gzip stream leaves its file open
            self._file.close()

    def _flush(self) -> None:
        if self._stream is not None:
            self._stream.flush()

    @contextmanager
    def _reporting_os_errors(self) -> Iterator[None]:
        """Turn an error of the system into a UserError."""
        try:
            yield
        except OSError as error:
            if self._part is None and isinstance(error, BrokenPipeError):
                self.cut_short = True
                raise _ReaderLeft from None
            raise _cannot_write(self.path, error) from None


class _ReaderLeft(Exception):  # noqa: N818 - no error: it ends a with-block
    """The reader of standard output has closed it."""


def _temporary_path(target: Path) -> Path:
    return target.with_name(f".{target.name}.{secrets.token_hex(4)}.part")


def _duplicate_stdout() -> BinaryIO | None:
    """Standard output as a stream of our own, or None where it is no file of the system (in a test, in a notebook).

    Python's own may be unbuffered (python -u), and then a write may take only a part of what it is given. And what it
    could not write to a reader who has left, it tries again at the end of the program, and fails aloud.
    """
    try:
        return os.fdopen(os.dup(sys.stdout.fileno()), "wb", buffering=BLOCK_BYTES)
    except (OSError, ValueError):
        return None


def _plain(column: Sequence[Value], kind: type) -> list[Value]:
    """Python's own values, also of a NumPy array; NaN is None."""
    values = [None if value is None or value != value else kind(value) for value in column]
    return cast(list[Value], values)


def _check_names(table: Table, named: Mapping[str, type], prefix: str) -> None:
    taken = [name for name in named if name in table.columns]
    if taken:
        other = "rung_" if prefix != "rung_" else "rung2_"
        raise UserError(
            "{name} already has a column {columns}."
            if len(taken) == 1
            else "{name} already has the columns {columns}.",
            "Put a prefix before the new names:  --prefix {prefix}",
            name=table.name,
            columns=", ".join(f"'{name}'" for name in taken),
            prefix=other,
        )


def _check_no_folder(path: Path) -> None:
    if os.path.isdir(path):
        raise UserError(
            "--out {path} is a folder.",
            "Name a file in it:  --out {example}",
            path=path,
            example=Localized(shlex.quote(str(path / "out.csv"))),
        )


def _check_path(path: Path, table: Table, force: bool) -> None:
    folder = path.parent
    if not os.path.isdir(folder):
        if os.path.exists(folder):
            raise UserError(
                "--out {path}: {folder} is a file, not a folder.", "Name another folder.", path=path, folder=folder
            )
        raise UserError(
            "--out {path}: the folder {folder} does not exist.",
            "mkdir -p {quoted}",
            path=path,
            folder=folder,
            quoted=Localized(shlex.quote(str(folder))),
        )
    try:
        path.stat()
    except FileNotFoundError:
        return
    except OSError as error:  # a name that is too long, a loop of links
        raise _cannot_write(path, error) from None
    if path.samefile(table.path):
        other = path.with_name("labelled-" + path.name)
        raise UserError(
            "--out {path} is the input itself.",
            "Name another file:  --out {other}",
            path=path,
            other=Localized(shlex.quote(str(other))),
        )
    if not path.is_file():
        raise UserError("--out {path} is no regular file.", "For standard output, leave out --out.", path=path)
    if not force:
        raise UserError("--out {path} exists already.", "To replace it, add  --force", path=path)


def _dialect(kind: str, table: Table, *, on_disk: bool) -> Dialect:
    """The input's own dialect; its separator only where the output is of the same kind, or goes to standard output."""
    if kind == table.format or not on_disk:
        return table.dialect
    return table.dialect.separated_by("\t" if kind == "tsv" else ",")


def _cannot_write(path: Path | None, error: OSError) -> UserError:
    return UserError(
        "{path} cannot be written: {fault}.",
        "Check space and permissions:  df -h {folder} ; ls -ld {folder}",
        path=path or tr("standard output"),
        fault=error.strerror or error,
        folder=Localized(shlex.quote(str(path.parent)) if path else "."),
    )
