"""Several tasks over one shared encoder, a head each: what they share helps them, or harms, and the report says which."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from rung.backbones.common.pretrained import quiet
from rung.backbones.encoder import EncoderBackbone
from rung.backbones.loading import open_folder
from rung.errors import UserError
from rung.training import memory_estimate
from rung.training.layer_pruning import read_encoder, write_encoder
from rung.training.provenance import FILE, Record, of_rows, parent_of
from rung.training.trainer_setup import (
    CHECKPOINTS,
    Settings,
    arguments,
    begin,
    finish,
    last_checkpoint,
    leads,
    require,
    wait,
)
from rung.training.training_log import ALONE, Journal, Progress
from rung.training.tuning.task_heads import Head, Network, Task, embeddings, network
from rung.training.tuning.transfer_gain import compared

Floats = npt.NDArray[np.float64]
Weighting = Literal["fixed", "uncertainty"]

RATE = 1e-4
# Of s_t: Adam moves a number by its rate a step, whatever the gradient, and at an encoder's it stays near 0.
WEIGHT_RATE = 1e-2
_HEADS, _ENCODER, _ALONE = "heads.json", "encoder", "alone"


def multitask(
    backbone: Any,
    tasks: Mapping[str, tuple[Sequence[Any], Sequence[Any]]],
    *,
    out: str | Path,
    temperature: float = 2.0,
    weighting: Weighting = "fixed",
    weights: Mapping[str, float] | None = None,
    test: Mapping[str, tuple[Sequence[Any], Sequence[Any]]] | None = None,
    held_out: float = 0.2,
    alone: bool = True,
    progress: Progress | None = None,
    **settings: Any,
) -> Multitask:
    """One encoder that has learned several tasks, with a head each, in the folder `out`; `backbone` stays as it was.

    tasks maps a name to (texts, labels). Labels that are floats make a score to be told; others are classes. A text that is a
    pair of texts is read as two, and what is told is how they stand to each other (floats only).

    Minimizes  Σ_t w_t L_t,  L cross-entropy of classes, squared error of standardized scores, by batches of one task each,
    drawn with  p_t ∝ n_t^(1/temperature):  1 is by size, large is all alike. weighting "fixed" takes `weights` (1 each);
    "uncertainty" learns  w_t = exp(−s_t)  (half of it for scores) at the cost of s_t/2 each.
    Source: Kendall, Gal, Cipolla 2018, "Multi-task learning using uncertainty to weigh losses", eq. 7 and 10.

    Each task is measured on `test`, or on a share `held_out` of its own texts, beside a run of the same settings on it `alone`,
    with 95 % intervals, so that harm shows: `report_`. Settings are those of `rung.training.trainer_setup.Settings`; a run that was
    killed goes on. Raises UserError for tasks that cannot be learned, and all that `rung.pretrain` refuses.
    """
    require("multitask")
    how = Settings.of(settings, "multitask")
    _check(tasks, temperature, weighting, weights, held_out, test)
    made = [
        Task.of(name, *given, test=(test or {}).get(name), held_out=held_out, seed=how.seed)
        for name, given in tasks.items()
    ]
    asked: dict[str, Any] = {
        "temperature": temperature,
        "weighting": weighting,
        "weights": dict(weights or {}),
        "alone": alone,
    }
    asked |= {"held_out": None if test else held_out, **asdict(how)}
    inputs = {f"{task.name}: {part}": of_rows(map(str, rows)) for task in made for part, rows in task.parts().items()}
    record = Record("multitask", parent_of(backbone), inputs, asked)
    folder = Path(out)
    with quiet():
        encoder = read_encoder(backbone)
        _check_memory(encoder, how)
        begin(folder, record)
        plan = Plan(how, temperature, weighting, dict(weights or {}))
        together, told = _learned(encoder, made, plan, folder, "together", progress)
        singles = {}
        if alone:
            singles = {
                t.name: _learned(read_encoder(backbone), [t], plan, folder, t.name, progress)[1][t.name] for t in made
            }
    record.results = {"tasks": [compared(task, told[task.name], singles.get(task.name)) for task in made]}
    if weighting == "uncertainty":
        record.results["weights"] = together.weights()
    if leads():
        with quiet():
            _write(together, folder)
        _draw(Journal(folder))
        finish(folder)
        record.write(folder)
    wait()
    return Multitask.load(folder)


@dataclass(frozen=True)
class Plan:
    """How tasks are mixed and weighed, and how weights are moved."""

    how: Settings
    temperature: float
    weighting: Weighting
    weights: dict[str, float]

    def shares(self, tasks: Sequence[Task]) -> Floats:
        """How often each task is drawn (t,): p_t ∝ n_t^(1/T)."""
        sizes = np.array([len(task.texts) for task in tasks], dtype=np.float64) ** (1 / self.temperature)
        return np.asarray(sizes / sizes.sum())


class Drawn:
    """The rows of all steps in their order: every `batch` rows are of one task, whose texts come round by turns."""

    epoch = 0

    def __init__(self, tasks: Sequence[Task], plan: Plan) -> None:
        rng = np.random.default_rng(plan.how.seed)
        self.batch = plan.how.batch
        total = sum(len(task.texts) for task in tasks)
        batches = plan.how.epochs * -(-total // self.batch)
        # as many of each as its share says, in random order: no task is left out by chance
        ends = np.round(np.cumsum(plan.shares(tasks)) * batches).astype(int)
        self.tasks = rng.permutation(np.repeat(np.arange(len(tasks)), np.diff(ends, prepend=0)))
        turns = [
            _turns(len(task.texts), int((self.tasks == t).sum()) * self.batch, rng) for t, task in enumerate(tasks)
        ]
        taken = np.zeros(len(tasks), dtype=int)
        self.rows: list[tuple[int, int]] = []
        for t in self.tasks.tolist():
            self.rows += [(t, int(i)) for i in turns[t][taken[t] : taken[t] + self.batch]]
            taken[t] += self.batch

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, place: int) -> tuple[int, int]:
        return self.rows[place]


def _turns(n: int, wanted: int, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """Places of n texts, each pass in a new order, until there are as many as wanted."""
    return np.concatenate([rng.permutation(n) for _ in range(max(1, -(-wanted // n)))])[:wanted]


def _learned(
    encoder: Any, tasks: list[Task], plan: Plan, folder: Path, run: str, progress: Progress | None
) -> tuple[Network, dict[str, Floats]]:
    """The network after training, and what it says of each task's held-out texts."""
    from torch.utils.data import SequentialSampler
    from transformers import Trainer, set_seed
    from transformers.trainer_callback import PrinterCallback

    class InOrder(Trainer):  # type: ignore[misc]
        def _get_train_sampler(self, rows: Any = None) -> Any:
            return SequentialSampler(self.train_dataset if rows is None else rows)

    home = folder if run == "together" else folder / CHECKPOINTS / _ALONE / run
    home.mkdir(parents=True, exist_ok=True)
    set_seed(plan.how.seed)
    net = network(encoder, tasks, plan.weighting, plan.weights, WEIGHT_RATE / (plan.how.learning_rate or RATE))
    if plan.how.checkpointing:
        encoder[0].auto_model.gradient_checkpointing_enable()
    drawn = Drawn(tasks, plan)
    told = arguments(home, plan.how, RATE, len(drawn), ddp_find_unused_parameters=len(tasks) > 1)
    told.num_train_epochs = 1  # of what was drawn, which holds every pass
    callback = _looking(Journal(folder, progress), net, tasks, plan.how, "" if run == "together" else ALONE)
    trainer = InOrder(model=net, args=told, data_collator=net.collated, train_dataset=drawn, callbacks=[callback])
    trainer.remove_callback(PrinterCallback)
    trainer.model_accepts_loss_kwargs = False
    trainer.train(resume_from_checkpoint=last_checkpoint(home))
    net.eval()
    return net, {task.name: net.predicted(t, task.test_texts) for t, task in enumerate(tasks)}


def _looking(  # noqa: C901 - a class that needs transformers
    journal: Journal, net: Network, tasks: list[Task], how: Settings, run: str
) -> Any:
    """A callback that writes each task's loss, and what it is worth on held-out texts as often as there are epochs."""
    from transformers import TrainerCallback

    class Looking(TrainerCallback):  # type: ignore[misc]
        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            every = max(1, state.max_steps // how.epochs)
            if state.global_step % args.save_steps == 0 and state.global_step < state.max_steps:
                control.should_save = True
            if not leads():
                return
            losses = [loss for each in net.losses.values() for loss in each]
            journal.at(state.global_step, state.max_steps, float(np.mean(losses)) if losses else None)
            if state.global_step % max(1, every // 5) == 0:
                self._write_losses(state.global_step)
            if state.global_step % every == 0 or state.global_step == state.max_steps:
                self._look(state.global_step)

        def _write_losses(self, step: int) -> None:
            for t, each in net.losses.items():
                if each:
                    journal.write("train", step=step, task=tasks[t].name + run, loss=float(np.mean(each)))
                each.clear()

        def _look(self, step: int) -> None:
            net.eval()
            for t, task in enumerate(tasks):
                value = task.worth(net.predicted(t, task.test_texts))
                journal.write("held out", step=step, task=task.name + run, **{task.metric: value})
            net.train()

    return Looking()


def _check(
    tasks: Mapping[str, Any],
    temperature: float,
    weighting: str,
    weights: Mapping[str, float] | None,
    held_out: float,
    test: Mapping[str, Any] | None,
) -> None:
    if not tasks:
        raise UserError("multitask: no task is given.", 'Give  {"name": (texts, labels), …}')
    if not 0 < temperature < np.inf:
        raise UserError(
            "multitask: temperature {temperature}.",
            "Give a number above 0: 1 is by size, 2 is flatter.",
            temperature=temperature,
        )
    if weighting not in get_args(Weighting):
        raise UserError(
            "multitask: weighting {weighting!r}.",
            "Choose one of {Weighting}.",
            weighting=weighting,
            Weighting=", ".join(get_args(Weighting)),
        )
    if not 0 < held_out < 1:
        raise UserError(
            "multitask: held_out {held_out}.", "Give a share between 0 and 1, such as 0.2.", held_out=held_out
        )
    for what, given in (("weights", weights), ("test", test)):
        for name in set(given or {}) - set(tasks):
            raise UserError(
                "multitask: {value} name {name!r}, which is no task.",
                "Tasks are {tasks}.",
                value=what,
                name=name,
                tasks=", ".join(tasks),
            )
    for name, value in (weights or {}).items():
        if not 0 <= value < np.inf:
            raise UserError(
                "multitask: the weight of {name!r} is {value}.", "Give 0 or more; 1 is usual.", name=name, value=value
            )
    if test is not None and set(test) != set(tasks):
        raise UserError("multitask: some tasks have no test.", "Give test texts for every task, or for none.")


def _check_memory(encoder: Any, how: Settings) -> None:
    transformer = encoder[0].auto_model
    tokens = min(int(encoder.max_seq_length or 512), 512)
    bytes_ = memory_estimate.needed(
        sum(part.numel() for part in encoder.parameters()),
        transformer.config,
        rows=how.batch,
        tokens=tokens,
        mixed=how.precision != "float32",
        checkpointing=how.checkpointing,
        head=False,
    )
    memory_estimate.check(bytes_, "multitask")


def _write(net: Network, folder: Path) -> None:
    """The encoder as sentence-transformers saves it, heads as JSON: they are small."""
    write_encoder(net.encoder, folder / _ENCODER)
    facts = {"format": "rung-multitask", "version": 1, "heads": [asdict(head) for head in net.frozen()]}
    (folder / _HEADS).write_text(json.dumps(facts) + "\n", "utf-8")


def _draw(journal: Journal) -> None:
    """Each task's loss, and what it was worth, together and alone."""
    written = {name for line in journal.lines() for name in line}
    journal.draw({name: [name] for name in ("loss", "accuracy", "correlation") if name in written})


class Multitask:
    """A shared encoder and the heads of its tasks, read from the folder that `multitask` wrote.

    backbone is the new encoder, of use like any other; report_ is a list of what each task was worth, together and alone.
    """

    def __init__(
        self, folder: Path, backbone: EncoderBackbone, heads: list[Head], report: list[dict[str, Any]]
    ) -> None:
        self.folder = folder
        self.backbone = backbone
        self.heads = {head.task: head for head in heads}
        self.report_ = report

    @classmethod
    def load(cls, folder: str | Path) -> Multitask:
        """What lies in `folder`. Raises UserError if it is not what `multitask` wrote."""
        here = Path(folder)
        try:
            facts = json.loads((here / _HEADS).read_text("utf-8"))
            heads = [Head(**each) for each in facts["heads"]]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UserError(
                "{here} holds no tasks ({error}).", "Name a folder that multitask wrote.", here=here, error=error
            ) from None
        backbone = open_folder((here / _ENCODER).resolve(), str(here / _ENCODER))
        assert isinstance(backbone, EncoderBackbone)
        report = Record.read(here).results["tasks"] if (here / FILE).is_file() else []
        return cls(here, backbone, heads, report)

    def predict(self, task: str, texts: Sequence[Any]) -> list[Any]:
        """The label or the number of each text, or pair of texts. Raises UserError for a task that is none."""
        if task not in self.heads:
            raise UserError(
                "multitask: there is no task {task!r}.", "Tasks are {heads}.", task=task, heads=", ".join(self.heads)
            )
        head = self.heads[task]
        return head.answers(head.outputs(embeddings(self.backbone.embed, texts, head.pairs)))
