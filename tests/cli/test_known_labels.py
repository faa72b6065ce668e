"""Labels that a person knows, and the loop that suggests more texts to label: no given label is lost."""

from __future__ import annotations

import csv
import gzip
import io
import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rung.inference.label_inputs import LabelWarning

Run = Callable[..., Any]
BASE = ("--labels", "billing,bug report", "--backbone", "builtin")
TEXTS = ["the invoice is wrong", "it crashes", "please send the bill", "an error on start", "odd one"]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Five texts, of which the column `mine` labels the last."""
    file = tmp_path / "in.csv"
    lines = [f"{i:03},{text},{'bug report' if text == 'odd one' else ''}" for i, text in enumerate(TEXTS)]
    file.write_text("id,text,mine\n" + "\n".join(lines) + "\n", "utf-8")
    return file


def written(file: Path, content: str) -> Path:
    file.write_text(content, "utf-8", newline="")
    return file


def rows(text: str, delimiter: str = ",") -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text), delimiter=delimiter))


def classified(rung: Run, source: Path, *arguments: object) -> tuple[dict[str, dict[str, str]], str]:
    """The rows that classify writes, by text, and its summary."""
    ran = rung("classify", source, *BASE, "--text", "text", *arguments)
    assert ran.code == 0, ran.err
    return {row["text"]: row for row in rows(ran.out)}, ran.err


def test_files_and_columns_add_up(rung: Run, source: Path, tmp_path: Path) -> None:
    """With two files and a column, each known label is in the answers, and all are learned from."""
    one = written(tmp_path / "one.csv", "text,label\nit crashes,billing\n")
    two = written(tmp_path / "two.jsonl", '{"text": "please send the bill", "label": "bug report"}\n')
    found, err = classified(rung, source, "--known", one, "--known", "mine", "--known", two)
    assert [found[text]["label"] for text in ("it crashes", "odd one", "please send the bill")] == [
        "billing",
        "bug report",
        "bug report",
    ]
    assert "learned from 3 labels" in err


def test_a_text_is_the_same_after_an_editor_saved_it(rung: Run, tmp_path: Path) -> None:
    """A label is found for its text although a spreadsheet changed line ends and spaces."""
    source = written(tmp_path / "in.csv", 'text\n"two\r\nlines "\nan invoice\n')
    known = written(tmp_path / "known.csv", 'text,label\r\n"two\nlines",bug report\r\n')
    found, err = classified(rung, source, "--known", known)
    assert next(row["label"] for text, row in found.items() if text.startswith("two")) == "bug report"
    assert "is not in" not in err


@pytest.mark.parametrize("word", ["none of these", "None of these"])
def test_none_of_these_is_an_answer_without_a_label(word: str, rung: Run, source: Path, tmp_path: Path) -> None:
    """The row has no label, its error says that this was given, it is not learned as a label, and it is counted separately."""
    known = written(tmp_path / "known.csv", f"text,label\nodd one,{word}\nit crashes,bug report\n")
    found, err = classified(rung, source, "--known", known)
    assert (found["odd one"]["label"], found["odd one"]["probability"]) == ("", "1.0")
    assert found["odd one"]["error"] == "none of these, as given"
    assert "learned from 1 label" in err
    assert "1 text got no label, as --known says" in err
    assert "fits well enough" not in err
    several, _ = classified(rung, source, "--known", known, "--multi-label")
    assert (several["odd one"]["label"], several["it crashes"]["label"]) == ("", "bug report")
    assert classified(rung, source, "--known", known, "--reject", "0.2")[0]["odd one"]["label"] == ""


@pytest.mark.parametrize("way", ["column", "file", "two files"])
def test_two_labels_of_a_text_give_the_same_warning(way: str, rung: Run, tmp_path: Path) -> None:
    """From a column, a file or two files: the warning names both places by file and line."""
    lines = ["text,label", "the same,billing", '"two', 'lines",', "the same,bug report", "an invoice,"]
    here = written(tmp_path / "here.csv", "\n".join(lines) + "\n")
    there = written(tmp_path / "there.csv", "text,label\nthe same,billing\n")
    other = written(tmp_path / "other.csv", "text,label\nnew,billing\nthe same,bug report\n")
    table = written(tmp_path / "in.csv", "text\nthe same\nan invoice\nit crashes\n")
    arguments, places = {
        "column": (
            ("classify", here, *BASE, "--known", "label", "--prefix", "p_"),
            ("here.csv, line 2", "here.csv, line 5"),
        ),
        "file": (("classify", table, *BASE, "--known", here), ("here.csv, line 2", "here.csv, line 5")),
        "two files": (
            ("classify", table, *BASE, "--known", there, "--known", other),
            ("there.csv, line 2", "other.csv, line 3"),
        ),
    }[way]
    with pytest.warns(LabelWarning) as told:
        ran = rung(*arguments, "--text", "text")
    assert ran.code == 0, ran.err
    message, *more = [str(each.message) for each in told]
    assert not more
    assert "the same text has two labels" in message
    assert [place for place in places if place not in message] == []
    assert "learned from 2 labels" in ran.err or "learned from 3 labels" in ran.err, "neither is lost"
    if way != "column":
        assert rows(ran.out)[0]["label"] == "bug report", "the last one counts"


@pytest.mark.parametrize("command", ["classify", "suggest"])
def test_a_source_without_a_single_label_says_so(command: str, rung: Run, source: Path, tmp_path: Path) -> None:
    """A file or a column without a single label is refused in two lines, and nothing is written."""
    empty = written(tmp_path / "empty.csv", "text,label\nit crashes,\n")
    ran = rung(command, source, *BASE, "--text", "text", "--known", empty, "--out", tmp_path / "o.csv")
    assert (ran.code, "empty.csv: no row has a label" in ran.err) == (2, True)
    ran = rung(
        command, source, *BASE, "--text", "text", "--known", "mine", "--known", "id", "--out", tmp_path / "o.csv"
    )
    assert (ran.code, "is none of the labels" in ran.err) == (2, True)
    blank = written(tmp_path / "blank.csv", "text,mine\nit crashes,\nan invoice,\n")
    ran = rung(command, blank, *BASE, "--text", "text", "--known", "mine", "--out", tmp_path / "o.csv")
    assert (ran.code, "--known mine: no row of" in ran.err) == (2, True)
    assert not (tmp_path / "o.csv").exists()


@pytest.mark.parametrize(
    ("name", "content", "place"),
    [
        ("k.csv", 'text,label\n"a long\ntext",billing\n\nit crashes,biling\n', "k.csv, line 5"),
        (
            "k.jsonl",
            '{"text": "a b", "label": "billing"}\n\n{"text": "it crashes", "label": "biling"}\n',
            "k.jsonl, line 3",
        ),
    ],
)
def test_a_label_that_is_none_is_named_by_its_line(
    name: str, content: str, place: str, rung: Run, source: Path, tmp_path: Path
) -> None:
    """The error names the person's own file, the line and the nearest label, before anything is written, with or without a fit."""
    known = written(tmp_path / name, content)
    saved = tmp_path / "saved"
    assert rung("classify", source, *BASE, "--text", "text", "--save", saved).code == 0
    for how in (BASE, ("--classifier", saved)):
        ran = rung("classify", source, *how, "--text", "text", "--known", known)
        assert (ran.code, ran.out) == (2, "")
        assert f"{place}: 'biling' is none of the labels" in ran.err
        assert "Did you mean 'billing'?" in ran.err


def test_the_row_of_a_table_without_lines_is_named(rung: Run, source: Path, tmp_path: Path) -> None:
    """In Parquet the error names the row, counted from 1."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(
        pa.table({"text": ["it crashes", "odd one"], "label": ["billing", "nothing"]}), tmp_path / "k.parquet"
    )
    ran = rung("classify", source, *BASE, "--text", "text", "--known", tmp_path / "k.parquet")
    assert "k.parquet, row 2: 'nothing' is none of the labels" in ran.err


def test_labels_that_no_row_shows_are_counted_in_the_summary(rung: Run, source: Path, tmp_path: Path) -> None:
    """The summary counts labelled texts that are not in IN, labels of empty texts, and rows without a label."""
    known = written(tmp_path / "known.csv", "text,label\nelsewhere,billing\nodd one,billing\n,billing\nit crashes,\n")
    _, err = classified(rung, source, "--known", known)
    assert f"1 labelled text of {known} is not in {source}: it is learned from all the same" in err
    assert f"1 label of {known} belongs to an empty text: not used" in err
    assert f"1 row of {known} has no label yet" in err
    assert "learned from 2 labels" in err
    saved = tmp_path / "saved"
    assert rung("classify", source, *BASE, "--text", "text", "--save", saved).code == 0
    ran = rung("classify", source, "--classifier", saved, "--text", "text", "--known", known)
    assert f"1 labelled text of {known} is not in {source}: not used" in ran.err


def test_a_file_of_labels_may_hold_other_columns(rung: Run, source: Path, tmp_path: Path) -> None:
    """The texts are read from the column with the same name as in IN, whatever other columns there are."""
    table = written(tmp_path / "in.csv", "message,note\nodd one,a remark\nan invoice,another one\n")
    known = written(tmp_path / "known.csv", "note,message,label\nsome words here,odd one,bug report\n")
    ran = rung("classify", table, *BASE, "--text", "message", "--known", known)
    assert ran.code == 0, ran.err
    assert rows(ran.out)[0]["label"] == "bug report"


def test_a_file_whose_texts_are_not_clear_is_told_how_to_name_them(rung: Run, source: Path, tmp_path: Path) -> None:
    """--text names a column of IN and not of a file of labels, so the hint gives the name that the column should have."""
    known = written(tmp_path / "known.csv", "a,b,label\nsome words,other words,billing\n")
    ran = rung("classify", source, *BASE, "--text", "text", "--known", known)
    assert (ran.code, "2 columns could hold the texts" in ran.err) == (2, True)
    assert "Name the column of texts  text" in ran.err.splitlines()[1]


def filled(file: Path, labels: dict[str, str], delimiter: str) -> None:
    """Write labels into the file as a person would, who leaves all else as it is."""
    lines = file.read_bytes().decode("utf-8").splitlines(keepends=True)
    for i, line in enumerate(lines):
        for name, label in labels.items():
            if name in line and line.rstrip("\r\n").endswith(delimiter):
                bare = line.rstrip("\r\n")
                lines[i] = bare + label + line[len(bare) :]
    file.write_bytes("".join(lines).encode("utf-8"))


def test_the_loop_goes_around_twice_in_one_file(rung: Run, tmp_path: Path) -> None:
    """suggest, fill in, classify, suggest again: the file keeps its format, columns and labels, and rows are added below."""
    table = tmp_path / "in.csv"
    lines = [f"{i:03};{'invoice' if i % 2 else 'crash'} number {i};web" for i in range(30)]
    table.write_bytes(("\ufeffNr;Nachricht;Kanal\r\n" + "\r\n".join(lines) + "\r\n").encode("utf-8"))
    ask = tmp_path / "ask.csv"
    common = (*BASE, "--text", "Nachricht")
    ran = rung("suggest", table, *common, "-n", "4", "--out", ask)
    assert ran.code == 0, ran.err
    first = ask.read_bytes()
    assert first.startswith(b"\xef\xbb\xbfNr;Nachricht;Kanal;label\r\n")
    assert first.count(b"\r\n") == 5 == first.count(b"\n")
    assert f"--text Nachricht --backbone builtin --known {ask}" in ran.err
    refused = rung("suggest", table, *common, "--out", ask)
    assert (refused.code, ask.read_bytes()) == (2, first)
    assert f"--known {ask}" in refused.err
    filled(ask, {"invoice": "billing", "crash": "none of these"}, ";")
    before = ask.read_bytes()
    done = rung("classify", table, *common, "--known", ask)
    assert done.code == 0, done.err
    assert f"rung suggest {table}" in done.err
    assert f"--known {ask} --out {ask}" in done.err
    again = rung("suggest", table, *common, "-n", "4", "--known", ask, "--out", ask)
    assert again.code == 0, again.err
    after = ask.read_bytes()
    assert after.startswith(before), "what a person wrote stays to the last byte"
    fresh = rows(after.decode("utf-8-sig"), ";")[4:]
    assert [(row["label"], row["Kanal"]) for row in fresh] == [("", "web")] * 4
    assert len({row["Nr"] for row in rows(after.decode("utf-8-sig"), ";")}) == 8, "no text is asked twice"
    third = rung("suggest", table, *common, "-n", "4", "--known", ask, "--out", ask)
    assert f"4 rows of {ask} have no label yet" in third.err
    assert len({row["Nr"] for row in rows(ask.read_text("utf-8-sig"), ";")}) == 12, (
        "also not while it waits for its label"
    )


def test_next_names_all_files_of_the_loop(rung: Run, source: Path, tmp_path: Path) -> None:
    """The next command keeps all sources of labels when texts are suggested in another file."""
    one = written(tmp_path / "one.csv", "text,label\nit crashes,billing\n")
    ran = rung(
        "suggest", source, *BASE, "--text", "text", "--known", one, "--known", "mine", "--out", tmp_path / "two.csv"
    )
    assert ran.code == 0, ran.err
    assert f"--known {one} --known mine --known {tmp_path / 'two.csv'}" in ran.err
    found = rows((tmp_path / "two.csv").read_text("utf-8"))
    assert list(found[0]) == ["id", "text", "mine", "label"]
    assert not {"it crashes", "odd one"} & {row["text"] for row in found}


@pytest.mark.parametrize("name", ["ask.jsonl", "ask.tsv", "ask.csv.gz"])
def test_the_file_to_fill_in_is_of_the_format_that_its_name_says(
    name: str, rung: Run, source: Path, tmp_path: Path
) -> None:
    """JSON Lines, TSV and gzip are written, read back with labels, and get more rows."""
    ask = tmp_path / name
    assert rung("suggest", source, *BASE, "--text", "text", "-n", "2", "--out", ask).code == 0
    plain = gzip.decompress(ask.read_bytes()) if name.endswith(".gz") else ask.read_bytes()
    if name.endswith("jsonl"):
        marked = b"".join(
            json.dumps(json.loads(line) | {"label": "billing"}).encode() + b"\n" for line in plain.splitlines()
        )
    else:
        head, *body = plain.splitlines()
        marked = b"\n".join([head, *(line + b"billing" for line in body)])  # without a line end at the end
    ask.write_bytes(gzip.compress(marked) if name.endswith(".gz") else marked)
    ran = rung("suggest", source, *BASE, "--text", "text", "-n", "2", "--known", ask, "--out", ask)
    assert ran.code == 0, ran.err
    after = gzip.decompress(ask.read_bytes()) if name.endswith(".gz") else ask.read_bytes()
    assert after.startswith(marked)
    found = (
        [json.loads(line) for line in after.splitlines()]
        if name.endswith("jsonl")
        else rows(after.decode(), "\t" if name.endswith("tsv") else ",")
    )
    assert [row["label"] or "" for row in found] == ["billing", "billing", "", ""]
    assert len({row["text"] for row in found}) == 4


def test_a_label_in_the_input_is_not_taken_for_a_persons(rung: Run, tmp_path: Path) -> None:
    """IN may be the output of classify: the column label is empty in the file to fill in."""
    table = written(tmp_path / "in.csv", "text,label\nthe invoice,billing\nit crashes,billing\nthe bill,billing\n")
    ran = rung("suggest", table, *BASE, "--text", "text", "-n", "2", "--out", tmp_path / "ask.csv")
    assert ran.code == 0, ran.err
    assert [row["label"] for row in rows((tmp_path / "ask.csv").read_text("utf-8"))] == ["", ""]


def test_suggest_asks_any_kind_of_classifier(rung: Run, source: Path, tmp_path: Path) -> None:
    """suggest works with several labels, a tree and a saved classifier; the next command repeats their options."""
    several = rung("suggest", source, *BASE, "--text", "text", "--multi-label", "--out", tmp_path / "a.csv")
    assert several.code == 0, several.err
    assert "--multi-label" in several.err.splitlines()[-1]
    assert "several labels of a text with |" in several.err
    tree = written(tmp_path / "tree.csv", "name,parent\nmoney,\nbilling,money\nrefund,money\nbug,\n")
    assert (
        rung(
            "suggest", source, "--labels", tree, "--backbone", "builtin", "--text", "text", "--out", tmp_path / "b.csv"
        ).code
        == 0
    )
    assert rung("classify", source, *BASE, "--text", "text", "--save", tmp_path / "saved").code == 0
    saved = rung(
        "suggest", source, "--classifier", tmp_path / "saved", "--text", "text", "-n", "2", "--out", tmp_path / "c.csv"
    )
    assert saved.code == 0, saved.err
    assert f"--classifier {tmp_path / 'saved'}" in saved.err.splitlines()[-1]
    assert len(rows((tmp_path / "c.csv").read_text("utf-8"))) == 2


def test_when_all_is_labelled_nothing_is_written(rung: Run, tmp_path: Path) -> None:
    """No empty file is written, and a line says why."""
    table = written(tmp_path / "in.csv", "text,mine\nthe invoice,billing\nit crashes,bug report\n")
    ran = rung("suggest", table, *BASE, "--text", "text", "--known", "mine", "--out", tmp_path / "ask.csv")
    assert (ran.code, "nothing to suggest" in ran.err) == (0, True)
    assert not (tmp_path / "ask.csv").exists()


def test_rows_are_never_put_below_a_file_that_cannot_grow(rung: Run, source: Path, tmp_path: Path) -> None:
    """Rows cannot be added to Parquet: the file stays as it is, and another name is proposed."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    known = tmp_path / "k.parquet"
    pq.write_table(pa.table({"text": ["it crashes"], "label": ["billing"]}), known)
    before = known.read_bytes()
    ran = rung("suggest", source, *BASE, "--text", "text", "--known", known, "--out", known, "--force")
    assert (ran.code, known.read_bytes()) == (2, before)
    assert "k-2.csv" in ran.err


def test_a_full_disk_leaves_the_labels(
    rung: Run, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the disk is full while rows are added, there are two lines, and the file with the labels stays as it was."""
    known = written(tmp_path / "k.csv", "text,label\nit crashes,billing\n")
    write = Path.write_bytes

    def full(self: Path, data: bytes) -> int:
        write(self, data[:10])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    ran = rung("suggest", source, *BASE, "--text", "text", "--known", known, "--out", known)
    assert (ran.code, "No space left" in ran.err) == (2, True)
    assert known.read_text("utf-8") == "text,label\nit crashes,billing\n"
    assert sorted(each.name for each in tmp_path.iterdir()) == ["in.csv", "k.csv"]


def test_labels_that_agree_give_no_warning(rung: Run, source: Path, tmp_path: Path) -> None:
    """The same label from a column and from a file is not a contradiction."""
    known = written(tmp_path / "k.csv", "text,label\nodd one,bug report\n")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found, err = classified(rung, source, "--known", known, "--known", "mine")
    assert found["odd one"]["label"] == "bug report"
    assert "learned from 1 label" in err


TREE = "name,parent,description\nmoney,,\ncard,money,payment card lost\nloan,money,borrowing interest\ntravel,,\n"
TREE += "flight,travel,airport luggage\nhotel,travel,room night\n"


@pytest.fixture
def tree(tmp_path: Path) -> tuple[object, ...]:
    """Options for a tree of labels: two parents with two leaves each."""
    return ("--labels", written(tmp_path / "tree.csv", TREE), "--backbone", "builtin", "--text", "text")


@pytest.mark.parametrize(("confidence", "labels"), [("0", {"card", "loan"}), ("1", {"money"})])
def test_a_known_label_may_be_a_parent(
    confidence: str, labels: set[str], rung: Run, tree: tuple[object, ...], tmp_path: Path
) -> None:
    """The row is learned from; its answer is a label under the parent if one is probable enough, else the parent itself."""
    lines = [f"odd {i},money" for i in range(6)] + [f"a flight to Rome {i}," for i in range(6)]
    table = written(tmp_path / "in.csv", "\n".join(["text,mine", *lines]) + "\n")
    ran = rung("classify", table, *tree, "--known", "mine", "--confidence", confidence)
    assert ran.code == 0, ran.err
    assert "learned from 6 labels" in ran.err
    assert {row["label"] for row in rows(ran.out)[:6]} <= labels
    asked = rung("suggest", table, *tree, "--known", "mine", "-n", "9", "--out", tmp_path / "ask.csv")
    assert asked.code == 0, asked.err
    assert all("Rome" in row["text"] for row in rows((tmp_path / "ask.csv").read_text("utf-8")))


def test_a_parent_is_refused_where_only_leaves_count(rung: Run, tree: tuple[object, ...], tmp_path: Path) -> None:
    """--calibrate and distill need labels without children: two lines that name the row and the labels under the parent."""
    table = written(tmp_path / "in.csv", "text,mine\nmy card is lost,money\na room for a night,\n")
    out = tmp_path / "student"
    for ran in (
        rung("classify", table, *tree, "--calibrate", "mine"),
        rung("distill", table, *tree, "--known", "mine", "--out", out),
    ):
        assert (ran.code, ran.out) == (2, "")
        first, second = ran.err.splitlines()
        assert "in.csv, line 2: 'money' is a parent in the tree of labels" in first
        assert second == "  Give one of the labels under it: card, loan"
