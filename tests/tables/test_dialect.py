"""What is written opens where the input did: separator, byte-order mark, line ends and Excel's sep= line are kept."""

from __future__ import annotations

import csv
import gzip
import io

import pytest

from rung.tables import Dialect, open_output, open_table

MARK = "\ufeff"


def answered(tmp_path, name, content, out, **options):
    """The bytes of the output for an input of these bytes."""
    (tmp_path / name).write_bytes(content)
    with open_table(tmp_path / name, **options) as table, open_output(tmp_path / out, table, {"label": str}) as output:
        for chunk in table.chunks():
            output.write(chunk, [["x"] * len(chunk)])
    return (tmp_path / out).read_bytes()


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", ["", MARK])
@pytest.mark.parametrize("declaration", ["", "sep=;"])
def test_csv_keeps_its_dialect(tmp_path, end, mark, declaration):
    """A byte-order mark, the line ends and a sep= line of the input stand in the output too."""
    head = mark + (declaration + end if declaration else "")
    content = head + end.join(["id;text", "1;hello, you", '2;"a\r\nb;c"', ""])
    wanted = head + end.join(["id;text;label", "1;hello, you;x", '2;"a\r\nb;c";x', ""])
    assert answered(tmp_path, "in.csv", content.encode(), "out.csv") == wanted.encode()


@pytest.mark.parametrize("separator", [",", ";", "\t", "|", "^"])
@pytest.mark.parametrize("line", ["sep={}", "SEP={}", '"sep={}"'])
def test_a_declared_separator_is_no_header(tmp_path, separator, line):
    """Excel's first line says what the separator is, whatever the other lines look like; it is no row."""
    lines = [line.format(separator), f"id{separator}text", f"1{separator}a:b", ""]
    (tmp_path / "in.csv").write_text("\n".join(lines))
    with open_table(tmp_path / "in.csv") as table:
        assert (table.columns, table.rows, table.dialect.delimiter) == (["id", "text"], 1, separator)
        assert table.column("text") == ["a:b"]


def test_a_column_that_is_called_sep_stays_one(tmp_path):
    """A header that only begins with sep= is a header."""
    (tmp_path / "in.csv").write_text("sep=tember,text\n1,hello\n")
    with open_table(tmp_path / "in.csv") as table:
        assert table.columns == ["sep=tember", "text"]


def test_faults_below_a_declared_separator_name_their_line(tmp_path):
    """The sep= line counts as a line of the file and not as a row."""
    (tmp_path / "in.csv").write_bytes(b"sep=;\nid;text\n1;a;b\n")
    with pytest.raises(ValueError, match="line 3 has 3 fields"):
        open_table(tmp_path / "in.csv")
    (tmp_path / "in.csv").write_bytes(b"sep=;\nid;text\n1;caf\xe9\n")
    with pytest.raises(ValueError, match="in line 3, row 1"):
        open_table(tmp_path / "in.csv")


def test_a_line_break_in_the_header_is_no_line_end(tmp_path):
    """The line end is what ends the row of the header, not what stands inside its quotes."""
    out = answered(tmp_path, "in.csv", b'"a\nb",text\r\n1,hello\r\n', "out.csv")
    assert out == b'"a\nb",text,label\r\n1,hello,x\r\n'


def test_between_formats(tmp_path):
    """From text to CSV and from CSV to TSV mark and line ends stay; JSON Lines, which may bear no mark, begin without one."""
    mark = MARK.encode()
    assert answered(tmp_path, "a.txt", mark + b"hi\r\nyou\r\n", "a.csv") == mark + b"text,label\r\nhi,x\r\nyou,x\r\n"
    assert answered(tmp_path, "b.csv", mark + b"sep=;\r\nid;text\r\n1;a\r\n", "b.tsv") == (
        mark + b"id\ttext\tlabel\r\n1\ta\tx\r\n"
    )
    assert answered(tmp_path, "c.csv", mark + b"text\r\nhi\r\n", "c.jsonl") == b'{"text": "hi", "label": "x"}\n'


def test_json_lines_keep_theirs(tmp_path):
    """JSON Lines that have a mark and CRLF keep them."""
    raw = MARK.encode() + b'{"text": "hi"}\r\n{"text": "you"}\r\n'
    assert answered(tmp_path, "a.jsonl", raw, "b.jsonl") == raw.replace(b"}", b', "label": "x"}')


def test_packed(tmp_path):
    """The same holds inside .gz."""
    raw = MARK.encode() + b"id;text\r\n1;hello\r\n"
    out = answered(tmp_path, "a.csv.gz", gzip.compress(raw), "b.csv.gz")
    assert gzip.decompress(out) == MARK.encode() + b"id;text;label\r\n1;hello;x\r\n"


def test_standard_output(tmp_path, capfdbinary):
    """The table on standard output is in the input's dialect."""
    (tmp_path / "a.csv").write_bytes(MARK.encode() + b"sep=;\r\nid;text\r\n1;a\r\n")
    with open_table(tmp_path / "a.csv") as table, open_output(None, table, {"label": str}) as output:
        output.write(next(table.chunks()), [["x"]])
    assert capfdbinary.readouterr().out == MARK.encode() + b"sep=;\r\nid;text;label\r\n1;a;x\r\n"


def test_a_page_of_rows(tmp_path):
    """Any rows can be written in the dialect of a table, and are read back as they were."""
    dialect = Dialect(";", "\r\n", byte_order_mark=True, declared=True)
    rows = [["text", "label"], ["a;b\n", ""], ['say "é"', "x"]]
    (tmp_path / "a.csv").write_bytes(dialect.page(rows))
    with open_table(tmp_path / "a.csv") as table:
        assert table.dialect == dialect
        assert [table.columns, *next(table.chunks()).cells()] == rows
    assert list(csv.reader(io.StringIO(dialect.encode(rows).decode()), delimiter=";")) == rows
