"""A file that cannot be used gives two lines: what is wrong, and what to type next."""

from __future__ import annotations

import gzip
import os
import tempfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rung.errors import UserError
from rung.tables import open_table


def fault(path, content=None, **options):
    """What a person is told about this file."""
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))
    with pytest.raises(UserError) as found:
        open_table(path, **options)
    assert "\n" not in found.value.what
    assert found.value.hint.strip()
    assert str(path) in found.value.what + found.value.hint or path.name in found.value.what or "format" in options
    return found.value


def test_missing_and_folder(tmp_path):
    """A file that is not there and a folder are told apart."""
    assert "no such file" in fault(tmp_path / "gone.csv").what
    (tmp_path / "folder.csv").mkdir()
    assert "is a folder" in fault(tmp_path / "folder.csv").what
    assert "is a folder" in fault(tmp_path).what
    assert "no such file" in fault(tmp_path / "no" / "ending").what


@pytest.mark.parametrize("ending", ["csv", "tsv", "txt", "jsonl", "parquet"])
def test_empty(tmp_path, ending):
    """A file of nothing is empty, in every format."""
    assert "is empty" in fault(tmp_path / f"a.{ending}", b"").what


@pytest.mark.parametrize(
    ("ending", "content"), [("csv", "\ufeff"), ("csv", "\n\n"), ("jsonl", "\n \n"), ("txt", "\ufeff")]
)
def test_nearly_empty(tmp_path, ending, content):
    """A byte-order mark or blank lines alone are empty too."""
    assert "is empty" in fault(tmp_path / f"a.{ending}", content).what


def test_empty_inside_gzip(tmp_path):
    """A .gz of nothing is empty."""
    assert "is empty" in fault(tmp_path / "a.csv.gz", gzip.compress(b"")).what


def test_header_only(tmp_path):
    """A header without rows is said, with what to do if it was no header."""
    found = fault(tmp_path / "a.csv", "id,text\n")
    assert "no rows" in found.what
    assert "--format txt" in found.hint


def test_not_utf8_names_byte_row_and_line(tmp_path):
    """The byte, its offset, its line and its row are named; quoted line breaks make line and row differ."""
    raw = b'id,text\n1,"two\nlines"\n2,caf\xe9\n'
    found = fault(tmp_path / "a.csv", raw)
    assert f"byte 0xe9 at offset {raw.index(0xE9)}, in line 4, row 2" in found.what
    assert f"iconv -f WINDOWS-1252 -t UTF-8 {tmp_path}/a.csv > {tmp_path}/a.utf8.csv" in found.hint
    assert "line 1, the header" in fault(tmp_path / "b.csv", b"id,t\xe9xt\n1,2\n").what


@pytest.mark.parametrize(("ending", "before"), [("txt", b"one\ntwo\n"), ("jsonl", b'{"text": "a"}\n{"text": "b"}\n')])
def test_not_utf8_in_lines(tmp_path, ending, before):
    """In text and JSON Lines the line is named."""
    assert f"byte 0x80 at offset {len(before)}, in line 3" in fault(tmp_path / f"a.{ending}", before + b"\x80\n").what


def test_not_utf8_far_away(tmp_path):
    """The offset is right also beyond the first blocks, and counts unpacked bytes in a .gz."""
    raw = b"text,n\n" + b"some words,1\n" * 200_000 + b"caf\xe9,2\n"
    found = fault(tmp_path / "a.csv.gz", gzip.compress(raw, 1))
    assert f"offset {raw.index(0xE9)}, in line 200002, row 200001" in found.what
    assert found.hint.split(":  ")[1].startswith(f"gunzip -c {tmp_path}/a.csv.gz | iconv")


@pytest.mark.parametrize("ending", ["csv", "txt", "jsonl"])
def test_utf16(tmp_path, ending):
    """UTF-16 is called by its name."""
    found = fault(tmp_path / f"a.{ending}", "text,n\nhello,1\n".encode("utf-16"))
    assert "UTF-16" in found.what
    assert "iconv -f UTF-16 -t UTF-8" in found.hint


@pytest.mark.parametrize(("codec", "name"), [("utf-16-le", "UTF-16LE"), ("utf-16-be", "UTF-16BE")])
@pytest.mark.parametrize("ending", ["csv", "txt", "jsonl"])
def test_utf16_without_a_mark(tmp_path, ending, codec, name):
    """UTF-16 without a byte-order mark is told too: as UTF-8 every second letter would be NUL."""
    found = fault(tmp_path / f"a.{ending}", "text,n\nhello,1\n".encode(codec))
    assert "UTF-16 without a byte-order mark" in found.what
    assert f"iconv -f {name} -t UTF-8" in found.hint


def test_chinese_windows_text(tmp_path):
    """A table in GB18030 is named so, before Windows-1252, with its line and row."""
    found = fault(tmp_path / "a.csv", "编号,内容\n1,房间很干净，服务员态度也不错\n".encode("gb18030"))
    assert "in line 1, the header" in found.what
    assert "iconv -f GB18030 -t UTF-8" in found.hint


def test_a_comment_above_the_header(tmp_path):
    """A comment in the first line is not taken for the only column, with whole rows as its texts."""
    found = fault(tmp_path / "a.csv", "# exported in 2024\nid,text\n1,hello you\n")
    assert "line 1 is a comment" in found.what
    assert found.hint.startswith("Remove it:  sed 1d")
    (tmp_path / "b.csv").write_text("#,text\n1,hello\n")
    with open_table(tmp_path / "b.csv") as table:
        assert table.columns == ["#", "text"]


def test_unclosed_quote(tmp_path):
    """The line in which the quote opened is named, not the end of the file."""
    content = 'id,text,more\n1,fine,"a\nb"\n2,"x ""y""\nz","never closed\n3,a,b\n4,c,d\n'
    assert "the quote that opens in line 5 is never closed" in fault(tmp_path / "a.csv", content).what
    content = 'text\nfine\n"opens here\nand ""goes"" on\n'
    assert "the quote that opens in line 3 is never closed" in fault(tmp_path / "c.csv", content).what
    assert "the quote that opens in line 2 is never" in fault(tmp_path / "b.csv", 'text\n"""never closed""\n').what


def test_endless_field(tmp_path, monkeypatch):
    """A lost quote in a huge file is found before the rest of it fills the memory."""
    import csv

    from rung.tables import delimited

    before = csv.field_size_limit(100_000)
    monkeypatch.setattr(delimited, "_FIELD_CHARACTERS", 100_000)
    try:
        found = fault(tmp_path / "a.csv", 'id,text\n1,fine\n2,"lost\n' + "3,words\n" * 20_000)
    finally:
        csv.field_size_limit(before)
    assert "the quote that opens in line 3" in found.what


def test_text_after_a_quote(tmp_path):
    """A quote inside a quoted text that was not doubled is named with its line."""
    found = fault(tmp_path / "a.csv", 'id,text\n1,fine\n2,"she said "yes" to it"\n')
    assert "in line 3, something follows a closing quote" in found.what
    assert '""yes""' in found.hint


@pytest.mark.parametrize(
    ("row", "says"), [("b", "line 5 has 1 field, the header has 2"), ("b,c,d", "line 5 has 3 fields")]
)
def test_uneven_rows(tmp_path, row, says):
    """A row with more or fewer fields than the header is named with its line and both counts."""
    found = fault(tmp_path / "a.csv", f'text,n\n"a\nb",1\n\n{row}\n')
    assert says in found.what
    assert "','" in found.hint


def test_double_columns(tmp_path):
    """Two columns of one name are refused, in CSV and in Parquet."""
    assert "columns 1 and 3 are both named 'text'" in fault(tmp_path / "a.csv", "text,n,text\na,1,b\n").what
    pq.write_table(pa.Table.from_arrays([pa.array(["a"])] * 2, ["text", "text"]), tmp_path / "a.parquet")
    assert "columns 1 and 2" in fault(tmp_path / "a.parquet").what


def test_broken_json(tmp_path):
    """Line and column of the fault are named."""
    assert "line 2, column 10: " in fault(tmp_path / "a.jsonl", '{"text": "a"}\n{"text": }\n').what
    assert "line 3: nested too deeply" in fault(tmp_path / "b.jsonl", '{"a": 1}\n\n' + "[" * 100_000 + "\n").what


@pytest.mark.parametrize(
    ("line", "kind"),
    [("3", "a number"), ('"x"', "a string"), ("null", "null"), ("[1]", "a list"), ("true", "true or false")],
)
def test_json_line_that_is_no_object(tmp_path, line, kind):
    """Every line must be an object; what else it is, is said."""
    assert f"line 2 is {kind}, not an object" in fault(tmp_path / "a.jsonl", f'{{"text": "a"}}\n{line}\n').what


def test_json_in_one_piece(tmp_path):
    """JSON that is not one object a line comes with the command that makes it so."""
    assert "jq -c '.[]'" in fault(tmp_path / "a.jsonl", '[{"text": "a"},\n {"text": "b"}]\n').hint
    assert "jq -c '.'" in fault(tmp_path / "b.jsonl", '{\n  "text": "a"\n}\n').hint
    assert "jq -c '.[]'" in fault(tmp_path / "c.json", "[]").hint


def test_objects_without_keys(tmp_path):
    """Objects without a key have no column of text."""
    assert "no column" in fault(tmp_path / "a.jsonl", "{}\n{}\n").what


@pytest.mark.parametrize("cut", [5, -4])
def test_broken_gzip(tmp_path, cut):
    """A .gz that was cut off is said, wherever it was cut."""
    found = fault(tmp_path / "a.csv.gz", gzip.compress(b"text,n\n" + b"hello,1\n" * 1000)[:cut])
    assert "broken gzip" in found.what
    assert "gzip -t" in found.hint


def test_gz_by_name_only(tmp_path):
    """A .gz that is not packed is read for what it is."""
    (tmp_path / "a.csv.gz").write_text("text\nhello\n")
    with open_table(tmp_path / "a.csv.gz") as table:
        assert table.rows == 1


def test_broken_parquet(tmp_path):
    """A Parquet file that was cut off, damaged inside, or is none at all is said."""
    pq.write_table(pa.table({"text": ["hello"] * 1000, "n": range(1000)}), tmp_path / "a.parquet", compression="none")
    raw = bytearray((tmp_path / "a.parquet").read_bytes())
    assert "broken Parquet" in fault(tmp_path / "cut.parquet", bytes(raw[:100])).what
    assert "broken Parquet" in fault(tmp_path / "none.parquet", "text\nhello\n").what
    raw[4:40] = b"\xff" * 36
    assert "broken Parquet" in fault(tmp_path / "inside.parquet", bytes(raw)).what


def test_parquet_strings_that_are_not_utf8(tmp_path):
    """Strings in Parquet that are not UTF-8 are found in the first pass."""
    bad = pa.Array.from_buffers(pa.string(), 1, [None, pa.py_buffer(b"\0\0\0\0\2\0\0\0"), pa.py_buffer(b"\xff\xfe")])
    pq.write_table(pa.table({"text": bad}), tmp_path / "a.parquet")
    assert "UTF8" in fault(tmp_path / "a.parquet").what


def test_parquet_without_text_or_rows(tmp_path):
    """A Parquet file without a column of text shows its columns; one without rows is said."""
    pq.write_table(pa.table({"n": [1], "f": [2.0]}), tmp_path / "a.parquet")
    assert "no column of text (n: int64, f: double)" in fault(tmp_path / "a.parquet").what
    pq.write_table(pa.table({"text": pa.array([], pa.string())}), tmp_path / "b.parquet")
    assert "no rows" in fault(tmp_path / "b.parquet").what


def test_parquet_in_gzip(tmp_path):
    """Parquet inside gzip is to be unpacked first."""
    assert "gunzip" in fault(tmp_path / "a.parquet.gz", gzip.compress(b"PAR1")).hint


@pytest.mark.parametrize(
    ("name", "word"),
    [
        ("a.xls", "spreadsheet"),
        ("a.ods", "spreadsheet"),
        ("a.docx", "document"),
        ("a.PDF", "document"),
    ],
)
def test_a_clear_word(tmp_path, name, word):
    """Spreadsheets and documents get a clear word, and what to do instead."""
    found = fault(tmp_path / name, b"PK\x03\x04")
    assert word in found.what
    assert "save" in found.hint.lower()


def test_told_by_the_first_bytes(tmp_path):
    """A spreadsheet or Parquet file under a wrong name is called what it is."""
    assert "spreadsheet or an archive" in fault(tmp_path / "a.csv", b"PK\x03\x04rest").what
    assert fault(tmp_path / "b.csv", b"PAR1rest").hint == "--format parquet"


def test_unknown_ending_and_format(tmp_path):
    """An unknown ending lists the known ones; an unknown format names the nearest."""
    assert ".csv .tsv .txt .jsonl .parquet .xlsx" in fault(tmp_path / "a.dat", "x").what
    assert "the name has no ending" in fault(tmp_path / "noending", "x").what
    assert fault(tmp_path / "a.csv", "x", format="json").hint == "--format jsonl"
    assert "csv|tsv" in fault(tmp_path / "a.csv", "x", format="zzzzzz").hint


def test_a_file_that_changes(tmp_path):
    """A file that loses or breaks rows after the check is said, not half read in silence."""
    path = tmp_path / "a.csv"
    path.write_text("text,n\na,1\nb,2\n")
    with open_table(path) as table:
        path.write_text("text,n\na,1\n")
        with pytest.raises(UserError, match="changed while it was read: it had 2 rows, now 1"):
            list(table.chunks())
        path.write_text("text,n\na\n")
        with pytest.raises(UserError, match="line 2 has 1 field"):
            list(table.chunks())


def test_unknown_other_column(tmp_path):
    """A column that is not there is said with those that are."""
    (tmp_path / "a.csv").write_text("text,label\na,x\n")
    with open_table(tmp_path / "a.csv") as table, pytest.raises(UserError, match="columns: text, label"):
        table.column("labels")


def test_names_that_no_file_can_have(tmp_path):
    """A name that the system refuses to look up gets its two lines, and not a second error on the way to them."""
    assert "cannot be read: File name too long" in fault(tmp_path / ("a" * 300 + ".csv")).what
    (tmp_path / "loop.csv").symlink_to(tmp_path / "loop.csv")
    assert "cannot be read: Too many levels" in fault(tmp_path / "loop.csv").what


def test_a_folder_that_may_not_be_entered(tmp_path, monkeypatch):
    """Where even the name cannot be looked up, the person learns that it is a matter of permissions."""
    real = os.stat

    def refuse(path, *rest, **options):
        if str(path).startswith(str(tmp_path / "locked")):
            raise PermissionError(13, "Permission denied")
        return real(path, *rest, **options)

    monkeypatch.setattr(os, "stat", refuse)
    assert "cannot be read: Permission denied" in fault(tmp_path / "locked" / "a.csv").what


def refuse_to_open(monkeypatch, refused):
    """Path.open for which this file is forbidden."""
    real = Path.open

    def guarded(self, *rest, **options):
        if self == refused:
            raise PermissionError(13, "Permission denied")
        return real(self, *rest, **options)

    monkeypatch.setattr(Path, "open", guarded)


@pytest.mark.parametrize("ending", ["csv", "jsonl", "txt", "parquet", "xlsx"])
def test_permission_denied(tmp_path, monkeypatch, ending):
    """A file that may not be read is called so, in every format."""
    path = tmp_path / f"a.{ending}"
    path.write_text("text\nhello\n")
    refuse_to_open(monkeypatch, path)
    found = fault(path)
    assert "cannot be read: Permission denied" in found.what
    assert found.hint == f"Check it:  ls -l {path}"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_that_may_not_be_read(tmp_path, monkeypatch):
    """A pipe that does not open is the fault, and not the disk to which it would have been copied."""
    os.mkfifo(tmp_path / "pipe.csv")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    refuse_to_open(monkeypatch, tmp_path / "pipe.csv")
    assert "pipe.csv cannot be read: Permission denied" in fault(tmp_path / "pipe.csv").what
    assert [path.name for path in tmp_path.iterdir()] == ["pipe.csv"]


@pytest.mark.parametrize("ending", ["csv", "jsonl", "txt", "csv.gz", "parquet"])
def test_a_file_that_vanishes(tmp_path, ending):
    """A file that is removed after the check is said to be missing, and not to be broken."""
    path = tmp_path / f"a.{ending}"
    if ending == "parquet":
        pq.write_table(pa.table({"text": ["hello"]}), path)
    else:
        raw = b'{"text": "hello"}\n' if ending == "jsonl" else b"text\nhello\n"
        path.write_bytes(gzip.compress(raw) if ending.endswith("gz") else raw)
    with open_table(path) as table:
        path.unlink()
        with pytest.raises(UserError, match="there is no such file"):
            list(table.chunks())


def test_two_unnamed_columns_with_values(tmp_path):
    """Unnamed columns are empty, or all but one of them are; else the first two with values are named by their places."""
    found = fault(tmp_path / "a.csv", "id,,text,,\n1,,hello,x,\n2,,you,,y\n")
    assert "columns 4 and 5 have values but no name" in found.what
