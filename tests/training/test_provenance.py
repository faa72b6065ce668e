"""What is kept of a training: its record, its log, its curves."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rung import UserError
from rung.training.provenance import Record, of_rows
from rung.training.training_log import Journal, read


def made(**settings: object) -> Record:
    return Record("tune", {"name": "minilm", "fingerprint": "f"}, {"texts": of_rows(["a", None])}, dict(settings))


def test_a_record_is_read_back_as_it_was(tmp_path: Path) -> None:
    record = made(seed=0)
    record.write(tmp_path)
    assert Record.read(tmp_path) == record
    (tmp_path / "record.json").write_text("{", "utf-8")
    with pytest.raises(UserError, match="no record"):
        Record.read(tmp_path)


def test_the_key_names_the_work_and_not_what_came_of_it() -> None:
    """Results and versions may differ; settings and inputs may not."""
    done = made(seed=0)
    done.results["accuracy"] = 1.0
    assert done.key == made(seed=0).key != made(seed=1).key


def test_rows_are_told_apart() -> None:
    """Where one text ends and the next begins is part of the hash, and nothing is not an empty text."""
    assert (
        len({of_rows(rows)["sha256"] for rows in (["ab", "c"], ["a", "bc"], ["abc"], ["", "abc"], [None, "abc"])}) == 5
    )


def test_the_log_survives_a_kill(tmp_path: Path) -> None:
    """A broken last line is left out, and what was done again after a kill counts once."""
    Journal(tmp_path).write("train", step=1, loss=2.0)
    Journal(tmp_path).write("train", step=2, loss=1.5)
    Journal(tmp_path).write("train", step=2, loss=1.0)
    with (tmp_path / "log.jsonl").open("a") as file:
        file.write('{"event": "tra')
    assert [(line["step"], line["loss"]) for line in read(tmp_path)] == [(1, 2.0), (2, 1.0)]


def test_a_loss_that_is_no_number_ends_the_work(tmp_path: Path) -> None:
    """Two lines: at which step, and what to do; the log keeps the fact."""
    with pytest.raises(UserError, match="step 3"):
        Journal(tmp_path).write("train", step=3, loss=float("nan"))
    assert json.loads((tmp_path / "log.jsonl").read_text())["step"] == 3


def test_curves_are_the_same_for_the_same_numbers(tmp_path: Path) -> None:
    """An SVG with a panel for losses, one for what was measured, one for the learning rate."""
    pytest.importorskip("matplotlib")
    journal = Journal(tmp_path)
    assert journal.draw() is None
    for step in range(1, 4):
        journal.write("train", step=step, loss=1.0 / step, learning_rate=1e-3)
        journal.write("held out", step=step, accuracy=0.5 + step / 10, task="trec")
    file = journal.draw()
    assert file is not None
    first = file.read_bytes()
    assert b"learning rate" in first
    assert b"trec: accuracy" in first
    journal.draw()
    assert file.read_bytes() == first
