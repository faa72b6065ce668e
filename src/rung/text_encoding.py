"""Decode UTF-8 text; where it is not UTF-8, name the byte, its line and the likely encoding."""

from __future__ import annotations

import codecs
import io
import os
import re
import shlex
from pathlib import Path
from typing import BinaryIO, NamedTuple

from rung.errors import UserError
from rung.messages import Localized, message, tr

BLOCK_BYTES = 1 << 20
_DECLARATION = re.compile(r'sep=(?P<plain>[^"\w\s]|\t)|"sep=(?P<quoted>[^"\w\s]|\t)"', re.IGNORECASE)


class Fault(NamedTuple):
    """The first byte that is not valid UTF-8: its offset (from 0), its value and its line (from 1)."""

    offset: int
    value: int
    line: int


_NOT_UTF8 = {
    None: message("{name}: not UTF-8: byte 0x{byte:02x} at offset {offset}, in line {line}."),
    0: message("{name}: not UTF-8: byte 0x{byte:02x} at offset {offset}, in line {line}, the header."),
    1: message("{name}: not UTF-8: byte 0x{byte:02x} at offset {offset}, in line {line}, row {row}."),
}


def read_text(path: str | Path) -> str:
    """The content of a small text file, strictly UTF-8, without its byte-order mark; line ends as they are in the file.

    Raises UserError if it is missing, a folder, unreadable, or not UTF-8 (naming byte and line).
    """
    try:
        raw = Path(path).read_bytes()
    except OSError as error:
        raise cannot_read(path, error) from None
    return decode(raw, str(path))


def decode(raw: bytes, name: str) -> str:
    r"""Decode UTF-8 bytes, without a byte-order mark; messages call the file `name`.

    >>> decode(b"\xef\xbb\xbfcaf\xc3\xa9", "menu.txt")
    'café'
    >>> decode(b"tea\ncaf\xe9", "menu.txt")
    Traceback (most recent call last):
    rung.errors.UserError: menu.txt: not UTF-8: byte 0xe9 at offset 7, in line 2.
      If it was saved as Windows or Latin-1 text:  iconv -f WINDOWS-1252 -t UTF-8 menu.txt > menu.utf8.txt
    """
    if unmarked := utf16_without_mark(raw[:4]):
        raise utf16_error(name, unmarked)
    try:
        return raw.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError:
        raise not_utf8(io.BytesIO(raw), name) from None


def split_lines(text: str) -> list[str]:
    r"""The lines of a text with their line ends, which are those of an editor: \n, \r\n and \r.

    `str.splitlines` also cuts at \x0b, \x0c, \x1c to \x1e, \x85, \u2028 and \u2029, which stand inside people's texts.

    >>> split_lines("a\u2028b\r\nc\rd")
    ['a\u2028b\r\n', 'c\r', 'd']
    """
    return list(io.StringIO(text, newline=""))


def line_number(text: str, offset: int) -> int:
    r"""The line (from 1) of the character at `offset`.

    >>> line_number("a\r\nb\rc", 5)
    3
    """
    return 1 + io.IncrementalNewlineDecoder(None, translate=True).decode(text[:offset], final=True).count("\n")


def declared_separator(line: str) -> str | None:
    r"""The separator that Excel's own first line of a CSV declares (sep=;), or None where the line is another one.

    >>> declared_separator("sep=;\r\n"), declared_separator('"SEP=,"\n'), declared_separator("sep=one\n")
    (';', ',', None)
    """
    found = _DECLARATION.fullmatch(line.rstrip("\r\n").rstrip(" "))
    return None if found is None else found["plain"] or found["quoted"]


def cannot_read(path: str | Path, error: OSError) -> UserError:
    """The error for a file that cannot be opened."""
    if isinstance(error, FileNotFoundError):
        return UserError(
            "{path}: there is no such file.", "Check the name:  ls {folder}", path=path, folder=_folder(path)
        )
    if isinstance(error, IsADirectoryError) or os.path.isdir(path):  # Windows says PermissionError for a folder
        return UserError(
            "{path} is a folder, not a file.",
            "Name one file in it:  ls {folder}",
            path=path,
            folder=Localized(shlex.quote(str(path))),
        )
    return UserError(
        "{path} cannot be read: {fault}.",
        "Check it:  ls -l {file}",
        path=path,
        fault=error.strerror or error,
        file=Localized(shlex.quote(str(path))),
    )


def not_utf8(stream: BinaryIO, name: str, row: int | None = None) -> UserError:
    """The error for bytes (`stream`, from its beginning) that are not UTF-8; `row` of a table (0 is the header), where known."""
    fault = find_fault(stream)
    if fault is None:  # it was corrected between two readings
        return UserError("{name} changed while it was read.", "Run it again when nothing else writes to it.", name=name)
    if fault.offset == 0 and fault.value in (0xFF, 0xFE):  # the byte-order mark of UTF-16 (and of UTF-32)
        return UserError(
            "{name}: not UTF-8 but UTF-16 (its first byte is 0x{byte:02x}).",
            _iconv("UTF-16", name),
            name=name,
            byte=fault.value,
        )
    asian = east_asian(_around(stream, fault.offset))
    return UserError(
        _NOT_UTF8[min(row, 1) if row is not None else None],
        tr("If it was saved as Windows or Latin-1 text:  {command}", command=_iconv("WINDOWS-1252", name))
        if asian is None
        else tr(asian.hint, command=_iconv(asian.name, name)),
        name=name,
        byte=fault.value,
        offset=fault.offset,
        line=fault.line,
        row=row,
    )


def utf16_without_mark(start: bytes) -> str | None:
    """UTF-16LE or UTF-16BE where the first four bytes are two ASCII letters of it, else None: as UTF-8 they would hold NUL.

    >>> utf16_without_mark("id".encode("utf-16-le")), utf16_without_mark(b"text")
    ('UTF-16LE', None)
    """
    for name, zeros, letters in (("UTF-16LE", start[1::2], start[::2]), ("UTF-16BE", start[::2], start[1::2])):
        if zeros == b"\0\0" and b"\0" not in letters:
            return name
    return None


def utf16_error(name: str, encoding: str) -> UserError:
    """The error for UTF-16 without a byte-order mark."""
    return UserError("{name}: not UTF-8 but UTF-16 without a byte-order mark.", _iconv(encoding, name), name=name)


def find_fault(stream: BinaryIO) -> Fault | None:
    r"""The first byte that is not UTF-8, or None; the stream is read in blocks, so it may be larger than memory.

    >>> find_fault(io.BytesIO(b"ab\r\ncaf\xe9 noir"))
    Fault(offset=7, value=233, line=2)
    """
    utf8 = codecs.getincrementaldecoder("utf-8")()
    newlines = io.IncrementalNewlineDecoder(None, translate=True)  # so that \r\n and \r count as one line end
    offset, line = 0, 1
    while True:
        block = stream.read(BLOCK_BYTES)
        try:
            text = utf8.decode(block, final=not block)
        except UnicodeDecodeError as error:
            before = error.object[: error.start].decode("utf-8")
            line += newlines.decode(before, final=True).count("\n")
            return Fault(offset + error.start, error.object[error.start], line)
        if not block:
            return None
        line += newlines.decode(text).count("\n")
        offset += len(text.encode("utf-8"))


def _around(stream: BinaryIO, offset: int) -> bytes:
    """The bytes around a fault, from the start of a line, which is a character boundary in every encoding."""
    start = max(0, offset - _BEFORE_BYTES)
    stream.seek(start)
    sample = stream.read(_SAMPLE_BYTES)
    line = re.search(rb"[\r\n]", sample[: offset - start]) if start else None
    return sample[line.end() :] if line else sample


class Legacy(NamedTuple):
    """A legacy East Asian encoding: its names for iconv and for Python, and the lead bytes of its common characters."""

    name: str
    codec: str
    hint: str
    common: frozenset[int]
    required: frozenset[int]  # lead bytes, some of which must occur
    second: int = 0xA1  # the smallest second byte of a common character
    fewest: int = 4  # the least number of characters that identify it


def _leads(*ranges: tuple[int, int]) -> frozenset[int]:
    return frozenset(byte for first, last in ranges for byte in range(first, last + 1))


# Common are the characters of the first level (3755 of GB 2312, 5401 of Big5, 2965 of Japanese), kana, the 2350 syllables of
# KS X 1001, and signs. Korean is first: its common bytes are common in Chinese too, but half of Chinese is not common in Korean;
# so among four characters one Chinese text in sixteen would pass for Korean, and among sixteen none.
_LEGACY = (
    Legacy(
        "CP949",
        "cp949",
        message("If it was saved as Korean Windows text:  {command}"),
        _leads((0xA1, 0xA3), (0xB0, 0xC8)),
        _leads((0xB0, 0xC8)),
        fewest=16,
    ),
    Legacy(
        "EUC-JP",
        "euc_jp",
        message("If it was saved as Japanese EUC text:  {command}"),
        _leads((0xA1, 0xA1), (0xA3, 0xA5), (0xB0, 0xCF)),
        _leads((0xA4, 0xA5)),
    ),
    Legacy(
        "GB18030",
        "gb18030",
        message("If it was saved as Chinese Windows text (GBK, GB18030):  {command}"),
        _leads((0xA1, 0xA3), (0xB0, 0xD7)),
        _leads((0xB0, 0xD7)),
    ),
    Legacy(
        "CP932",
        "cp932",
        message("If it was saved as Japanese Windows text (Shift-JIS):  {command}"),
        _leads((0x81, 0x83), (0x88, 0x97)),
        _leads((0x82, 0x83)),
        0x40,
    ),
    Legacy(
        "BIG5",
        "cp950",
        message("If it was saved as traditional Chinese Windows text (Big5):  {command}"),
        _leads((0xA1, 0xA3), (0xA4, 0xC6)),
        _leads((0xA4, 0xC6)),
        0x40,
    ),
)
_BEFORE_BYTES, _SAMPLE_BYTES = 1 << 12, 1 << 16
_SHARE = 0.85  # of the characters must be common, and stand beside another one: single accents of Europe do not


def east_asian(sample: bytes) -> Legacy | None:
    """The East Asian encoding of `sample`, if it can be identified, else None. Its last character may be cut off.

    >>> east_asian("发票金额不对，请尽快处理".encode("gb18030")).name, east_asian("für café “so”".encode("cp1252"))
    ('GB18030', None)
    """
    return next((each for each in _LEGACY if _fits(sample, each)), None)


def _fits(sample: bytes, encoding: Legacy) -> bool:
    try:
        text = codecs.getincrementaldecoder(encoding.codec)().decode(sample)
    except UnicodeDecodeError:
        return False
    found = [character.encode(encoding.codec) for character in text if not character.isascii()]
    beside = sum(len(run) for run in re.findall(r"[^\x00-\x7f]{2,}", text))
    common = [raw for raw in found if len(raw) == 2 and raw[0] in encoding.common and raw[1] >= encoding.second]
    enough = len(found) >= encoding.fewest and min(len(common), beside) >= _SHARE * len(found)
    telling = [raw for raw in common if raw[0] in encoding.required], [raw for raw in common if raw[1] >= 0x80]
    return enough and min(map(len, telling)) >= len(found) / 5  # a Latin accent is followed by an ASCII letter


def _iconv(encoding: str, name: str) -> Localized:
    if name == "standard input":
        return Localized(f"iconv -f {encoding} -t UTF-8 FILE | rung … -")
    path = Path(name)
    quoted = shlex.quote(name)
    if path.suffix == ".gz":
        new = shlex.quote(str(path.with_suffix("").with_suffix(".utf8" + path.with_suffix("").suffix)))
        return Localized(f"gunzip -c {quoted} | iconv -f {encoding} -t UTF-8 > {new}")
    new = shlex.quote(str(path.with_suffix(".utf8" + path.suffix)))
    return Localized(f"iconv -f {encoding} -t UTF-8 {quoted} > {new}")


def _folder(path: str | Path) -> str:
    """The nearest existing folder above `path`, quoted for a shell."""
    parents = Path(path).parents
    return shlex.quote(str(next((p for p in parents if os.path.isdir(p)), Path())))


def encodable(text: str) -> str:
    r"""The text with unpaired surrogates, which cannot be encoded, replaced by question marks.

    >>> encodable("half \ud83d")
    'half ?'
    """
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")
