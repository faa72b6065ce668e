"""A table's answers are written beside its own columns: all of it or nothing."""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
import subprocess
import sys
import tracemalloc

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rung.errors import UserError
from rung.tables import ANSWER, Dialect, open_output, open_table
from rung.tables.append import append_rows

ENDINGS = ["csv", "tsv", "jsonl", "parquet", "xlsx"]


def answered(source, target, *, size=2, label="x", **options):
    """Write `source` with the same answer in every row, and give back the target's bytes."""
    with open_table(source) as table, open_output(target, table, **options) as output:
        for chunk in table.chunks(size):
            output.write(chunk, [[label] * len(chunk), [0.5] * len(chunk), [None] * len(chunk)])
    return target.read_bytes()


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "in.csv"
    path.write_text('id;text\n007; a, b \n1.0;"say ""é"""\nNA;\n', encoding="utf-8")
    return path


def test_csv_keeps_values_and_separator(source, tmp_path):
    """The input's columns come first and as they were written, with the input's separator; then the added ones."""
    raw = answered(source, tmp_path / "out.csv").decode("utf-8")
    assert raw == ('id;text;label;probability;error\n007; a, b ;x;0.5;\n1.0;"say ""é""";x;0.5;\nNA;;x;0.5;\n')


def test_other_endings_other_separators(source, tmp_path):
    """A .tsv is separated by tabs; a CSV made of something else by commas."""
    assert answered(source, tmp_path / "out.tsv").startswith(b"id\ttext\tlabel")
    (tmp_path / "in.tsv").write_text("id\ttext\n1\ta,b\n")
    assert answered(tmp_path / "in.tsv", tmp_path / "o.csv") == b'id,text,label,probability,error\n1,"a,b",x,0.5,\n'


def test_formulas_stay(tmp_path):
    """A text that looks like a spreadsheet's formula is written as it was."""
    (tmp_path / "in.csv").write_text("text\n=1+1\n@x\n")
    assert b"\n=1+1,x," in answered(tmp_path / "in.csv", tmp_path / "out.csv")


def test_txt_becomes_a_table(tmp_path):
    """A blank line of text keeps its row."""
    (tmp_path / "in.txt").write_text("a\n\nb\n")
    assert answered(tmp_path / "in.txt", tmp_path / "out.csv") == (
        b"text,label,probability,error\na,x,0.5,\n,x,0.5,\nb,x,0.5,\n"
    )


def test_json_lines_stay_to_the_letter(tmp_path):
    """A JSON line keeps every character; the answers stand before its closing brace."""
    lines = ['{"text":"\\u00e9 é","n":1.0,"big":123456789012345678901234567890}', '{ "x" : [1.50, null] }', "{}"]
    (tmp_path / "in.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    written = answered(tmp_path / "in.jsonl", tmp_path / "out.jsonl", label="é").decode("utf-8").splitlines()
    new = '"label": "é", "probability": 0.5, "error": null}'
    assert written == [lines[0][:-1] + ", " + new, '{ "x" : [1.50, null], ' + new, "{" + new]


def test_csv_to_json(source, tmp_path):
    """Values of a CSV become JSON strings, so that 007 stays 007; letters are not escaped."""
    written = answered(source, tmp_path / "out.jsonl").decode("utf-8")
    assert "é" in written
    assert json.loads(written.splitlines()[0]) == {
        "id": "007", "text": " a, b ", "label": "x", "probability": 0.5, "error": None
    }  # fmt: skip


def test_parquet_keeps_types(tmp_path):
    """Parquet keeps its columns' Arrow types and metadata; label and error are strings, probability is a number."""
    columns = {
        "text": pa.array(["a", None, "c"]).dictionary_encode(),
        "n": pa.array([1, None, 3], pa.int16()),
        "t": pa.array([1, 2, 3], pa.timestamp("ns", "UTC")),
        "l": pa.array([[1.5], None, []], pa.list_(pa.float32())),
        "s": pa.array(["x", "y", "z"], pa.large_string()),
    }
    before = pa.table(columns).replace_schema_metadata({"owner": "me"})
    pq.write_table(before, tmp_path / "in.parquet")
    with (
        open_table(tmp_path / "in.parquet", text="text") as table,
        open_output(tmp_path / "o.parquet", table) as output,
    ):
        for chunk in table.chunks(2):
            output.write(chunk, [[None] * len(chunk), np.full(len(chunk), np.nan, np.float32), ["bad"] * len(chunk)])
    after = pq.read_table(tmp_path / "o.parquet")
    assert after.select(before.column_names).equals(before)
    assert after.schema.metadata[b"owner"] == b"me"
    assert after.schema.names[5:] == ["label", "probability", "error"]
    assert after.schema.types[5:] == [pa.string(), pa.float64(), pa.string()]
    assert after["probability"].null_count == 3


def test_parquet_to_json_and_csv(tmp_path):
    """Numbers and lists of a Parquet file stay numbers and lists in JSON; not-a-number is null."""
    table = pa.table({"text": ["é"], "n": [1], "f": [float("nan")], "l": [[1, None]], "t": pa.array([0], pa.date32())})
    pq.write_table(table, tmp_path / "in.parquet")
    assert json.loads(answered(tmp_path / "in.parquet", tmp_path / "o.jsonl")) == {
        "text": "é", "n": 1, "f": None, "l": [1, None], "t": "1970-01-01",
        "label": "x", "probability": 0.5, "error": None,
    }  # fmt: skip
    assert answered(tmp_path / "in.parquet", tmp_path / "o.csv").decode().splitlines()[1] == (
        'é,1,nan,"[1, null]",1970-01-01,x,0.5,'
    )


def test_csv_to_parquet(source, tmp_path):
    """Values of a CSV become strings in Parquet; rows are gathered into few row groups."""
    answered(source, tmp_path / "out.parquet", size=1)
    table = pq.read_table(tmp_path / "out.parquet")
    assert table["id"].to_pylist() == ["007", "1.0", "NA"]
    assert pq.ParquetFile(tmp_path / "out.parquet").num_row_groups == 1


def test_row_groups(source, tmp_path, monkeypatch):
    """Row groups are written as they fill, so that a large table never waits in memory."""
    monkeypatch.setattr("rung.tables.sinks._ROW_GROUP_ROWS", 2)
    answered(source, tmp_path / "out.parquet", size=1)
    assert pq.ParquetFile(tmp_path / "out.parquet").num_row_groups == 2


@pytest.mark.parametrize("ending", ["csv.gz", "tsv.gz", "jsonl.gz"])
def test_gzip_is_the_same_each_time(source, tmp_path, ending):
    """A .gz holds what the plain file holds, and the same rows give the same bytes."""
    first = answered(source, tmp_path / f"one.{ending}")
    assert first[4:8] == bytes(4)  # where gzip would keep the time
    assert first == answered(source, tmp_path / f"two.{ending}", size=3)
    assert gzip.decompress(first) == answered(source, tmp_path / f"three.{ending.removesuffix('.gz')}")


def test_plain_values_of_numpy(source, tmp_path):
    """NumPy's numbers are written as Python's, not-a-number as nothing."""
    with open_table(source) as table, open_output(tmp_path / "o.jsonl", table, {"p": float, "n": int}) as output:
        for chunk in table.chunks():
            output.write(chunk, [np.array([0.25, np.nan, 1], np.float32), np.arange(3)])
    rows = [json.loads(line) for line in (tmp_path / "o.jsonl").read_text().splitlines()]
    assert [(row["p"], row["n"]) for row in rows] == [(0.25, 0), (None, 1), (1.0, 2)]


def test_wrong_lengths_are_our_bug(source, tmp_path):
    """Answers that are not as many as the rows are refused, and nothing is written."""
    with open_table(source) as table, open_output(tmp_path / "o.csv", table) as output:
        with pytest.raises(ValueError, match="3 columns of 3"):
            output.write(next(table.chunks()), [["x"]] * 3)
        output.discard()
    assert not (tmp_path / "o.csv").exists()


# What must not be written


def refusal(source, target, **options):
    with open_table(source) as table, pytest.raises(UserError) as found:
        open_output(target, table, **options)
    assert [path for path in source.parent.iterdir() if path.name.endswith(".part")] == []
    return found.value


def test_taken_names(tmp_path):
    """An added column that is there already is refused with a prefix to type, and the prefix works."""
    (tmp_path / "in.csv").write_text("text,label,error,rung_label\na,b,c,d\n")
    found = refusal(tmp_path / "in.csv", tmp_path / "o.csv")
    assert "columns 'label', 'error'" in found.what
    assert found.hint.endswith("--prefix rung_")
    assert refusal(tmp_path / "in.csv", tmp_path / "o.csv", prefix="rung_").hint.endswith("--prefix rung2_")
    raw = answered(tmp_path / "in.csv", tmp_path / "o.csv", prefix="my_")
    assert raw.startswith(b"text,label,error,rung_label,my_label,my_probability,my_error\n")


def test_taken_names_of_any_row(tmp_path):
    """In JSON Lines a name is taken if any row has it."""
    (tmp_path / "in.jsonl").write_text('{"text": "a"}\n{"text": "b", "label": null}\n')
    assert "already has a column 'label'" in refusal(tmp_path / "in.jsonl", None).what


def test_output_exists(source, tmp_path):
    """A file that exists is replaced only with --force, and only at the end."""
    (tmp_path / "o.csv").write_text("precious")
    assert refusal(source, tmp_path / "o.csv").hint.endswith("--force")
    with open_table(source) as table, open_output(tmp_path / "o.csv", table, force=True):
        assert (tmp_path / "o.csv").read_text() == "precious"
    assert (tmp_path / "o.csv").read_text() == "id;text;label;probability;error\n"


def test_output_is_the_input(source, tmp_path):
    """The input is never overwritten, not even with --force or under another name of the same file."""
    before = source.read_bytes()
    (tmp_path / "link.csv").symlink_to(source)
    for target in (source, tmp_path / "link.csv", tmp_path / "x" / ".." / "in.csv"):
        (tmp_path / "x").mkdir(exist_ok=True)
        assert "is the input itself" in refusal(source, target, force=True).what
    assert source.read_bytes() == before


def test_output_folder(source, tmp_path):
    """A folder that does not exist, and a folder as output, are refused."""
    assert refusal(source, tmp_path / "no" / "o.csv").hint == f"mkdir -p {tmp_path}/no"
    (tmp_path / "folder.csv").mkdir()
    assert "is a folder" in refusal(source, tmp_path / "folder.csv", force=True).what
    assert "is a file, not a folder" in refusal(source, source / "o.csv").what
    (tmp_path / "results").mkdir()
    found = refusal(source, tmp_path / "results")
    assert ("is a folder" in found.what, found.hint) == (True, f"Name a file in it:  --out {tmp_path}/results/out.csv")


@pytest.mark.parametrize("length", [250, 300])
def test_an_output_name_that_is_too_long(source, tmp_path, length):
    """A name that the system does not take is refused in two lines, also where only the temporary name is too long."""
    assert "cannot be written: File name too long" in refusal(source, tmp_path / ("a" * (length - 4) + ".csv")).what


def test_an_output_that_is_a_loop_of_links(source, tmp_path):
    """A link that leads back to itself is no place to write to."""
    (tmp_path / "loop.csv").symlink_to(tmp_path / "loop.csv")
    assert "cannot be written: Too many levels" in refusal(source, tmp_path / "loop.csv").what


@pytest.mark.parametrize("name", ["o.txt", "o.xlsm", "o.xlsx.gz", "o", "o.parquet.gz", "o.json"])
def test_output_ending(source, tmp_path, name):
    """An ending under which no table can be written is refused with those that can, or with what to type."""
    found = refusal(source, tmp_path / name)
    assert ".csv" in found.what or found.hint.endswith(("o.parquet", "o.xlsx"))


@pytest.mark.skipif(os.name == "nt", reason="no such device")
def test_a_device_is_not_replaced(source, tmp_path):
    """What is no regular file is never renamed over."""
    os.mkfifo(tmp_path / "pipe.csv")
    assert "no regular file" in refusal(source, tmp_path / "pipe.csv", force=True).what


def test_not_writable(source, tmp_path, monkeypatch):
    """A folder in which nothing may be written is said before any work."""
    from pathlib import Path

    real = Path.open

    def refuse(self, mode="r", **options):
        if "x" in mode:
            raise PermissionError(13, "Permission denied")
        return real(self, mode, **options)

    monkeypatch.setattr(Path, "open", refuse)
    assert "cannot be written: Permission denied" in refusal(source, tmp_path / "o.csv").what


# All or nothing


def write_and_fail(source, target, error):
    with open_table(source) as table, open_output(target, table, force=True) as output:
        chunk = next(table.chunks(2))
        output.write(chunk, [["x"] * 2, [0.5] * 2, [None] * 2])
        raise error


@pytest.mark.parametrize("ending", [*ENDINGS, "csv.gz"])
@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_nothing_is_left_after_an_error(source, tmp_path, ending, error):
    """After Ctrl-C or an error there is no output, no temporary file, and an earlier output is as it was."""
    target = tmp_path / f"o.{ending}"
    target.write_text("precious")
    before = sorted(path.name for path in tmp_path.iterdir())
    with pytest.raises(error):
        write_and_fail(source, target, error)
    assert sorted(path.name for path in tmp_path.iterdir()) == before
    assert target.read_text() == "precious"


@pytest.mark.parametrize("ending", [*ENDINGS, "csv.gz"])
def test_a_full_disk(source, tmp_path, ending, monkeypatch):
    """A disk that fills up is said in two lines, and nothing half written stays."""
    import rung.tables.output as module

    class Full(io.FileIO):
        def __init__(self, path, mode, buffering):
            super().__init__(path, mode)

        def write(self, block):
            raise OSError(28, "No space left on device")

    real = module.Path.open
    monkeypatch.setattr(module.Path, "open", lambda self, mode, **o: (Full if mode == "xb" else real)(self, mode, **o))
    with pytest.raises(UserError, match="No space left on device"):
        answered(source, tmp_path / f"o.{ending}")
    monkeypatch.undo()
    assert [path.name for path in tmp_path.iterdir()] == ["in.csv"]


def test_nothing_appears_before_the_end(source, tmp_path):
    """The output's name is free until everything is written."""
    with open_table(source) as table, open_output(tmp_path / "o.csv", table):
        assert not (tmp_path / "o.csv").exists()
    assert (tmp_path / "o.csv").exists()
    if os.name != "nt":
        assert (tmp_path / "o.csv").stat().st_mode == source.stat().st_mode  # as open() makes files: umask and all


def test_a_link_stays_a_link(source, tmp_path):
    """With --force the file behind a symbolic link is replaced, not the link."""
    (tmp_path / "real.csv").write_text("old")
    (tmp_path / "link.csv").symlink_to(tmp_path / "real.csv")
    answered(source, tmp_path / "link.csv", force=True)
    assert (tmp_path / "link.csv").is_symlink()
    assert (tmp_path / "real.csv").read_text().startswith("id;text;label")


@pytest.mark.parametrize("packed", [False, True])
def test_appended_rows_are_as_wide_as_the_file(tmp_path, packed):
    """Rows below those of a file whose unnamed columns are left out have fields for them, so that it stays readable."""
    path = tmp_path / ("known.csv.gz" if packed else "known.csv")
    raw = b"text;;label;\r\nhello;;x;"
    path.write_bytes(gzip.compress(raw) if packed else raw)
    with open_table(path) as table:
        append_rows(path, table, [["a;b", ""], ["c", "y"]])
    written = path.read_bytes()
    assert (gzip.decompress(written) if packed else written) == raw + b'\r\n"a;b";;;\r\nc;;y;\r\n'
    with open_table(path) as table:
        assert table.column("text") == ["hello", "a;b", "c"]


# Standard output


@pytest.mark.parametrize(
    ("name", "content", "first"),
    [
        ("in.csv", "id;text\n1;é\n", "id;text;label;probability;error"),
        ("in.tsv", "id\ttext\n1\té\n", "id\ttext\tlabel\tprobability\terror"),
        ("in.txt", "é\n", "text,label,probability,error"),
        ("in.jsonl", '{"text": "é"}\n', '{"text": "é", "label": "x", "probability": 0.5, "error": null}'),
    ],
)
def test_standard_output(tmp_path, capfdbinary, name, content, first):
    """Without --out the table goes to standard output: JSON Lines stay such, all else is CSV with its own separator."""
    (tmp_path / name).write_text(content, encoding="utf-8")
    with open_table(tmp_path / name) as table, open_output(None, table) as output:
        output.write(next(table.chunks()), [["x"], [0.5], [None]])
    assert output.rows == 1
    assert capfdbinary.readouterr().out.decode("utf-8").splitlines()[0] == first


def test_captured_standard_output(source, capsysbinary):
    """Where standard output is no file, as in a notebook, the table still goes there, and it stays open."""
    with open_table(source) as table, open_output("-", table) as output:
        output.write(next(table.chunks()), [["x"] * 3, [0.5] * 3, [None] * 3])
    sys.stdout.write("after\n")
    assert capsysbinary.readouterr().out.splitlines()[-1] == b"after"


PIPED = """
import sys
from rung.tables import open_output, open_table
with open_table(sys.argv[1]) as table, open_output("-", table) as output:
    for chunk in table.chunks(100):
        output.write(chunk, [["x"] * len(chunk), [0.5] * len(chunk), [None] * len(chunk)])
print("cut short:", output.cut_short, output.rows < table.rows, file=sys.stderr)
"""


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_reader_that_leaves(tmp_path, unbuffered):
    """Where the reader of standard output goes away, as head does, writing ends at once, quietly and with success."""
    (tmp_path / "in.txt").write_text("some words to read\n" * 50_000)
    command = [sys.executable, "-c", PIPED, str(tmp_path / "in.txt")]
    environment = {**os.environ, "PYTHONUNBUFFERED": unbuffered}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment) as child:
        assert child.stdout.readline() == "text,label,probability,error\n"
        child.stdout.close()
        assert child.stderr.read() == "cut short: True True\n"
        assert child.wait() == 0


# There and back


FIELD = st.text(st.characters(exclude_categories=["Cs"]), max_size=8) | st.text("\",;\t|\r\n'a ", max_size=6)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.lists(st.tuples(FIELD, FIELD), min_size=1, max_size=6),
    separator=st.sampled_from(",;\t|"),
    through=st.lists(st.sampled_from(ENDINGS), min_size=1, max_size=3),
    size=st.integers(1, 7),
)
def test_there_and_back(tmp_path, rows, separator, through, size):
    """Whatever the values, they come back equal through any chain of formats, in order, none lost."""
    path = tmp_path / "in.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, delimiter=separator, quoting=csv.QUOTE_ALL).writerows([("text", "other column"), *rows])
    for step, ending in enumerate(through):
        target = tmp_path / f"{step}.{ending}"
        with open_table(path) as table, open_output(target, table, {f"n{step}": int}, force=True) as output:
            for chunk in table.chunks(size):
                output.write(chunk, [range(len(chunk))])
        path = target
    with open_table(path) as table:
        assert list(zip(table.column("text"), table.column("other column"), strict=True)) == rows
        assert table.rows == len(rows)


@settings(deadline=None)
@given(
    st.lists(st.lists(FIELD, min_size=1, max_size=4), min_size=1, max_size=4),
    st.sampled_from(",;\t|"),
    st.sampled_from(["\n", "\r\n", "\r"]),
)
def test_the_csv_module_agrees(rows, separator, end):
    """What is written as CSV is what the standard library reads, field by field."""
    text = io.StringIO(Dialect(separator, end).encode(rows).decode("utf-8"), newline="")
    assert list(csv.reader(text, delimiter=separator, strict=True)) == rows


@pytest.mark.parametrize("ending", ENDINGS)
def test_memory_is_flat(tmp_path, ending):
    """Writing takes no more memory than a few chunks, however many rows there are."""
    (tmp_path / "in.txt").write_text(("some words to read " * 10 + "\n") * 40_000)
    with open_table(tmp_path / "in.txt") as table:
        list(zip(range(1), table.chunks(), strict=False))  # what is imported late is not counted
        tracemalloc.start()
        try:
            with open_output(tmp_path / f"out.{ending}", table) as output:
                for chunk in table.chunks(500):
                    output.write(chunk, [["x"] * len(chunk), [0.5] * len(chunk), [None] * len(chunk)])
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert (tmp_path / f"out.{ending}").exists()
    assert peak < 5_000_000


def test_names_and_types_of_an_answer():
    """An answer is a label, its probability, and an error where there is none."""
    assert dict(ANSWER) == {"label": str, "probability": float, "error": str}
