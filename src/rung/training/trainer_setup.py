"""What trainings by transformers' Trainer share: settings, a folder that is gone on with after a kill, events in a journal."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, get_args

from rung.errors import UserError, nearest
from rung.messages import tr
from rung.training.provenance import FILE, Record
from rung.training.training_log import Journal

Precision = Literal["float32", "bf16", "fp16"]
CHECKPOINTS = "checkpoints"


@dataclass(frozen=True)
class Settings:
    """How weights are moved.

    epochs         times that the texts are gone through
    batch          rows of one forward pass on one device; accumulate: passes before the weights move
    learning_rate  the largest; it rises over the first tenth of the steps and falls to 0; None: the entry's own
    weight_decay   of AdamW
    precision      float32, or bf16 or fp16 mixed with it
    checkpointing  compute activations again rather than keep them: less memory, a third more time
    save_every     steps between checkpoints; there is one after each epoch too
    seed           of first weights, order, masks, dropout
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
    def of(cls, given: Mapping[str, Any], what: str) -> Settings:
        """The settings given by name. Raises UserError for a name that is none, and for a value that cannot be."""
        for name in given:
            if name not in cls.__dataclass_fields__:
                meant = nearest(name, cls.__dataclass_fields__)
                known = ", ".join(cls.__dataclass_fields__)
                raise UserError(
                    "{value}: there is no setting {name!r}.",
                    tr("Did you mean {meant}?", meant=meant) if meant else tr("The settings are {known}.", known=known),
                    value=what,
                    name=name,
                )
        settings = cls(**given)
        settings._check(what)
        return settings

    def _check(self, what: str) -> None:
        for name in ("epochs", "batch", "accumulate", "save_every"):
            value = getattr(self, name)
            if value != int(value) or value < 1:
                raise UserError(
                    "{value}: {name} {value_2}.",
                    "Give a whole number, 1 or more.",
                    value=what,
                    name=name,
                    value_2=value,
                )
        if self.learning_rate is not None and not 0 < self.learning_rate < 1:
            raise UserError(
                "{value}: learning_rate {learning_rate}.",
                "Give a small number above 0, such as 1e-3.",
                value=what,
                learning_rate=self.learning_rate,
            )
        if not 0 <= self.weight_decay < 1:
            raise UserError(
                "{value}: weight_decay {weight_decay}.",
                "Give 0 or a small number, such as 0.01.",
                value=what,
                weight_decay=self.weight_decay,
            )
        if self.precision not in get_args(Precision):
            raise UserError(
                "{value}: precision {precision!r}.",
                "Choose one of {Precision}.",
                value=what,
                precision=self.precision,
                Precision=", ".join(get_args(Precision)),
            )


def require(what: str, modules: tuple[str, ...] = ("torch", "transformers", "accelerate")) -> None:
    """Raise UserError unless all that training needs is installed."""
    missing = [each for each in modules if find_spec(each) is None]
    if missing:
        raise UserError(
            "{value} needs {missing}, which is not installed."
            if len(missing) == 1
            else "{value} needs {missing}, which are not installed.",
            "pip install 'rung[train]'",
            value=what,
            missing=", ".join(missing),
        )


def leads() -> bool:
    """Whether this process writes: under `accelerate launch` or torchrun the first of all, else the only one."""
    return os.environ.get("RANK", "0") == "0"


def begin(out: Path, record: Record) -> str | None:
    """Make `out` ready for the work that `record` names; the checkpoint to go on from, None where there is none.

    Raises UserError if `out` holds something else, other work, or this work, done.
    """
    if leads():
        _check_folder(out, record)
        out.mkdir(parents=True, exist_ok=True)
        record.write(out)
    return last_checkpoint(out)


def _check_folder(out: Path, record: Record) -> None:
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    if not (out / FILE).is_file():
        raise UserError(
            "{by}: {out} is there already and holds other files.", "Name a new folder.", by=record.by, out=out
        )
    found = Record.read(out)
    if found.key != record.key:
        other = ", ".join(_differences(found, record))
        raise UserError(
            "{by}: {out} holds other work (another {other}).",
            "Name a new folder; or give the same command again to go on with what is there.",
            by=record.by,
            out=out,
            other=other,
        )
    if found.results:
        raise UserError(
            "{by}: {out} holds this very model, done.", "Name a new folder, or use it as it is.", by=record.by, out=out
        )


def _differences(a: Record, b: Record) -> list[str]:
    """What two works differ in, in words."""
    parts = {"entry": (a.by, b.by), "model to start from": (a.parent, b.parent)}
    parts |= {name: (a.inputs.get(name), b.inputs.get(name)) for name in {**a.inputs, **b.inputs}}
    parts |= {name: (a.settings.get(name), b.settings.get(name)) for name in {**a.settings, **b.settings}}
    return [name for name, (one, other) in parts.items() if _plain(one) != _plain(other)]


def _plain(value: Any) -> Any:
    return json.loads(json.dumps(value, default=str))


def last_checkpoint(out: Path) -> str | None:
    """The last checkpoint that was written whole: its state is what the Trainer writes last."""
    found = []
    for state in (out / CHECKPOINTS).glob("checkpoint-*/trainer_state.json"):
        try:
            found.append((json.loads(state.read_text("utf-8"))["global_step"], str(state.parent)))
        except (ValueError, KeyError):
            continue
    return max(found)[1] if found else None


def wait() -> None:
    """Until all processes are here: what the first one wrote can be read by the others."""
    from accelerate import PartialState

    PartialState().wait_for_everyone()


def finish(out: Path) -> None:
    """Take away the checkpoints of a work that is done."""
    shutil.rmtree(out / CHECKPOINTS, ignore_errors=True)


def arguments(out: Path, settings: Settings, learning_rate: float, rows: int, **more: Any) -> Any:
    """transformers' TrainingArguments, for texts of so many `rows`; `learning_rate` where the settings name none."""
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
        save_strategy="epoch",  # after the epoch was measured; those between are asked for by `telling`
        save_steps=settings.save_every,
        save_total_limit=2,  # should a kill break off the last one
        logging_nan_inf_filter=False,  # a loss that is no number must be seen, not averaged away
        remove_unused_columns=False,
        dataloader_pin_memory=torch.cuda.is_available(),
        report_to=[],
        disable_tqdm=True,
        **more,
    )
    at_once = made.train_batch_size * made.world_size * settings.accumulate
    made.logging_steps = max(1, -(-rows // at_once) // 10)  # ten lines an epoch
    return made


def telling(journal: Journal, dataset: Any) -> Any:
    """A callback of the Trainer that writes what happens into the journal, and tells the rows which epoch it is."""
    from transformers import TrainerCallback

    class Telling(TrainerCallback):  # type: ignore[misc]
        loss: float | None = None

        def on_epoch_begin(self, args: Any, state: Any, _: Any, **__: Any) -> None:
            steps = _of_epoch(args, state)
            dataset.epoch = round((state.epoch or 0) * steps) // steps  # a whole number again, whatever was rounded

        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            if state.global_step % args.save_steps == 0 and state.global_step % _of_epoch(args, state):
                control.should_save = True
            if leads():
                journal.at(state.global_step, state.max_steps, self.loss)

        def on_log(self, _: Any, state: Any, __: Any, logs: dict[str, Any] | None = None, **___: Any) -> None:
            said = {name: float(value) for name, value in (logs or {}).items() if name != "total_flos"}
            held = {name.removeprefix("eval_"): value for name, value in said.items() if name.startswith("eval_")}
            self.loss = said.get("loss", self.loss)
            if held:
                kept = {_HELD.get(name, name): value for name, value in held.items() if name not in _CLOCKS}
                _write(journal, "held out", state, said.get("epoch", 0.0), kept)
            elif "loss" in said:
                kept = {name: said[name] for name in ("loss", "learning_rate")}
                _write(journal, "train", state, said["epoch"], kept)

    return Telling()


def _of_epoch(args: Any, state: Any) -> int:
    """Steps of an epoch."""
    return max(1, round(float(state.max_steps) / float(args.num_train_epochs)))


_HELD = {"loss": "held_out_loss"}
_CLOCKS = {"runtime", "samples_per_second", "steps_per_second", "model_preparation_time"}


def _write(journal: Journal, event: str, state: Any, epoch: float, numbers: Mapping[str, float]) -> None:
    if leads():
        journal.write(event, step=state.global_step, epoch=round(epoch, 3), **numbers)
