"""Bytes become text, or a person learns which byte stands in the way."""

from __future__ import annotations

import io
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rung.errors import UserError
from rung.text_encoding import Fault, decode, east_asian, find_fault, read_text


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


CHINESE = "房间很干净，服务员态度也不错，下次还会再来。发票金额不对，请尽快处理！"
TAIWAN = "房間很乾淨，服務人員的態度也不錯，下次還會再來。發票金額不對，請盡快處理！"
JAPANESE = "部屋はとてもきれいで、スタッフの対応も良かったです。請求書の金額が違います。"
KOREAN = "방이 아주 깨끗하고 직원들도 친절했습니다. 청구서 금액이 잘못되었습니다."


@pytest.mark.parametrize(
    ("text", "codec", "name"),
    [
        (CHINESE, "gbk", "GB18030"),
        (CHINESE + "㐀", "gb18030", "GB18030"),
        ("发票金额", "gbk", "GB18030"),
        (TAIWAN, "big5", "BIG5"),
        (JAPANESE, "shift_jis", "CP932"),
        (JAPANESE, "euc_jp", "EUC-JP"),
        (KOREAN, "euc_kr", "CP949"),
    ],
)
@pytest.mark.parametrize("before", ["", "id,text\r\n1,an English line\r\n2,", "a line of English\n" * 9999])
def test_names_the_encodings_of_east_asia(text, codec, name, before, tmp_path):
    """Chinese, Japanese and Korean texts of old Windows programs are named, with the command that makes them UTF-8."""
    raw = before.encode() + text.encode(codec) + b"\n"
    path = tmp_path / "texts.csv"
    path.write_bytes(raw)
    with pytest.raises(UserError, match="not UTF-8: byte 0x") as found:
        read_text(path)
    assert found.value.hint.endswith(f"iconv -f {name} -t UTF-8 {path} > {tmp_path}/texts.utf8.csv")
    made = subprocess.run(["iconv", "-f", name, "-t", "UTF-8", path], capture_output=True, check=True).stdout
    assert made.decode() == before + text + "\n"


@pytest.mark.parametrize(
    ("text", "codec"),
    [
        ("“Für Äpfel”, sagte er – heiß, süß: Öl für 20°C, größer.", "cp1252"),
        ("Äpfel", "cp1252"),
        ("It’s “fine” – don’t", "cp1252"),
        ("«Ça va?» L’été à Noël, ½ prix: 5 €… où êtes-vous née ?", "cp1252"),
        ("¿Qué? ¡Señor, mañana! ¿Cómo está", "cp1252"),
        ("ÀÁÂÃÄÅ", "cp1252"),
        ("Комната чистая, персонал приветливый. Счёт неверный!", "cp1251"),
        ("комната чистая персонал приветливый", "koi8-r"),
        ("Το δωμάτιο ήταν καθαρό και το προσωπικό ευγενικό", "cp1253"),
        ("Oda çok temizdi, ığdır şişli güzel ÇİÇEK", "cp1254"),
        ("החדר היה נקי והצוות אדיב", "cp1255"),
        ("كانت الغرفة نظيفة والموظفون ودودون", "cp1256"),
        ("ห้องสะอาดมากและพนักงานเป็นมิตร", "cp874"),
        ("Zażółć gęślą jaźń", "cp1250"),
    ],
)
def test_other_encodings_are_not_taken_for_east_asian_ones(text, codec):
    """European, Semitic and Thai bytes, many of which East Asian encodings could read, are not."""
    assert east_asian(text.encode(codec)) is None


@given(st.text("".join(map(chr, range(0xA0, 0x100))) + "abcdefg ,.", max_size=40))
def test_accents_are_never_east_asian_by_themselves(text):
    """Words of ASCII letters with single accents between them are not read as East Asian."""
    assert east_asian("".join(letter + "e" for letter in text).encode("latin-1")) is None


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
