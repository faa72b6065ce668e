"""What all trainings share: a start that cannot be is refused first, and what it left never blocks the next one."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")

import torch

from rung import Classifier, UserError, load
from rung.training.pretraining import pretrain as pretraining
from rung.training.pretraining.from_scratch import Size
from rung.training.pretraining.pretrain import pretrain
from rung.training.provenance import Record
from rung.training.settings.compare import compare
from rung.training.trainer_setup import disk_errors, prepare_folder
from rung.training.training_log import TrainingLog
from rung.training.tuning.multitask import multitask
from rung.training.tuning.tune import tune

pytestmark = pytest.mark.torch

TEXTS = [f"{who} asked for {what}." for who in ("the king", "a soldier", "my sister") for what in ("bread", "a horse")]
QUICK: dict[str, Any] = {"size": Size(320, 16, 1, 2), "max_tokens": 16, "epochs": 1}
SAID = ["my card is lost", "the app crashes"] * 10
NAMES = ["card", "app"] * 10


def trainings(encoder: Path) -> dict[str, Callable[..., Any]]:
    """Every training, as far as what is asked of it differs."""
    clf = Classifier(["card", "app"], backbone=load(str(encoder)), cache=False)
    return {
        "pretrain": lambda out, **how: pretrain(TEXTS, out=out, **QUICK, **how),
        "multitask": lambda out, **how: multitask(clf.loaded_backbone, {"a": (SAID, NAMES)}, out=out, **how),
        "tune": lambda out, **how: tune(clf, SAID, NAMES, out=out, guard=False, steps=2, **how),
        "compare": lambda out, **how: compare(clf, SAID, NAMES, {k: [v] for k, v in how.items()}, out=out),
    }


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine can")
@pytest.mark.parametrize("precision", ["bf16", "fp16"])
@pytest.mark.parametrize("name", ["pretrain", "multitask", "tune", "compare"])
def test_a_precision_that_the_machine_lacks_is_refused_first(
    name: str, precision: str, tiny_encoder: Path, tmp_path: Path
) -> None:
    """Two lines that name it, before any folder is made."""
    with pytest.raises(UserError, match=f"{name}: this machine cannot train in {precision}"):
        trainings(tiny_encoder)[name](tmp_path / "out", precision=precision)
    assert list(tmp_path.iterdir()) == []


def test_a_refused_start_does_not_block_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A start that broke off before its first checkpoint holds nothing to resume: other settings may take its folder."""

    def broken(*_: Any) -> None:
        raise UserError("the weights lack a head.", "Take others.")

    with monkeypatch.context() as patched:
        patched.setattr(pretraining, "_trainable_model", broken)
        with pytest.raises(UserError, match="lack a head"):
            pretrain(TEXTS, out=tmp_path / "out", **QUICK)
    assert Record.read(tmp_path / "out").settings["seed"] == 0
    pretrain(TEXTS, out=tmp_path / "out", seed=1, **QUICK)
    assert Record.read(tmp_path / "out").settings["seed"] == 1
    with pytest.raises(UserError, match="holds another training"):
        pretrain(TEXTS, out=tmp_path / "out", seed=2, **QUICK)


@pytest.mark.parametrize("left", ["checkpoints/checkpoint-3/trainer_state.json", "settings.jsonl", "notes.txt"])
def test_work_that_was_done_still_blocks_another(left: str, tmp_path: Path) -> None:
    """A whole checkpoint, settings that were measured, a file of the person's: none is taken away."""
    prepare_folder(tmp_path / "out", Record("pretrain", None, {}, {"seed": 0}))
    (tmp_path / "out" / left).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / "out" / left).write_text('{"global_step": 3}', "utf-8")
    with pytest.raises(UserError, match="differs in: seed"):
        prepare_folder(tmp_path / "out", Record("pretrain", None, {}, {"seed": 1}))
    assert (tmp_path / "out" / left).is_file()


def test_a_refused_tuning_does_not_block_the_next(tiny_encoder: Path, tmp_path: Path) -> None:
    """The folder of checkpoints beside OUT is taken over as long as it holds none."""
    run = trainings(tiny_encoder)["tune"]
    with pytest.raises(UserError, match="loss is nan"):
        run(tmp_path / "out", learning_rate=0.99, weight_decay=0.99, way="full", seed=1, batch=2, progress=_poisoned())
    assert (tmp_path / ".out.tuning").is_dir()
    assert run(tmp_path / "out").rung_ == "tuned"


def _poisoned() -> Callable[..., None]:
    def tell(*_: Any) -> None:
        raise UserError("training: the loss is nan at step 1.", "Lower the learning rate.")

    return tell


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS, errno.EACCES])
@pytest.mark.parametrize("name", ["pretrain", "multitask", "tune", "compare"])
def test_a_disk_that_refuses_is_told_in_two_lines(
    name: str, code: int, tiny_encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder that cannot be made is the person's to mend: its name and the system's reason."""

    def refused(self: Path, *_: Any, **__: Any) -> None:
        raise OSError(code, os.strerror(code), str(self))

    run = trainings(tiny_encoder)[name]
    monkeypatch.setattr(Path, "mkdir", refused)
    with pytest.raises(UserError, match=rf"{name}: .*out.*: {os.strerror(code)}\.\n  Free some space"):
        run(tmp_path / "out")


def test_a_full_disk_while_the_log_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half way through, too."""

    def refused(self: TrainingLog, *_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.folder / "log.jsonl"))

    monkeypatch.setattr(TrainingLog, "write", refused)
    with pytest.raises(UserError, match=r"log\.jsonl: No space left on device"):
        pretrain(TEXTS, out=tmp_path / "out", **QUICK)


def test_other_errors_stay_what_they_are() -> None:
    """What no person can mend is a fault of ours, with its traceback; what a library says of a full disk is told."""
    with pytest.raises(FileNotFoundError), disk_errors("tune"):
        Path("nowhere/at/all").read_text("utf-8")
    with pytest.raises(RuntimeError, match="no reason"), disk_errors("tune"):
        raise RuntimeError("no reason")
    with (
        pytest.raises(UserError, match="tune: a file could not be written: No space left on device"),
        disk_errors("tune"),
    ):
        raise RuntimeError("I/O error: No space left on device (os error 28)")
