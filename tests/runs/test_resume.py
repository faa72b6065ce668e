"""A stopped run resumes at its row, and answers to changed inputs are never mixed."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from rung import Classifier, UserError
from rung.decide.answer import Answer
from rung.runs import resume
from rung.runs.resume import Run, file_hash, value_hash

FACTS = {"the input": "a", "the labels": "b"}
ANSWERS = [
    Answer("billing", 0.25, "pool", "rung pool, 2 labels"),
    Answer(None, None, "pool", "none", "the text is empty"),
    Answer(("billing", "überweisung"), 0.5, "pool", "rung pool, 2 labels"),
]


def ended(out: Path | None, error: type[BaseException], *, chunks: int, classifier: Classifier | None = None) -> None:
    """A run of some chunks that an error ends."""
    with Run(out, FACTS, 9) as run:
        if classifier is not None:
            run.save_classifier(classifier)
        for _ in range(chunks):
            run.append(ANSWERS)
        raise error


def stopped(out: Path, *, chunks: int = 2) -> None:
    """The same, and the error is seen."""
    with pytest.raises(RuntimeError):
        ended(out, RuntimeError, chunks=chunks)


def test_answers_come_back_as_they_were(tmp_path: Path) -> None:
    """One label, several labels, no label, exact probabilities and reasons are restored unchanged."""
    stopped(tmp_path / "o.csv")
    with Run(tmp_path / "o.csv", FACTS, 9) as run:
        assert run.resumed == 6
        assert list(run.answers()) == [ANSWERS, ANSWERS]
        run.append(ANSWERS)
    assert list(tmp_path.iterdir()) == []  # in good order: nothing is left


def test_a_chunk_that_was_being_written_is_left_out(tmp_path: Path) -> None:
    """After half a line, or zeros that a file system left, the complete lines before it count, and new ones follow them."""
    out = tmp_path / "o.csv"
    log = tmp_path / ".o.csv.rung-run" / "answers.jsonl"
    for broken in (b'{"label": ["bil', b"\x00" * 100 + b"\n", b'{"label": [1]}\n'):
        stopped(out, chunks=1)
        with log.open("ab") as file:
            file.write(broken)
        stopped(out, chunks=1)
        with Run(out, FACTS, 9) as run:
            assert list(run.answers()) == [ANSWERS, ANSWERS]


def test_other_facts_begin_anew_and_are_named(tmp_path: Path) -> None:
    """Answers for another input or other labels are never reused, and the changed fact is named."""
    stopped(tmp_path / "o.csv")
    with Run(tmp_path / "o.csv", FACTS | {"the input": "other"}, 9) as run:
        assert (run.resumed, run.changed, list(run.answers())) == (0, ["the input"], [])


def test_two_runs_never_write_one_output(tmp_path: Path) -> None:
    """A second run with the same output is refused while the first one runs."""
    pytest.importorskip("fcntl")
    with Run(tmp_path / "o.csv", FACTS, 9), pytest.raises(UserError, match=r"another run is writing o\.csv"):
        Run(tmp_path / "o.csv", FACTS, 9).__enter__()


def test_ctrl_c_says_how_to_resume(tmp_path: Path) -> None:
    """After some rows: at which it stopped, and that the same command resumes. Before any: nothing is left."""
    with pytest.raises(KeyboardInterrupt, match=r"^stopped after row 3 of 9\.\n  The same command resumes there\.$"):
        ended(tmp_path / "o.csv", KeyboardInterrupt, chunks=1)
    with pytest.raises(KeyboardInterrupt, match="stopped after row 6 of 9"):
        ended(tmp_path / "o.csv", KeyboardInterrupt, chunks=1)
    with pytest.raises(KeyboardInterrupt, match=r"^$"):
        ended(tmp_path / "other.csv", KeyboardInterrupt, chunks=0)
    assert [path.name for path in tmp_path.iterdir()] == [".o.csv.rung-run"]


def test_ctrl_c_where_nothing_is_kept_says_so() -> None:
    """Rows that went to standard output cannot be resumed; what can be is named."""
    with pytest.raises(KeyboardInterrupt, match=r"row 3 of 9; .* standard output.*\n.*cannot be resumed.*--out FILE"):
        ended(None, KeyboardInterrupt, chunks=1)


def test_a_fit_is_kept_before_the_first_row(tmp_path: Path) -> None:
    """Stopped after a long fit and before an answer: the fitted classifier stays, and it is said."""
    clf = Classifier(["billing", "bug report"], backbone="builtin")
    with pytest.raises(KeyboardInterrupt, match="before the first of 9 rows; what was fitted is kept"):
        ended(tmp_path / "o.csv", KeyboardInterrupt, chunks=0, classifier=clf)
    with Run(tmp_path / "o.csv", FACTS, 9) as run:
        assert run.classifier is not None


def test_a_full_disk_under_the_run_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No room for the folder's own files, for the fitted classifier, for answers: two lines each, and no half of a folder."""
    full = OSError(errno.ENOSPC, "No space left on device")
    out = tmp_path / "o.csv"

    def fail(*_: object, **__: object) -> None:
        raise full

    with monkeypatch.context() as patched:
        patched.setattr(resume, "_write", fail)
        with pytest.raises(UserError, match=r"cannot be written: No space left on device.\n  Make room"):
            Run(out, FACTS, 9).__enter__()
    with monkeypatch.context() as patched:
        patched.setattr("safetensors.numpy.save_file", fail)
        with pytest.raises(UserError, match="No space left on device"):
            ended(out, RuntimeError, chunks=0, classifier=Classifier(["billing", "bug report"], backbone="builtin"))
    assert list(tmp_path.iterdir()) == []
    with monkeypatch.context() as patched:
        patched.setattr(resume, "_line", fail)
        with pytest.raises(UserError, match=r"No space left on device.\n  Make room there; the same command"):
            ended(out, RuntimeError, chunks=1)


@pytest.mark.parametrize(
    "out", [None, Path("-"), Path("missing/o.csv"), Path("a" * 250 + ".csv"), Path("a" * 300 + ".csv")]
)
def test_without_a_place_nothing_is_kept(out: Path | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Standard output, a folder that does not exist and a name that is too long have no run that could resume."""
    monkeypatch.chdir(tmp_path)
    with Run(out, FACTS, 9) as run:
        run.append(ANSWERS)
        assert (run.part, run.classifier, list(run.answers())) == (None, None, [])
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_cannot_be_hashed_is_named(tmp_path: Path) -> None:
    """A file that vanished since it was read gets its two lines."""
    with pytest.raises(UserError, match="there is no such file"):
        file_hash(tmp_path / "gone.csv")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_never_equals_the_one_before(tmp_path: Path) -> None:
    """A pipe can be read only once: its hash does not wait for a writer, and a run that read one does not resume."""
    os.mkfifo(tmp_path / "pipe")
    assert file_hash(tmp_path / "pipe") != file_hash(tmp_path / "pipe")


def test_facts_tell_files_and_values_apart(tmp_path: Path) -> None:
    """Different files and values have different hashes; the order of keys does not matter."""
    (tmp_path / "a").write_text("1")
    (tmp_path / "b").write_text("2")
    assert file_hash(tmp_path / "a") != file_hash(tmp_path / "b")
    assert value_hash({"a": 1, "b": None}) == value_hash({"b": None, "a": 1}) != value_hash({"a": 1})


SMALL_CHUNKS = """
import sys
from rung.cli import main
sys.modules["rung.cli.answering"]._CHUNK_ROWS = 256
"""
DYING = """
import os, signal
from rung.runs.resume import Run
append, left = Run.append, int(sys.argv.pop(1))
def append_then_die(self, answers):
    global left
    append(self, answers)
    left -= 1
    if not left:
        os.kill(os.getpid(), signal.SIGKILL)
Run.append = append_then_die
main()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="kill -9")
@pytest.mark.parametrize(
    ("name", "options"), [("o.csv", []), ("o.csv.gz", ["--no-pool"]), ("o.parquet", ["--reject", "0.1"])]
)
def test_a_killed_run_ends_in_the_same_bytes(name: str, options: list[str], tmp_path: Path) -> None:
    """kill -9 twice in the middle, then the same command: the output is that of an unbroken run."""
    table = tmp_path / "in.csv"
    rows = [
        f"{i:05},the {('invoice', 'app', 'price')[i % 3]} number {i * 7 % 1000} is wrong again" for i in range(1_100)
    ]
    table.write_text("id,text\n" + "\n".join([*rows, "x,"]) + "\n", "utf-8")
    (tmp_path / "whole").mkdir()
    command = ["classify", str(table), "--labels", "billing,bug report,praise", "--backbone", "builtin", *options]
    whole, out = tmp_path / "whole" / name, tmp_path / name
    run = [sys.executable, "-c", f"{SMALL_CHUNKS}main()", *command, "--out"]
    assert subprocess.run([*run, str(whole)], capture_output=True).returncode == 0
    for chunks in ("1", "2"):
        died = subprocess.run(
            [sys.executable, "-c", SMALL_CHUNKS + DYING, chunks, *command, "--out", str(out)],
            capture_output=True,
            text=True,
        )
        assert died.returncode == -9, died.stderr
        assert not out.exists()
    ran = subprocess.run([*run, str(out)], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    assert "resuming after row 768" in ran.stderr
    assert out.read_bytes() == whole.read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(["in.csv", "whole", name])
