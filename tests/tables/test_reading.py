"""What people have is read, exactly as it was written."""

from __future__ import annotations

import gzip
import io
import os
import sys
import tempfile
import tracemalloc

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rung.tables import open_table
from rung.tables.delimited import detect_separator


def rows_of(path, **options):
    with open_table(path, **options) as table:
        rows = [row for chunk in table.chunks(2) for row in chunk.cells()]
        assert len(rows) == table.rows
        return table.columns, rows


def written(path, content):
    path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))
    return path


def test_values_stay_as_written(tmp_path):
    """007, NA, spaces at the ends and empty fields are not touched."""
    path = written(tmp_path / "a.csv", "id,text,x\n007, hello  ,NA\n1.0,,\n")
    assert rows_of(path) == (["id", "text", "x"], [["007", " hello  ", "NA"], ["1.0", "", ""]])


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_four_separators(tmp_path, separator):
    """The separator is found from the header, also where quoted names and the texts hold other ones."""
    others = ",;\t|".replace(separator, "")
    content = (
        separator.join(["id", f'"name {others}"', "text"]) + "\n" + separator.join(["1", "x", f"a{others}b"]) + "\n"
    )
    columns, rows = rows_of(written(tmp_path / "a.csv", content))
    assert columns == ["id", f"name {others}", "text"]
    assert rows == [["1", "x", f"a{others}b"]]


def test_separator_by_the_rows(tmp_path):
    """Where the header holds two separators, the one that fits all rows is taken."""
    path = written(tmp_path / "a.csv", "id;text, as sent, raw\n1;hello\n2;you, there\n")
    assert rows_of(path)[0] == ["id", "text, as sent, raw"]


def test_tabs_in_a_csv(tmp_path):
    """Where tab and comma fit all rows alike, as in a TSV that is named .csv, the tab separates."""
    assert rows_of(written(tmp_path / "a.csv", "id\ttext, raw\n1\thello, you\n"))[0] == ["id", "text, raw"]


def test_separator_in_a_long_file(tmp_path):
    """A file longer than the sample, which is cut in the middle of a row, makes no difference."""
    path = written(tmp_path / "a.csv", "id|text\n" + '1|"yes, and\nno, not"\n' * 9000)
    with open_table(path) as table:
        assert (table.columns, table.rows, table.dialect.delimiter) == (["id", "text"], 9000, "|")


def test_a_cut_row_does_not_count():
    """The last row of the sample, which may be cut short, has no say in what the separator is."""
    sample = "id,text; as sent; raw\n111,hello\n22"
    assert detect_separator(sample, limit=len(sample)) == ","


def test_one_column(tmp_path):
    """A CSV of one column works; without a separator in the header a comma is part of the text, a blank line a row."""
    path = written(tmp_path / "a.csv", 'message\nhello, world\n\n"quoted, ""too"""\n')
    assert rows_of(path) == (["message"], [["hello, world"], [""], ['quoted, "too"']])


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_line_ends_and_mark(tmp_path, end, mark):
    """Unix, Windows and old Mac line ends and a byte-order mark are read alike; a last line needs no end."""
    csv = written(tmp_path / "a.csv", mark + end.join(["text,n", "hello,1", "you,2"]))
    assert rows_of(csv) == (["text", "n"], [["hello", "1"], ["you", "2"]])
    txt = written(tmp_path / "a.txt", mark + end.join(["hello", "", "you", ""]))
    assert rows_of(txt) == (["text"], [["hello"], [""], ["you"]])
    jsonl = written(tmp_path / "a.jsonl", mark + end.join(['{"text": "hello"}', "", '{"text": "you"}']))
    assert rows_of(jsonl) == (["text"], [["hello"], ["you"]])


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_unnamed_columns_in_which_nothing_stands(tmp_path, separator):
    """Separators at the end of every line, as spreadsheets write them, make no columns; nothing of the rows is lost."""
    lines = ["id,text,,,", "1,hello,,,", ",,,,", '2,"you",,,']
    path = written(tmp_path / "a.csv", "\n".join(lines).replace(",", separator) + "\n")
    assert rows_of(path) == (["id", "text"], [["1", "hello"], ["", ""], ["2", "you"]])


def test_an_unnamed_column_that_holds_values(tmp_path):
    """One unnamed column may hold values, as pandas writes its index; the empty ones beside it are left out."""
    path = written(tmp_path / "a.csv", ",text,,\n0,hello,,\n1,you,,\n")
    assert rows_of(path) == (["", "text"], [["0", "hello"], ["1", "you"]])


def test_quoted_line_breaks(tmp_path):
    """Line breaks inside quotes belong to the text, each as it is."""
    path = written(tmp_path / "a.csv", 'text,n\n"one\ntwo\r\nthree\rfour ""five""",1\n')
    assert rows_of(path)[1] == [['one\ntwo\r\nthree\rfour "five"', "1"]]


def test_blank_lines_between_rows(tmp_path):
    """In a CSV of several columns blank lines are no rows."""
    assert rows_of(written(tmp_path / "a.csv", "\n\ntext,n\na,1\n\nb,2\n\n"))[1] == [["a", "1"], ["b", "2"]]


def test_other_line_separators_stay(tmp_path):
    """Unicode's other line separators end neither a line of text nor a JSON object nor a CSV row."""
    text = "a\u2028b\x0bc\x0cd\x85e\x1cf"
    assert rows_of(written(tmp_path / "a.txt", text + "\n"))[1] == [[text]]
    assert rows_of(written(tmp_path / "a.csv", f"text,n\n{text},1\n"))[1] == [[text, "1"]]
    shown = text.replace("\x0b", "\\u000b").replace("\x0c", "\\u000c").replace("\x1c", "\\u001c")
    assert rows_of(written(tmp_path / "a.jsonl", f'{{"text": "{shown}"}}\n'))[1] == [[text]]


def test_long_fields_and_nul(tmp_path):
    """A field of a million characters and a NUL byte are read like any other."""
    long = "word " * 200_000
    path = written(tmp_path / "a.csv", f"text,n\n{long},1\nnul\0byte,2\n")
    assert rows_of(path)[1] == [[long, "1"], ["nul\0byte", "2"]]


@pytest.mark.parametrize("ending", ["csv", "tsv", "txt", "jsonl", "ndjson"])
def test_gzip(tmp_path, ending):
    """Every text format is also read as .gz."""
    content = {"csv": "text\nhello\n", "tsv": "text\nhello\n", "txt": "hello\n"}.get(ending, '{"text": "hello"}\n')
    path = written(tmp_path / f"a.{ending}.gz", gzip.compress(content.encode()))
    assert rows_of(path) == (["text"], [["hello"]])


def test_tsv(tmp_path):
    """In .tsv the separator is a tab, whatever stands in the header."""
    assert rows_of(written(tmp_path / "a.tsv", "a,b;c\ttext\n1\t2\n")) == (["a,b;c", "text"], [["1", "2"]])


def test_format_beats_the_ending(tmp_path):
    """--format says what a file is when its name does not, or not rightly."""
    assert rows_of(written(tmp_path / "export.dat", "a\tb\n1\tx y\n"), format="tsv")[0] == ["a", "b"]
    assert rows_of(written(tmp_path / "a.csv", "one, two\n"), format="txt") == (["text"], [["one, two"]])
    assert rows_of(written(tmp_path / "a.json", '{"text": "x"}\n'), format="jsonl")[1] == [["x"]]


def test_json_values(tmp_path):
    """Keys may differ from row to row; numbers stay as they were written, the rest becomes JSON, no value is empty."""
    lines = [
        '{"text": "a", "n": 1.0, "big": 123456789012345678901234567890}',
        '{"x": {"k": [1.50, null, "é"]}, "b": true}',
    ]
    columns, rows = rows_of(written(tmp_path / "a.jsonl", "\n".join(lines)))
    assert columns == ["text", "n", "big", "x", "b"]
    assert rows == [
        ["a", "1.0", "123456789012345678901234567890", "", ""],
        ["", "", "", '{"k": [1.50, null, "é"]}', "true"],
    ]


def test_reasons(tmp_path):
    """A text that is missing, empty, or not a string keeps its row, and the row says why."""
    values = ['"hello"', "null", '"  "', "3", "true", '["a"]', "{}"]
    path = written(tmp_path / "a.jsonl", "".join(f'{{"text": {value}}}\n' for value in values) + '{"other": 1}\n')
    with open_table(path) as table:
        chunk = next(table.chunks())
    assert chunk.texts == ["hello", None, "  ", None, None, None, None, None]
    assert chunk.reasons == [
        None,
        "the text is missing",
        "the text is empty",
        "the text is a number, not a string",
        "the text is true or false, not a string",
        "the text is a list, not a string",
        "the text is an object, not a string",
        "the text is missing",
    ]


def test_half_surrogates(tmp_path):
    """Half a surrogate pair, which no file can hold, becomes the replacement sign; pairs and backslashes stay."""
    path = written(tmp_path / "a.jsonl", r'{"text": "a\ud83d b\uDE00 \ud83d\ude00 \\ud83d"}')
    assert rows_of(path)[1] == [["a\ufffd b\ufffd 😀 \\ud83d"]]
    for half in (r"\ud83d", r"\uD83D"):
        assert rows_of(written(path, f'{{"text": "{half}"}}'))[1] == [["\ufffd"]]


def test_parquet_values(tmp_path):
    """Parquet's numbers, times, lists and nulls are written out as strings where strings are needed."""
    table = pa.table(
        {
            "text": ["a", None],
            "n": pa.array([1, None]),
            "f": [1.0, 0.1],
            "t": pa.array([1, 2], pa.timestamp("ns")),
            "b": [True, None],
            "l": [["é", None], None],
            "raw": [b"\xff", b"ok"],
        }
    )
    pq.write_table(table, tmp_path / "a.parquet")
    columns, rows = rows_of(tmp_path / "a.parquet")
    assert columns == table.column_names
    assert rows[0] == ["a", "1", "1.0", "1970-01-01 00:00:00.000000001", "true", '["é", null]', "ff"]
    assert rows[1] == ["", "", "0.1", "1970-01-01 00:00:00.000000002", "", "", "6f6b"]


def test_other_columns(tmp_path):
    """Any column's values can be had for the whole table."""
    with open_table(written(tmp_path / "a.csv", "text,label\na,x\nb,\nc,y\n")) as table:
        assert table.column("label") == ["x", "", "y"]


def test_chunks_can_be_read_again(tmp_path):
    """Two readings of the chunks are independent, even at the same time."""
    with open_table(written(tmp_path / "a.txt", "a\nb\nc\n")) as table:
        first, second = table.chunks(1), table.chunks(2)
        assert [next(first).texts, next(second).texts, next(first).texts] == [["a"], ["a", "b"], ["b"]]
        first.close(), second.close()


def standard_input(monkeypatch, raw):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(raw)))


def test_standard_input(tmp_path, monkeypatch):
    """Standard input is CSV unless said otherwise, lies on disk meanwhile, and nothing of it is left behind."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    standard_input(monkeypatch, b"text;n\nhello;1\n")
    with open_table("-") as table:
        assert len(list(tmp_path.iterdir())) == 1
        assert [chunk.cells() for chunk in table.chunks()] == [[["hello", "1"]]]
    assert list(tmp_path.iterdir()) == []
    standard_input(monkeypatch, gzip.compress(b'{"text": "hello"}'))
    assert rows_of("-", format="jsonl") == (["text"], [["hello"]])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("raw", [b"", b"text,n\n1\n", b"\xff"])
def test_bad_standard_input_leaves_nothing(tmp_path, monkeypatch, raw):
    """The copy of standard input is removed also when it cannot be used."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    standard_input(monkeypatch, raw)
    with pytest.raises(ValueError, match="standard input"):
        open_table("-")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_named_pipe(tmp_path, monkeypatch):
    """A pipe, such as bash makes of <(…), is read like standard input."""
    from threading import Thread

    os.mkfifo(tmp_path / "pipe.csv")
    writer = Thread(target=lambda: (tmp_path / "pipe.csv").write_text("text\nhello\n"), daemon=True)
    writer.start()
    assert rows_of(tmp_path / "pipe.csv") == (["text"], [["hello"]])
    writer.join()


@pytest.mark.parametrize("ending", ["csv", "jsonl", "txt", "csv.gz"])
def test_memory_is_flat(tmp_path, ending):
    """Checking and reading a file takes no more memory than a few chunks, however many rows it has."""
    line = "some words to read " * 10
    row = {"jsonl": f'{{"text": "{line}", "id": 1}}\n', "txt": line + "\n"}.get(ending, f"{line},1\n")
    head = "text,id\n" if "csv" in ending else ""
    raw = (head + row * 40_000).encode()
    path = written(tmp_path / f"a.{ending}", gzip.compress(raw) if ending.endswith("gz") else raw)
    size = len(raw)
    del raw
    tracemalloc.start()
    try:
        with open_table(path) as table:
            assert sum(len(chunk) for chunk in table.chunks(500)) == 40_000
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert size > 7_500_000
    assert peak < 5_000_000
