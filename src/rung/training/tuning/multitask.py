"""Multi-task learning: one shared encoder with a head for each task, and a report on whether sharing helped or harmed each one."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from rung.backbones.common.pretrained import quiet_loading
from rung.backbones.encoder import EncoderBackbone
from rung.backbones.loading import open_folder
from rung.errors import UserError
from rung.training import memory_estimate
from rung.training.layer_pruning import read_encoder, write_encoder
from rung.training.provenance import RECORD_FILE, Record, parent_of, rows_digest
from rung.training.trainer_setup import (
    CHECKPOINTS,
    Settings,
    check_precision,
    disk_errors,
    is_main_process,
    last_checkpoint,
    prepare_folder,
    remove_checkpoints,
    require_packages,
    training_arguments,
    wait_for_everyone,
)
from rung.training.training_log import SINGLE_TASK_SUFFIX, Progress, TrainingLog
from rung.training.tuning.task_heads import Head, MultitaskNetwork, Task, build_network, embeddings
from rung.training.tuning.transfer_gain import compare_runs

Floats = npt.NDArray[np.float64]
Weighting = Literal["fixed", "uncertainty"]

LEARNING_RATE = 1e-4
# For s_t: an Adam step is about as large as the learning rate, so that with the encoder's rate s_t would stay near 0.
TASK_WEIGHT_LEARNING_RATE = 1e-2
_HEADS, _ENCODER, _ALONE = "heads.json", "encoder", "alone"


@disk_errors("multitask")
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
    """One encoder trained on several tasks, with a head for each, in the folder `out`; `backbone` stays as it was.

    tasks maps a name to (texts, labels). If all labels of a task are floats, it is a regression, else a classification. The texts
    may be pairs of texts; then the two are embedded separately, and the labels say how they relate (floats only).

    Minimizes  Σ_t w_t L_t  with L_t the cross-entropy of classes, or the squared error of standardized numbers. A batch has one
    task, sampled with  p_t ∝ n_t^(1/temperature):  1 is proportional to size, a large value is uniform. weighting "fixed" uses
    `weights` (1 by default); "uncertainty" learns  w_t = exp(−s_t)  (half of it for numbers) at the cost of s_t/2 for each task.
    Source: Kendall, Gal, Cipolla 2018, "Multi-task learning using uncertainty to weigh losses", eq. 7 and 10.

    Each task is measured on `test`, or on a share `held_out` of its own texts. With `alone` it is compared with a single-task run
    of the same settings, with 95 % intervals, so that negative transfer shows in `report_`. Settings are those of
    `rung.training.trainer_setup.Settings`. A killed run resumes. Raises UserError for tasks that cannot be trained, and in the
    same cases as `rung.pretrain`.
    """
    require_packages("multitask")
    training = Settings.of(settings, "multitask")
    check_precision(training.precision, "multitask")
    _check(tasks, temperature, weighting, weights, held_out, test)
    made = [
        Task.of(name, *given, test=(test or {}).get(name), held_out=held_out, seed=training.seed)
        for name, given in tasks.items()
    ]
    asked: dict[str, Any] = {
        "temperature": temperature,
        "weighting": weighting,
        "weights": dict(weights or {}),
        "alone": alone,
    }
    asked |= {"held_out": None if test else held_out, **asdict(training)}
    inputs = {
        f"{task.name}: {part}": rows_digest(map(str, rows)) for task in made for part, rows in task.parts().items()
    }
    record = Record("multitask", parent_of(backbone), inputs, asked)
    folder = Path(out)
    with quiet_loading():
        encoder = read_encoder(backbone)
        _check_memory(encoder, training)
        prepare_folder(folder, record)
        plan = TrainingPlan(training, temperature, weighting, dict(weights or {}))
        together, test_outputs = _train(encoder, made, plan, folder, "together", progress)
        singles = {}
        if alone:
            singles = {
                t.name: _train(read_encoder(backbone), [t], plan, folder, t.name, progress)[1][t.name] for t in made
            }
    record.results = {"tasks": [compare_runs(task, test_outputs[task.name], singles.get(task.name)) for task in made]}
    if weighting == "uncertainty":
        record.results["weights"] = together.weights()
    if is_main_process():
        with quiet_loading():
            _write(together, folder)
        _draw_curves(TrainingLog(folder))
        remove_checkpoints(folder)
        record.write(folder)
    wait_for_everyone()
    return Multitask.load(folder)


@dataclass(frozen=True)
class TrainingPlan:
    """How tasks are sampled and weighted, and the settings of the optimization."""

    training: Settings
    temperature: float
    weighting: Weighting
    weights: dict[str, float]

    def shares(self, tasks: Sequence[Task]) -> Floats:
        """The sampling probability of each task (t,): p_t ∝ n_t^(1/T)."""
        sizes = np.array([len(task.texts) for task in tasks], dtype=np.float64) ** (1 / self.temperature)
        return np.asarray(sizes / sizes.sum())


class TaskBatches:
    """The rows of all batches in their order. Each batch holds rows of one task, whose texts are used in shuffled passes."""

    epoch = 0

    def __init__(self, tasks: Sequence[Task], plan: TrainingPlan) -> None:
        rng = np.random.default_rng(plan.training.seed)
        self.batch = plan.training.batch
        total = sum(len(task.texts) for task in tasks)
        batches = plan.training.epochs * -(-total // self.batch)
        # each task gets exactly its share of the batches, in random order, so that no task is left out by chance
        ends = np.round(np.cumsum(plan.shares(tasks)) * batches).astype(int)
        self.tasks = rng.permutation(np.repeat(np.arange(len(tasks)), np.diff(ends, prepend=0)))
        passes = [
            _shuffled_passes(len(task.texts), int((self.tasks == t).sum()) * self.batch, rng)
            for t, task in enumerate(tasks)
        ]
        taken = np.zeros(len(tasks), dtype=int)
        self.rows: list[tuple[int, int]] = []
        for t in self.tasks.tolist():
            self.rows += [(t, int(i)) for i in passes[t][taken[t] : taken[t] + self.batch]]
            taken[t] += self.batch

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, place: int) -> tuple[int, int]:
        return self.rows[place]


def _shuffled_passes(n: int, count: int, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """Indices (count,) of n texts, in a new random order for each pass."""
    return np.concatenate([rng.permutation(n) for _ in range(max(1, -(-count // n)))])[:count]


def _train(
    encoder: Any, tasks: list[Task], plan: TrainingPlan, folder: Path, run: str, progress: Progress | None
) -> tuple[MultitaskNetwork, dict[str, Floats]]:
    """Train, and return the network and its outputs on the test texts of each task."""
    from torch.utils.data import SequentialSampler
    from transformers import Trainer, set_seed
    from transformers.trainer_callback import PrinterCallback

    class SequentialTrainer(Trainer):  # type: ignore[misc]
        def _get_train_sampler(self, rows: Any = None) -> Any:
            return SequentialSampler(self.train_dataset if rows is None else rows)

    run_folder = folder if run == "together" else folder / CHECKPOINTS / _ALONE / run
    run_folder.mkdir(parents=True, exist_ok=True)
    set_seed(plan.training.seed)
    net = build_network(
        encoder,
        tasks,
        plan.weighting,
        plan.weights,
        TASK_WEIGHT_LEARNING_RATE / (plan.training.learning_rate or LEARNING_RATE),
    )
    if plan.training.checkpointing:
        encoder[0].auto_model.gradient_checkpointing_enable()
    batches = TaskBatches(tasks, plan)
    arguments = training_arguments(
        run_folder, plan.training, LEARNING_RATE, len(batches), ddp_find_unused_parameters=len(tasks) > 1
    )
    arguments.num_train_epochs = 1  # one pass over `batches`, which repeat the texts once for each epoch
    callback = _evaluation_callback(
        TrainingLog(folder, progress), net, tasks, plan.training, "" if run == "together" else SINGLE_TASK_SUFFIX
    )
    trainer = SequentialTrainer(
        model=net, args=arguments, data_collator=net.collate, train_dataset=batches, callbacks=[callback]
    )
    trainer.remove_callback(PrinterCallback)
    trainer.model_accepts_loss_kwargs = False
    trainer.train(resume_from_checkpoint=last_checkpoint(run_folder))
    net.eval()
    return net, {task.name: net.predict(t, task.test_texts) for t, task in enumerate(tasks)}


def _evaluation_callback(  # noqa: C901 - a class that needs transformers
    log: TrainingLog, net: MultitaskNetwork, tasks: list[Task], training: Settings, run: str
) -> Any:
    """A callback that logs the loss of each task, and its score on the test texts once an epoch."""
    from transformers import TrainerCallback

    class EvaluationCallback(TrainerCallback):  # type: ignore[misc]
        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            every = max(1, state.max_steps // training.epochs)
            if state.global_step % args.save_steps == 0 and state.global_step < state.max_steps:
                control.should_save = True
            if not is_main_process():
                return
            losses = [loss for each in net.losses.values() for loss in each]
            log.report_progress(state.global_step, state.max_steps, float(np.mean(losses)) if losses else None)
            if state.global_step % max(1, every // 5) == 0:
                self._write_losses(state.global_step)
            if state.global_step % every == 0 or state.global_step == state.max_steps:
                self._evaluate(state.global_step)

        def _write_losses(self, step: int) -> None:
            for t, each in net.losses.items():
                if each:
                    log.write("train", step=step, task=tasks[t].name + run, loss=float(np.mean(each)))
                each.clear()

        def _evaluate(self, step: int) -> None:
            net.eval()
            for t, task in enumerate(tasks):
                value = task.score(net.predict(t, task.test_texts))
                log.write("held out", step=step, task=task.name + run, **{task.metric: value})
            net.train()

    return EvaluationCallback()


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
            "multitask: temperature is {temperature}.",
            "Give a number above 0: with 1 tasks are sampled in proportion to their size, with 2 more evenly.",
            temperature=temperature,
        )
    if weighting not in get_args(Weighting):
        raise UserError(
            "multitask: there is no weighting {weighting!r}.",
            "Choose one of {choices}.",
            weighting=weighting,
            choices=", ".join(get_args(Weighting)),
        )
    if not 0 < held_out < 1:
        raise UserError(
            "multitask: held_out is {held_out}.", "Give a share between 0 and 1, such as 0.2.", held_out=held_out
        )
    for parameter, given in (("weights", weights), ("test", test)):
        for name in set(given or {}) - set(tasks):
            raise UserError(
                "multitask: the parameter {parameter} names {name!r}, which is no task.",
                "Tasks are {tasks}.",
                parameter=parameter,
                name=name,
                tasks=", ".join(tasks),
            )
    for name, value in (weights or {}).items():
        if not 0 <= value < np.inf:
            raise UserError(
                "multitask: the weight of {name!r} is {value}.", "Give 0 or more; 1 is usual.", name=name, value=value
            )
    if test is not None and set(test) != set(tasks):
        raise UserError("multitask: some tasks have no test texts.", "Give test texts for every task, or for none.")


def _check_memory(encoder: Any, training: Settings) -> None:
    transformer = encoder[0].auto_model
    tokens = min(int(encoder.max_seq_length or 512), 512)
    bytes_ = memory_estimate.training_bytes(
        sum(part.numel() for part in encoder.parameters()),
        transformer.config,
        rows=training.batch,
        tokens=tokens,
        mixed=training.precision != "float32",
        checkpointing=training.checkpointing,
        head=False,
    )
    memory_estimate.check_available(bytes_, "multitask")


def _write(net: MultitaskNetwork, folder: Path) -> None:
    """Save the encoder in the format of sentence-transformers, and the heads as JSON, since they are small."""
    write_encoder(net.encoder, folder / _ENCODER)
    facts = {"format": "rung-multitask", "version": 1, "heads": [asdict(head) for head in net.detached_heads()]}
    (folder / _HEADS).write_text(json.dumps(facts) + "\n", "utf-8")


def _draw_curves(log: TrainingLog) -> None:
    """Draw the losses and scores of each task, from the joint run and from the single-task runs."""
    written = {name for line in log.lines() for name in line}
    log.draw({name: [name] for name in ("loss", "accuracy", "correlation") if name in written})


class Multitask:
    """A shared encoder and the heads of its tasks, read from the folder that `multitask` wrote.

    backbone is the new encoder, usable like any other; report_ is a list with the scores of each task, from the joint run and
    from the single-task run.
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
        """Load from `folder`. Raises UserError if it is not a folder that `multitask` wrote."""
        here = Path(folder)
        try:
            facts = json.loads((here / _HEADS).read_text("utf-8"))
            heads = [Head(**each) for each in facts["heads"]]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UserError(
                "{folder} holds no tasks ({error}).", "Name a folder that multitask wrote.", folder=here, error=error
            ) from None
        backbone = open_folder((here / _ENCODER).resolve(), str(here / _ENCODER))
        assert isinstance(backbone, EncoderBackbone)
        report = Record.read(here).results["tasks"] if (here / RECORD_FILE).is_file() else []
        return cls(here, backbone, heads, report)

    def predict(self, task: str, texts: Sequence[Any]) -> list[Any]:
        """The label or the number of each text, or of each pair of texts. Raises UserError for an unknown task."""
        if task not in self.heads:
            raise UserError(
                "multitask: there is no task {task!r}.", "Tasks are {tasks}.", task=task, tasks=", ".join(self.heads)
            )
        head = self.heads[task]
        return head.answers(head.outputs(embeddings(self.backbone.embed, texts, head.pairs)))
