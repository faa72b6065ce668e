"""The files of a training: its record, its log and its curves."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rung import UserError
from rung.training.provenance import Record, rows_digest
from rung.training.training_log import TrainingLog, read


def made(**settings: object) -> Record:
    return Record("tune", {"name": "minilm", "fingerprint": "f"}, {"texts": rows_digest(["a", None])}, dict(settings))


def test_a_record_is_read_back_as_it_was(tmp_path: Path) -> None:
    """Writing and reading give an equal record; a broken file raises UserError."""
    record = made(seed=0)
    record.write(tmp_path)
    assert Record.read(tmp_path) == record
    (tmp_path / "record.json").write_text("{", "utf-8")
    with pytest.raises(UserError, match="no record"):
        Record.read(tmp_path)


def test_the_key_depends_on_settings_and_not_on_results() -> None:
    """Records with different results have the same key; records with different settings have not."""
    done = made(seed=0)
    done.results["accuracy"] = 1.0
    assert done.key == made(seed=0).key != made(seed=1).key


def test_the_digest_depends_on_the_boundaries_of_rows() -> None:
    """The boundary between two texts is part of the hash, and a missing text differs from an empty one."""
    assert (
        len({rows_digest(rows)["sha256"] for rows in (["ab", "c"], ["a", "bc"], ["abc"], ["", "abc"], [None, "abc"])})
        == 5
    )


def test_the_log_survives_a_kill(tmp_path: Path) -> None:
    """An incomplete last line is ignored, and a step that was repeated after a kill counts once."""
    TrainingLog(tmp_path).write("train", step=1, loss=2.0)
    TrainingLog(tmp_path).write("train", step=2, loss=1.5)
    TrainingLog(tmp_path).write("train", step=2, loss=1.0)
    with (tmp_path / "log.jsonl").open("a") as file:
        file.write('{"event": "tra')
    assert [(line["step"], line["loss"]) for line in read(tmp_path)] == [(1, 2.0), (2, 1.0)]


def test_a_loss_of_nan_is_an_error(tmp_path: Path) -> None:
    """The error says at which step and what to do; the log keeps the line."""
    with pytest.raises(UserError, match="step 3"):
        TrainingLog(tmp_path).write("train", step=3, loss=float("nan"))
    assert json.loads((tmp_path / "log.jsonl").read_text())["step"] == 3


def test_curves_are_the_same_for_the_same_numbers(tmp_path: Path) -> None:
    """Drawing twice gives the same SVG, with panels for losses, for metrics and for the learning rate."""
    pytest.importorskip("matplotlib")
    log = TrainingLog(tmp_path)
    assert log.draw() is None
    for step in range(1, 4):
        log.write("train", step=step, loss=1.0 / step, learning_rate=1e-3)
        log.write("held out", step=step, accuracy=0.5 + step / 10, task="trec")
    file = log.draw()
    assert file is not None
    first = file.read_bytes()
    assert b"learning rate" in first
    assert b"trec: accuracy" in first
    log.draw()
    assert file.read_bytes() == first
