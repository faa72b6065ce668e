"""Set up transformers' Trainer: settings, a folder from which a killed training resumes, and a callback that writes the log."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, get_args

from rung.errors import UserError, did_you_mean
from rung.messages import tr
from rung.training.provenance import RECORD_FILE, Record
from rung.training.training_log import LOG_FILE, TrainingLog

Precision = Literal["float32", "bf16", "fp16"]
CHECKPOINTS = "checkpoints"
# What the system says where a disk is full, or a folder may not be written.
_DISK = tuple(getattr(errno, name) for name in ("ENOSPC", "EDQUOT", "EROFS", "EACCES", "EPERM") if hasattr(errno, name))


@dataclass(frozen=True)
class Settings:
    """Settings of the optimization.

    epochs         how often each text is used
    batch          texts of one forward pass on one device
    accumulate     forward passes before each update of the weights
    learning_rate  the peak: warmup over the first tenth of the steps, then linear decay to 0; None: the default of the function
    weight_decay   of AdamW
    precision      float32, or mixed precision with bf16 or fp16
    checkpointing  recompute activations instead of keeping them: less memory, a third more time
    save_every     steps between checkpoints; one more is written after each epoch
    seed           of initial weights, order, masks and dropout
    """

    epochs: int = 5
    batch: int = 16
    accumulate: int = 1
    learning_rate: float | None = None
    weight_decay: float = 0.01
    precision: Precision = "float32"
    checkpointing: bool = False
    save_every: int = 500
    seed: int = 0

    @classmethod
    def of(cls, values: Mapping[str, Any], command: str) -> Settings:
        """The settings given by name. Raises UserError for an unknown name and for an invalid value."""
        for name in values:
            if name not in cls.__dataclass_fields__:
                others = tr("The settings are {known}.", known=", ".join(cls.__dataclass_fields__))
                hint = did_you_mean(name, cls.__dataclass_fields__, others)
                raise UserError("{command}: there is no setting {name!r}.", hint, command=command, name=name)
        settings = cls(**values)
        settings._check(command)
        return settings

    def _check(self, command: str) -> None:
        for name in ("epochs", "batch", "accumulate", "save_every"):
            value = getattr(self, name)
            if value != int(value) or value < 1:
                raise UserError(
                    "{command}: {name} is {value}.",
                    "Give a whole number, 1 or more.",
                    command=command,
                    name=name,
                    value=value,
                )
        if self.learning_rate is not None and not 0 < self.learning_rate < 1:
            raise UserError(
                "{command}: learning_rate is {learning_rate}.",
                "Give a small number above 0, such as 1e-3.",
                command=command,
                learning_rate=self.learning_rate,
            )
        if not 0 <= self.weight_decay < 1:
            raise UserError(
                "{command}: weight_decay is {weight_decay}.",
                "Give 0 or a small number, such as 0.01.",
                command=command,
                weight_decay=self.weight_decay,
            )
        if self.precision not in get_args(Precision):
            raise UserError(
                "{command}: there is no precision {precision!r}.",
                "Choose one of {choices}.",
                command=command,
                precision=self.precision,
                choices=", ".join(get_args(Precision)),
            )


def require_packages(command: str, modules: tuple[str, ...] = ("torch", "transformers", "accelerate")) -> None:
    """Raise UserError unless all packages that a training needs are installed."""
    missing = [each for each in modules if find_spec(each) is None]
    if missing:
        raise UserError(
            "{command} needs packages that are not installed: {missing}.",
            "pip install 'rung[train]'",
            command=command,
            missing=", ".join(missing),
        )


def check_precision(precision: str, what: str) -> None:
    """Raise UserError where this machine cannot train in `precision`: mixed precision needs a device that computes in it."""
    if precision not in ("bf16", "fp16"):
        return
    import torch
    from transformers.utils import is_torch_bf16_gpu_available

    here = torch.cuda.is_available() or torch.xpu.is_available() or torch.backends.mps.is_available()
    if not (is_torch_bf16_gpu_available() if precision == "bf16" else here):
        raise UserError(
            "{command}: this machine cannot train in {precision}: it has no GPU that computes in it.",
            "Leave precision out, which means float32.",
            command=what,
            precision=precision,
        )


@contextmanager
def disk_errors(what: str, *, resumes: bool = True) -> Iterator[None]:
    """UserError in place of what the system says of a disk that is full or may not be written; also a decorator.

    resumes: whether the same command, typed again, resumes at a checkpoint.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in _DISK:
            raise
        raise _refused(what, error.filename, error.strerror or str(error), resumes) from error
    except (
        Exception
    ) as error:  # safetensors and PyTorch have errors of their own, which tell the system's only in their text
        told = map(os.strerror, (errno.ENOSPC, errno.EROFS))
        reason = next((each for each in told if each in str(error)), None)
        if reason is None or isinstance(error, UserError):
            raise
        raise _refused(what, None, reason, resumes) from error


def _refused(what: str, file: Any, reason: str, resumes: bool) -> UserError:
    return UserError(
        "{command}: a file could not be written: {reason}." if file is None else "{command}: {file}: {reason}.",
        "Free some space, or name a folder that can be written; the same command resumes at the last checkpoint."
        if resumes
        else "Free some space, or name a folder that can be written, and type the same command again.",
        command=what,
        file=file,
        reason=reason,
    )


def is_main_process() -> bool:
    """Whether this process writes files: the first one under `accelerate launch` or torchrun, else the only one."""
    return os.environ.get("RANK", "0") == "0"


def prepare_folder(out: Path, record: Record) -> str | None:
    """Prepare the folder `out` for the training that `record` describes. Returns the checkpoint to resume from, or None.

    Raises UserError if `out` holds other files, another training, or this training and it is finished.
    """
    if is_main_process():
        _check_folder(out, record)
        out.mkdir(parents=True, exist_ok=True)
        record.write(out)
    return last_checkpoint(out)


def _check_folder(out: Path, record: Record) -> None:
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    if not (out / RECORD_FILE).is_file():
        raise UserError(
            "{command}: {out} is there already and holds other files.", "Name a new folder.", command=record.by, out=out
        )
    if is_unused(out):  # an earlier start was refused or stopped before there was anything to keep
        clear(out)
        return
    found = Record.read(out)
    if found.key != record.key:
        raise UserError(
            "{command}: {out} holds another training, which differs in: {differences}.",
            "Name a new folder; or give the same command again to resume the training in this folder.",
            command=record.by,
            out=out,
            differences=", ".join(_differences(found, record)),
        )
    if found.results:
        raise UserError(
            "{command}: {out} holds this model already, finished.",
            "Name a new folder, or use the model in this one.",
            command=record.by,
            out=out,
        )


def is_unused(out: Path) -> bool:
    """Whether a start left nothing in `out` that a later one could go on with: its record and log, and no whole checkpoint."""
    others = {each.name for each in out.iterdir()} - {RECORD_FILE, LOG_FILE, CHECKPOINTS}
    if others or any((out / CHECKPOINTS).rglob("trainer_state.json")):
        return False
    try:
        return not Record.read(out).results
    except UserError:  # broken off while it was written
        return True


def clear(out: Path) -> None:
    """Take away what `is_unused` found."""
    for name in (RECORD_FILE, LOG_FILE):
        (out / name).unlink(missing_ok=True)
    remove_checkpoints(out)


def _differences(a: Record, b: Record) -> list[str]:
    """The names of the inputs and settings in which two trainings differ."""
    parts = {"command": (a.by, b.by), "start": (a.parent, b.parent)}
    parts |= {name: (a.inputs.get(name), b.inputs.get(name)) for name in {**a.inputs, **b.inputs}}
    parts |= {name: (a.settings.get(name), b.settings.get(name)) for name in {**a.settings, **b.settings}}
    return [name for name, (one, other) in parts.items() if _as_json(one) != _as_json(other)]


def _as_json(value: Any) -> Any:
    return json.loads(json.dumps(value, default=str))


def last_checkpoint(out: Path) -> str | None:
    """The last complete checkpoint. The Trainer writes the state last, so a checkpoint with a readable state is complete."""
    found = []
    for state in (out / CHECKPOINTS).glob("checkpoint-*/trainer_state.json"):
        try:
            found.append((json.loads(state.read_text("utf-8"))["global_step"], str(state.parent)))
        except (ValueError, KeyError):
            continue
    return max(found)[1] if found else None


def wait_for_everyone() -> None:
    """Wait for all processes, so that the others can read what the first one wrote."""
    from accelerate import PartialState

    PartialState().wait_for_everyone()


def remove_checkpoints(out: Path) -> None:
    """Remove the checkpoints of a finished training."""
    shutil.rmtree(out / CHECKPOINTS, ignore_errors=True)


def training_arguments(out: Path, settings: Settings, learning_rate: float, rows: int, **more: Any) -> Any:
    """transformers' TrainingArguments for `rows` texts an epoch. `learning_rate` holds if the settings give none."""
    import torch
    from transformers import TrainingArguments

    made = TrainingArguments(
        output_dir=str(out / CHECKPOINTS),
        num_train_epochs=settings.epochs,
        per_device_train_batch_size=settings.batch,
        per_device_eval_batch_size=settings.batch,
        gradient_accumulation_steps=settings.accumulate,
        learning_rate=settings.learning_rate or learning_rate,
        weight_decay=settings.weight_decay,
        warmup_steps=0.1,
        bf16=settings.precision == "bf16",
        fp16=settings.precision == "fp16",
        seed=settings.seed,
        save_strategy="epoch",  # after the evaluation; `logging_callback` asks for the checkpoints within an epoch
        save_steps=settings.save_every,
        save_total_limit=2,  # the last one may be incomplete after a kill
        logging_nan_inf_filter=False,  # a loss of NaN must show, not be averaged away
        remove_unused_columns=False,
        dataloader_pin_memory=torch.cuda.is_available(),
        report_to=[],
        disable_tqdm=True,
        **more,
    )
    rows_per_step = made.train_batch_size * made.world_size * settings.accumulate
    made.logging_steps = max(1, -(-rows // rows_per_step) // 10)  # ten lines an epoch
    return made


def logging_callback(log: TrainingLog, dataset: Any) -> Any:
    """A callback of the Trainer that writes each event into the log, and sets the current epoch of the data set."""
    from transformers import TrainerCallback

    class LoggingCallback(TrainerCallback):  # type: ignore[misc]
        loss: float | None = None

        def on_epoch_begin(self, args: Any, state: Any, _: Any, **__: Any) -> None:
            steps = _steps_per_epoch(args, state)
            dataset.epoch = round((state.epoch or 0) * steps) // steps  # state.epoch is a rounded float

        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            if state.global_step % args.save_steps == 0 and state.global_step % _steps_per_epoch(args, state):
                control.should_save = True
            if is_main_process():
                log.report_progress(state.global_step, state.max_steps, self.loss)

        def on_log(self, _: Any, state: Any, __: Any, logs: dict[str, Any] | None = None, **___: Any) -> None:
            metrics = {name: float(value) for name, value in (logs or {}).items() if name != "total_flos"}
            held_out = {
                name.removeprefix("eval_"): value for name, value in metrics.items() if name.startswith("eval_")
            }
            self.loss = metrics.get("loss", self.loss)
            if held_out:
                kept = {
                    _HELD_OUT_NAMES.get(name, name): value for name, value in held_out.items() if name not in _TIMINGS
                }
                _write_event(log, "held out", state, metrics.get("epoch", 0.0), kept)
            elif "loss" in metrics:
                kept = {name: metrics[name] for name in ("loss", "learning_rate")}
                _write_event(log, "train", state, metrics["epoch"], kept)

    return LoggingCallback()


def _steps_per_epoch(args: Any, state: Any) -> int:
    return max(1, round(float(state.max_steps) / float(args.num_train_epochs)))


_HELD_OUT_NAMES = {"loss": "held_out_loss"}
_TIMINGS = {"runtime", "samples_per_second", "steps_per_second", "model_preparation_time"}


def _write_event(log: TrainingLog, event: str, state: Any, epoch: float, numbers: Mapping[str, float]) -> None:
    if is_main_process():
        log.write(event, step=state.global_step, epoch=round(epoch, 3), **numbers)
