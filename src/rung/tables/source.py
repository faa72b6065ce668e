"""Bytes that can be read from the beginning as often as needed: a file, a .gz, or a copy of standard input on disk."""

from __future__ import annotations

import gzip
import io
import os
import shlex
import sys
import tempfile
import weakref
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any, BinaryIO, Self, TextIO, cast

from rung.errors import UserError
from rung.messages import Localized, tr
from rung.text_encoding import BLOCK_BYTES, cannot_read, not_utf8

_BUFFER_BYTES = 1 << 17
_GZIP = b"\x1f\x8b"
_BOM = b"\xef\xbb\xbf"


class Source:
    """The file that holds a table's bytes. `name` is what the person typed, for messages; `path` is the file that is opened.

    "-" is standard input. It and named pipes can be read only once, so they are first copied to a temporary file,
    which `close` removes, or else the end of the program.
    """

    _remove: weakref.finalize[..., Any] | None = None

    def __init__(self, name: str) -> None:
        self.name = "standard input" if name == "-" else name
        self.path = Path(name)
        if name == "-" or _is_pipe(self.path):
            self._keep(self._spool(_copied(name)))

    @classmethod
    def of_lines(cls, name: str, lines: Iterable[bytes]) -> Self:
        """A source of these lines, on disk; `name` is what messages call it."""
        made = cls.__new__(cls)
        made.name = name
        made._keep(made._spool(lines))
        return made

    def close(self) -> None:
        """Remove the temporary copy, if there is one."""
        if self._remove is not None:
            self._remove()

    def start(self) -> bytes:
        """The first four bytes on disk.

        Raises UserError if the file is missing, a folder, unreadable or empty.
        """
        try:
            with self.path.open("rb") as stream:
                first = stream.read(4)
        except OSError as error:
            raise cannot_read(self.name, error) from None
        if first in (b"", _BOM):
            raise self.empty()
        return first

    def empty(self) -> UserError:
        """The error for an empty file."""
        typed = self.name != "standard input"
        look = tr("Check it:  ls -l {file}", file=Localized(shlex.quote(self.name)))
        hint = look if typed else tr("Pipe a table into it:  cat FILE | rung … -")
        return UserError("{name} is empty.", hint, name=self.name)

    @contextmanager
    def open(self) -> Iterator[BinaryIO]:
        """The bytes, unpacked if they are gzip; raises UserError if they cannot be read."""
        try:
            with self.path.open("rb", buffering=_BUFFER_BYTES) as stream:
                if cast(io.BufferedReader, stream).peek(2)[:2] != _GZIP:
                    yield stream
                else:
                    with gzip.GzipFile(fileobj=stream) as packed:
                        yield io.BufferedReader(cast(io.RawIOBase, packed), _BUFFER_BYTES)
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise UserError(
                "{name}: broken gzip: {error}.",
                "Check it:  gzip -t {file}",
                name=self.name,
                error=error,
                file=Localized(shlex.quote(self.name)),
            ) from None
        except OSError as error:
            raise cannot_read(self.name, error) from None

    @contextmanager
    def text(self, errors: str = "strict") -> Iterator[TextIO]:
        r"""The UTF-8 text, without a byte-order mark; lines end in \n, \r\n or \r and keep their ends."""
        with self.open() as stream:
            if _has_byte_order_mark(stream):
                stream.read(3)
            # the codec utf-8-sig would skip the mark, but it is several times slower
            yield io.TextIOWrapper(stream, encoding="utf-8", errors=errors, newline="")

    def byte_order_mark(self) -> bool:
        """Whether the text begins with UTF-8's byte-order mark."""
        with self.open() as stream:
            return _has_byte_order_mark(stream)

    def first_line_end(self) -> str:
        r"""What the first line ends with: "\n", "\r\n" or "\r"; a file of one line without an end has "\n"."""
        with self.text(errors="replace") as lines:
            return line_end(next(lines, ""))

    def not_utf8(self, row: int | None = None) -> UserError:
        """The error for bytes that are not UTF-8, in `row` where it is known (0 is the header)."""
        with self.open() as stream:
            return not_utf8(stream, self.name, row)

    def _keep(self, copy: Path) -> None:
        self.path = copy
        self._remove = weakref.finalize(self, _unlink, copy)

    def _spool(self, blocks: Iterable[bytes]) -> Path:
        handle, path = tempfile.mkstemp(prefix="rung-", suffix=".input")
        try:
            with os.fdopen(handle, "wb") as copy:
                copy.writelines(blocks)
        except OSError as error:
            _unlink(path)
            raise UserError(
                "{name} cannot be copied to {path}: {fault}.",
                "Make room there, or name another folder:  TMPDIR=FOLDER rung …",
                name=self.name,
                path=path,
                fault=error.strerror or error,
            ) from None
        except BaseException:
            _unlink(path)
            raise
        return Path(path)


def line_end(line: str) -> str:
    r"""What a line ends with, or a line feed where it ends with nothing.

    >>> line_end("a\r\n"), line_end("a\r"), line_end("a")
    ('\r\n', '\r', '\n')
    """
    return line[len(line.rstrip("\r\n")) :] or "\n"


def check_exists(name: str) -> None:
    """Raise UserError if there is no file of this name, or if it is a folder; "-" is always there."""
    if name == "-":
        return
    try:
        Path(name).stat()
    except OSError as error:
        raise cannot_read(name, error) from None
    if os.path.isdir(name):
        raise cannot_read(name, IsADirectoryError())


def _has_byte_order_mark(stream: BinaryIO) -> bool:
    return cast(io.BufferedReader, stream).peek(3)[:3] == _BOM


def _is_pipe(path: Path) -> bool:
    return os.path.exists(path) and not os.path.isfile(path) and not os.path.isdir(path)


def _copied(name: str) -> Iterator[bytes]:
    """The blocks of standard input or of a pipe. Raises UserError where they cannot be read."""
    try:
        with nullcontext(sys.stdin.buffer) if name == "-" else Path(name).open("rb") as stream:
            yield from iter(lambda: stream.read(BLOCK_BYTES), b"")
    except OSError as error:
        raise cannot_read("standard input" if name == "-" else name, error) from None


def _unlink(path: str | Path) -> None:
    with suppress(FileNotFoundError):
        Path(path).unlink()
