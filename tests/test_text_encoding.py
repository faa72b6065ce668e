"""Bytes become text, or a person learns which byte stands in the way."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rung.errors import UserError
from rung.text_encoding import Fault, decode, find_fault, read_text


def test_reads_utf8_without_its_mark(tmp_path):
    """A byte-order mark is no part of the text, and line ends stay as they are."""
    path = tmp_path / "labels.txt"
    path.write_bytes(b"\xef\xbb\xbfcaf\xc3\xa9\r\ntea\n")
    assert read_text(path) == "café\r\ntea\n"


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_names_byte_offset_and_line(tmp_path, end):
    """The first byte that is not UTF-8 is named with its value, offset and line, whatever ends the lines."""
    path = tmp_path / "labels.txt"
    raw = end.join([b"one", b"two", b"caf\xe9", b"\xff"])
    path.write_bytes(raw)
    with pytest.raises(UserError) as found:
        read_text(path)
    assert f"byte 0xe9 at offset {raw.index(0xE9)}, in line 3" in found.value.what
    assert f"iconv -f WINDOWS-1252 -t UTF-8 {path}" in found.value.hint


@pytest.mark.parametrize("codec", ["utf-16", "utf-32"])
def test_tells_utf16(codec):
    """Text in UTF-16 is called by its name."""
    with pytest.raises(UserError, match="UTF-16") as found:
        decode("text\nhello\n".encode(codec), "a.csv")
    assert found.value.hint.startswith("iconv -f UTF-16")


def test_says_missing_and_folder(tmp_path):
    """A missing file and a folder are told apart."""
    with pytest.raises(UserError, match="no such file"):
        read_text(tmp_path / "gone.txt")
    with pytest.raises(UserError, match="is a folder"):
        read_text(tmp_path)


def test_cut_character_at_the_end():
    """A character whose last bytes are missing is a fault at its first byte."""
    assert find_fault(io.BytesIO(b"caf\xc3")) == Fault(3, 0xC3, 1)


def test_first_byte_of_a_line():
    """A fault right after a line end is in the next line, also where the end is a lone carriage return."""
    assert find_fault(io.BytesIO(b"tea\r\xe9")) == Fault(4, 0xE9, 2)


def fault_in_one_piece(raw):
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError as error:
        before = raw[: error.start].decode().replace("\r\n", "\n").replace("\r", "\n")
        return Fault(error.start, raw[error.start], before.count("\n") + 1)
    return None


@given(st.text(max_size=30), st.binary(max_size=4), st.integers(1, 5))
def test_blocks_make_no_difference(text, tail, block):
    """The fault is the one that decoding in one piece finds, wherever the blocks are cut."""
    raw = text.encode() + tail

    class Small(io.BytesIO):
        def read(self, size=-1):
            return super().read(block)

    assert find_fault(Small(raw)) == fault_in_one_piece(raw)
