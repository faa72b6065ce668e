"""Let an encoder learn, by sentence-transformers' own trainer: all texts drawn beforehand, each event in a journal."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from rung.backbones.common.pretrained import quiet
from rung.backbones.encoder import EncoderBackbone
from rung.training import memory_estimate
from rung.training.layer_pruning import read_encoder, write_encoder
from rung.training.training_log import Journal
from rung.training.tuning.batch_sampling import by_label, by_pass, changed
from rung.training.tuning.hyperparameters import Recipe
from rung.training.tuning.losses import classify, contrast

Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.intp]

_SCALE = 20.0  # cosines to nats, where the labels' own embeddings are the first head
_LORA_RANK = 16
_METRIC = "accuracy"
_DONE = "encoder"
_LONGEST = 256  # tokens of a text, as far as memory is reckoned
_LORA_SHARE = 0.05  # of the weights, that the small matrices are at most
_SAVED_AFTER = 50  # steps: what a kill costs at the most


@dataclass(frozen=True)
class Lessons:
    """What an encoder learns from: n texts with targets (n, k), rows that sum to 1; labels (n,), −1 where only a teacher speaks.

    anchors (k, d) are the labels' embeddings by the encoder as it was. validation are texts kept apart to stop by, with labels.
    """

    texts: list[str]
    targets: Floats
    labels: Indices
    anchors: npt.NDArray[np.float32]
    validation: tuple[list[str], Indices] | None = None


def learn(backbone: Any, lessons: Lessons, recipe: Recipe, out: Path, journal: Journal) -> EncoderBackbone:
    """A new encoder in the folder `out`; `backbone` stays as it was. Goes on from a checkpoint that lies in `out`.

    Raises UserError for a backbone that is no sentence encoder, and where the loss is no number any more.
    """
    if (out / _DONE).exists():
        return _opened(out / _DONE, backbone)
    encoder = read_encoder(backbone)
    _prepare(encoder, recipe)
    steps = recipe.steps_for(int((lessons.labels >= 0).sum()))
    loss = _loss(encoder, lessons, recipe)
    trainer = _trainer(encoder, loss, _drawn(lessons, recipe, steps, encoder.tokenizer), recipe, steps, out, lessons)
    trainer.add_callback(_told(journal))
    with quiet(), _without_bars():
        trainer.train(resume_from_checkpoint=_last_checkpoint(out))
    if recipe.way == "lora":
        encoder[0].model = encoder[0].model.merge_and_unload()
    encoder.eval()
    write_encoder(encoder, out / "fresh")
    (out / "fresh").rename(out / _DONE)
    return _opened(out / _DONE, backbone)


def _opened(folder: Path, backbone: Any) -> EncoderBackbone:
    """The new encoder, run as PyTorch has just trained it: to find a faster way would take longer than its few texts here."""
    threads = backbone.asked.threads
    return EncoderBackbone.open(folder, "tuned").with_options(
        {"engine": "torch", "precision": "float32", "threads": threads}
    )


def _prepare(encoder: Any, recipe: Recipe) -> None:
    """Dropout, small matrices, checkpoints of activations: what the recipe asks of the encoder itself."""
    from torch.nn import Dropout

    transformer = encoder[0].auto_model
    if recipe.dropout is not None:
        for part in transformer.modules():
            if isinstance(part, Dropout):
                part.p = recipe.dropout
    if recipe.way == "lora":
        from peft import LoraConfig, get_peft_model

        how = LoraConfig(r=_LORA_RANK, lora_alpha=2 * _LORA_RANK, target_modules="all-linear")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # of a name in transformers that peft asks for
            encoder[0].model = get_peft_model(transformer, how)
    if recipe.checkpointing:
        encoder[0].auto_model.gradient_checkpointing_enable()


def _loss(encoder: Any, lessons: Lessons, recipe: Recipe) -> Any:
    if recipe.way == "contrastive":
        return contrast(encoder)
    counts = np.bincount(lessons.labels[lessons.labels >= 0], minlength=lessons.targets.shape[1])
    weights = np.ones(len(counts))
    if recipe.class_weights == "balanced":
        weights = counts.sum() / np.maximum(counts, 1) / max((counts > 0).sum(), 1)
    return classify(encoder, lessons.anchors, weights, _SCALE)


def _drawn(lessons: Lessons, recipe: Recipe, steps: int, tokenizer: Any) -> Any:
    """The texts of all steps with their targets, in their order."""
    from datasets import Dataset

    batches = steps * recipe.accumulate
    known, taught = np.flatnonzero(lessons.labels >= 0), np.flatnonzero(lessons.labels < 0)
    size = recipe.batch if not len(taught) else recipe.batch - recipe.batch // 2  # half of each batch is a teacher's
    if recipe.way == "contrastive":
        places = by_label(lessons.labels[known], size, batches, recipe.seed)
    else:
        places = by_pass(len(known), size, batches, recipe.seed)
    rows = known[places].reshape(batches, size)
    if len(taught):
        more = taught[by_pass(len(taught), recipe.batch - size, batches, recipe.seed + 1)]
        rows = np.hstack([rows, more.reshape(batches, -1)])
    chosen = rows.ravel()
    how: dict[str, Any] = {"dropped": recipe.token_dropout, "rare": recipe.rare_words, "seed": recipe.seed}
    texts = changed([lessons.texts[i] for i in chosen], unknown=tokenizer.unk_token or "", **how)
    return Dataset.from_dict({"sentence": texts, "label": lessons.targets[chosen].tolist()})


def _trainer(encoder: Any, loss: Any, drawn: Any, recipe: Recipe, steps: int, out: Path, lessons: Lessons) -> Any:
    from sentence_transformers import SentenceTransformerTrainer, SentenceTransformerTrainingArguments
    from torch import cuda
    from transformers import EarlyStoppingCallback

    looks: dict[str, Any] = {"save_strategy": "no"}
    if steps > _SAVED_AFTER:  # a shorter one is sooner begun anew than saved
        looks = {"save_strategy": "steps", "save_steps": _SAVED_AFTER, "save_total_limit": 1}
    if lessons.validation is not None:
        often = max(1, steps // recipe.checks)
        looks = {"eval_strategy": "steps", "eval_steps": often, "load_best_model_at_end": True}
        looks |= {"save_strategy": "steps", "save_steps": often}
        looks |= {"metric_for_best_model": f"eval_{_METRIC}", "greater_is_better": True, "save_total_limit": 2}
    arguments = SentenceTransformerTrainingArguments(
        output_dir=str(out / "checkpoints"),
        max_steps=steps,
        per_device_train_batch_size=recipe.batch,
        gradient_accumulation_steps=recipe.accumulate,
        learning_rate=recipe.rate,
        weight_decay=recipe.weight_decay,
        warmup_steps=0.1,
        lr_scheduler_type="linear",
        bf16=recipe.precision == "bf16",
        fp16=recipe.precision == "fp16",
        seed=recipe.seed,
        batch_sampler=_in_order,
        logging_steps=max(1, steps // 50),
        logging_nan_inf_filter=False,
        dataloader_pin_memory=cuda.is_available(),
        report_to=[],
        disable_tqdm=True,
        **looks,
    )
    trainer = SentenceTransformerTrainer(
        model=encoder,
        args=arguments,
        train_dataset=drawn,
        loss=loss,
        evaluator=None if lessons.validation is None else _looks(lessons),
        callbacks=[] if lessons.validation is None else [EarlyStoppingCallback(recipe.patience)],
    )
    from transformers.trainer_callback import PrinterCallback

    trainer.remove_callback(PrinterCallback)
    return trainer


def _in_order(rows: Any, **how: Any) -> Any:
    """Batches of the rows as they were drawn."""
    from sentence_transformers.base.sampler import DefaultBatchSampler

    return DefaultBatchSampler(range(len(rows)), **how)


def _looks(lessons: Lessons) -> Any:
    """How many of the validation texts lie nearest to the mean of their own label's texts."""
    from sentence_transformers.base.evaluation import BaseEvaluator

    assert lessons.validation is not None
    texts, labels = lessons.validation
    known = np.flatnonzero(lessons.labels >= 0)

    class Nearest(BaseEvaluator):  # type: ignore[misc]
        def __call__(self, model: Any, *_: Any, **__: Any) -> dict[str, float]:
            rows = model.encode([lessons.texts[i] for i in known] + texts, normalize_embeddings=True)
            model.train()
            learned, unseen = rows[: len(known)], rows[len(known) :]
            present = np.unique(lessons.labels[known])
            means = np.stack([learned[lessons.labels[known] == label].mean(axis=0) for label in present])
            found = present[(unseen @ means.T).argmax(axis=1)]
            return {_METRIC: float((found == labels).mean())}

    return Nearest()


def _told(journal: Journal) -> Any:
    """Each event of the trainer as a line of the journal; a loss that is no number ends the training."""
    from transformers import TrainerCallback

    class Told(TrainerCallback):  # type: ignore[misc]
        def on_log(self, _: Any, state: Any, __: Any, logs: Any = None, **___: Any) -> None:
            said = {name.removeprefix("eval_"): value for name, value in (logs or {}).items()}
            kept = ("loss", "learning_rate", _METRIC)
            numbers = {name: float(said[name]) for name in kept if name in said}
            if numbers:
                journal.write("look" if _METRIC in numbers else "step", step=state.global_step, **numbers)

        def on_step_end(self, _: Any, state: Any, __: Any, **___: Any) -> None:
            journal.at(state.global_step, state.max_steps)

    return Told()


def _last_checkpoint(out: Path) -> str | None:
    """The last checkpoint that was written whole: its state is what the trainer writes last."""
    states = [path for path in (out / "checkpoints").glob("checkpoint-*/trainer_state.json") if _is_whole(path)]
    last = max(states, key=lambda path: int(path.parent.name.partition("-")[2]), default=None)
    return None if last is None else str(last.parent)


@contextmanager
def _without_bars() -> Iterator[None]:
    """Without the bars that datasets shows."""
    from datasets import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

    hidden = are_progress_bars_disabled()
    disable_progress_bars()
    try:
        yield
    finally:
        if not hidden:
            enable_progress_bars()


def _is_whole(state: Path) -> bool:
    try:
        return bool(json.loads(state.read_text("utf-8")))
    except ValueError:
        return False


def check_memory(backbone: Any, recipe: Recipe) -> None:
    """Raise UserError where this training would not fit into memory_estimate."""
    encoder = read_encoder(backbone)
    weights = sum(part.numel() for part in encoder.parameters())
    tokens = min(int(encoder.max_seq_length or _LONGEST), _LONGEST)
    learned = int(weights * (_LORA_SHARE if recipe.way == "lora" else 1.0))
    how: dict[str, Any] = {"rows": recipe.batch, "tokens": tokens, "checkpointing": recipe.checkpointing, "head": False}
    wanted = memory_estimate.needed(learned, encoder[0].auto_model.config, mixed=recipe.precision != "float32", **how)
    memory_estimate.check(wanted + 4 * (weights - learned), "tune")
