"""Train an encoder with sentence-transformers' trainer, on batches sampled in advance, with each event in the training log."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from rung.backbones.common.pretrained import quiet_loading
from rung.backbones.encoder import EncoderBackbone, control_tokens
from rung.training import memory_estimate
from rung.training.layer_pruning import read_encoder, write_encoder
from rung.training.training_log import TrainingLog
from rung.training.tuning.batch_sampling import augment_texts, label_balanced_batches, shuffled_passes
from rung.training.tuning.hyperparameters import Hyperparameters
from rung.training.tuning.losses import classification_loss, contrastive_loss

Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.intp]

_LOGIT_SCALE = 20.0  # from cosines to logits, for the head that is initialized with the labels' embeddings
_LORA_RANK = 16
_METRIC = "accuracy"
ENCODER_FOLDER = "encoder"
_MAX_TOKENS = 256  # of a text, for the memory estimate
_LORA_SHARE = 0.05  # of the weights: an upper bound for the adapters
_SAVE_STEPS = 50  # between checkpoints: a kill loses at most so many steps


@dataclass(frozen=True)
class TrainingExamples:
    """The training data: n texts, their target probabilities (n, k), and labels (n,), −1 where the target is a teacher's.

    anchors (k, d) are the embeddings of the labels by the original encoder. validation: texts and labels for early stopping.
    """

    texts: list[str]
    targets: Floats
    labels: Indices
    anchors: npt.NDArray[np.float32]
    validation: tuple[list[str], Indices] | None = None


def train_encoder(
    backbone: Any, examples: TrainingExamples, hparams: Hyperparameters, out: Path, log: TrainingLog
) -> EncoderBackbone:
    """Train a copy of the encoder in the folder `out`; `backbone` stays as it was. Resumes from a checkpoint in `out`.

    Raises UserError for a backbone that is no sentence encoder, and if the loss becomes NaN or infinite.
    """
    if (out / ENCODER_FOLDER).exists():
        return _open_tuned(out / ENCODER_FOLDER, backbone)
    encoder = read_encoder(backbone)
    examples = _plain(examples, encoder)
    _prepare(encoder, hparams)
    steps = hparams.steps_for(int((examples.labels >= 0).sum()))
    loss = _loss(encoder, examples, hparams)
    dataset = _batch_dataset(examples, hparams, steps, encoder.tokenizer)
    trainer = _trainer(encoder, loss, dataset, hparams, steps, out, examples)
    trainer.add_callback(_logging_callback(log))
    with quiet_loading(), _no_progress_bars():
        trainer.train(resume_from_checkpoint=_last_checkpoint(out))
    if hparams.way == "lora":
        encoder[0].model = encoder[0].model.merge_and_unload()
    encoder.eval()
    write_encoder(encoder, out / "fresh")
    (out / "fresh").rename(out / ENCODER_FOLDER)
    return _open_tuned(out / ENCODER_FOLDER, backbone)


def _plain(examples: TrainingExamples, encoder: Any) -> TrainingExamples:
    """The same examples, their texts with control tokens spelled apart, because the trainer's tokenization would read these."""
    plain = control_tokens(encoder).as_texts
    held_out = examples.validation and (plain(examples.validation[0]), examples.validation[1])
    return replace(examples, texts=plain(examples.texts), validation=held_out)


def _open_tuned(folder: Path, backbone: Any) -> EncoderBackbone:
    """Open the trained encoder with PyTorch in float32; measuring a faster engine would take longer than the few texts here."""
    threads = backbone.engine_options.threads
    return EncoderBackbone.open(folder, "tuned").with_options(
        {"engine": "torch", "precision": "float32", "threads": threads}
    )


def _prepare(encoder: Any, hparams: Hyperparameters) -> None:
    """Set dropout, add LoRA adapters and enable gradient checkpointing, as the hyperparameters say."""
    from torch.nn import Dropout

    transformer = encoder[0].auto_model
    if hparams.dropout is not None:
        for part in transformer.modules():
            if isinstance(part, Dropout):
                part.p = hparams.dropout
    if hparams.way == "lora":
        from peft import LoraConfig, get_peft_model

        config = LoraConfig(r=_LORA_RANK, lora_alpha=2 * _LORA_RANK, target_modules="all-linear")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # peft uses a deprecated name of transformers
            encoder[0].model = get_peft_model(transformer, config)
    if hparams.checkpointing:
        encoder[0].auto_model.gradient_checkpointing_enable()


def _loss(encoder: Any, examples: TrainingExamples, hparams: Hyperparameters) -> Any:
    if hparams.way == "contrastive":
        return contrastive_loss(encoder)
    counts = np.bincount(examples.labels[examples.labels >= 0], minlength=examples.targets.shape[1])
    weights = np.ones(len(counts))
    if hparams.class_weights == "balanced":
        weights = counts.sum() / np.maximum(counts, 1) / max((counts > 0).sum(), 1)
    return classification_loss(encoder, examples.anchors, weights, _LOGIT_SCALE)


def _batch_dataset(examples: TrainingExamples, hparams: Hyperparameters, steps: int, tokenizer: Any) -> Any:
    """The texts of all batches with their targets, in the order of the training."""
    from datasets import Dataset

    batches = steps * hparams.accumulate
    known, unlabeled = np.flatnonzero(examples.labels >= 0), np.flatnonzero(examples.labels < 0)
    # where there are unlabelled texts, they take half of each batch
    size = hparams.batch - hparams.batch // 2 if len(unlabeled) else hparams.batch
    if hparams.way == "contrastive":
        places = label_balanced_batches(examples.labels[known], size, batches, hparams.seed)
    else:
        places = shuffled_passes(len(known), size, batches, hparams.seed)
    rows = known[places].reshape(batches, size)
    if len(unlabeled):
        more = unlabeled[shuffled_passes(len(unlabeled), hparams.batch - size, batches, hparams.seed + 1)]
        rows = np.hstack([rows, more.reshape(batches, -1)])
    chosen = rows.ravel()
    options: dict[str, Any] = {
        "word_dropout": hparams.token_dropout,
        "rare_words": hparams.rare_words,
        "unknown_token": tokenizer.unk_token or "",
        "seed": hparams.seed,
    }
    texts = augment_texts([examples.texts[i] for i in chosen], **options)
    return Dataset.from_dict({"sentence": texts, "label": examples.targets[chosen].tolist()})


def _trainer(
    encoder: Any, loss: Any, dataset: Any, hparams: Hyperparameters, steps: int, out: Path, examples: TrainingExamples
) -> Any:
    from sentence_transformers import SentenceTransformerTrainer, SentenceTransformerTrainingArguments
    from torch import cuda
    from transformers import EarlyStoppingCallback

    evaluation: dict[str, Any] = {"save_strategy": "no"}
    if steps > _SAVE_STEPS:  # a shorter training restarts faster than it saves
        evaluation = {"save_strategy": "steps", "save_steps": _SAVE_STEPS, "save_total_limit": 1}
    if examples.validation is not None:
        eval_steps = max(1, steps // hparams.checks)
        evaluation = {"eval_strategy": "steps", "eval_steps": eval_steps, "load_best_model_at_end": True}
        evaluation |= {"save_strategy": "steps", "save_steps": eval_steps}
        evaluation |= {"metric_for_best_model": f"eval_{_METRIC}", "greater_is_better": True, "save_total_limit": 2}
    arguments = SentenceTransformerTrainingArguments(
        output_dir=str(out / "checkpoints"),
        max_steps=steps,
        per_device_train_batch_size=hparams.batch,
        gradient_accumulation_steps=hparams.accumulate,
        learning_rate=hparams.peak_learning_rate,
        weight_decay=hparams.weight_decay,
        warmup_steps=0.1,
        lr_scheduler_type="linear",
        bf16=hparams.precision == "bf16",
        fp16=hparams.precision == "fp16",
        seed=hparams.seed,
        batch_sampler=_sequential_batches,
        logging_steps=max(1, steps // 50),
        logging_nan_inf_filter=False,
        dataloader_pin_memory=cuda.is_available(),
        report_to=[],
        disable_tqdm=True,
        **evaluation,
    )
    trainer = SentenceTransformerTrainer(
        model=encoder,
        args=arguments,
        train_dataset=dataset,
        loss=loss,
        evaluator=None if examples.validation is None else _validation_evaluator(examples),
        callbacks=[] if examples.validation is None else [EarlyStoppingCallback(hparams.patience)],
    )
    from transformers.trainer_callback import PrinterCallback

    trainer.remove_callback(PrinterCallback)
    return trainer


def _sequential_batches(rows: Any, **options: Any) -> Any:
    """A sampler that keeps the order of the rows, since the batches are sampled already."""
    from sentence_transformers.base.sampler import DefaultBatchSampler

    return DefaultBatchSampler(range(len(rows)), **options)


def _validation_evaluator(examples: TrainingExamples) -> Any:
    """An evaluator for early stopping: the share of validation texts that lie nearest to the mean of their own label's texts."""
    from sentence_transformers.base.evaluation import BaseEvaluator

    assert examples.validation is not None
    texts, labels = examples.validation
    known = np.flatnonzero(examples.labels >= 0)

    class NearestMeanEvaluator(BaseEvaluator):  # type: ignore[misc]
        def __call__(self, model: Any, *_: Any, **__: Any) -> dict[str, float]:
            rows = model.encode([examples.texts[i] for i in known] + texts, normalize_embeddings=True)
            model.train()
            train_rows, unseen = rows[: len(known)], rows[len(known) :]
            present = np.unique(examples.labels[known])
            means = np.stack([train_rows[examples.labels[known] == label].mean(axis=0) for label in present])
            found = present[(unseen @ means.T).argmax(axis=1)]
            return {_METRIC: float((found == labels).mean())}

    return NearestMeanEvaluator()


def _logging_callback(log: TrainingLog) -> Any:
    """A callback that writes each event of the trainer into the log; the log raises UserError for a loss of NaN."""
    from transformers import TrainerCallback

    class LoggingCallback(TrainerCallback):  # type: ignore[misc]
        def on_log(self, _: Any, state: Any, __: Any, logs: Any = None, **___: Any) -> None:
            metrics = {name.removeprefix("eval_"): value for name, value in (logs or {}).items()}
            kept = ("loss", "learning_rate", _METRIC)
            numbers = {name: float(metrics[name]) for name in kept if name in metrics}
            if numbers:
                log.write("look" if _METRIC in numbers else "step", step=state.global_step, **numbers)

        def on_step_end(self, _: Any, state: Any, __: Any, **___: Any) -> None:
            log.report_progress(state.global_step, state.max_steps)

    return LoggingCallback()


def _last_checkpoint(out: Path) -> str | None:
    """The last complete checkpoint. The trainer writes the state last, so a checkpoint with a readable state is complete."""
    states = [path for path in (out / "checkpoints").glob("checkpoint-*/trainer_state.json") if _is_complete(path)]
    last = max(states, key=lambda path: int(path.parent.name.partition("-")[2]), default=None)
    return None if last is None else str(last.parent)


@contextmanager
def _no_progress_bars() -> Iterator[None]:
    """Hide the progress bars of the datasets library."""
    from datasets import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

    hidden = are_progress_bars_disabled()
    disable_progress_bars()
    try:
        yield
    finally:
        if not hidden:
            enable_progress_bars()


def _is_complete(state: Path) -> bool:
    try:
        return bool(json.loads(state.read_text("utf-8")))
    except ValueError:
        return False


def check_memory(backbone: Any, hparams: Hyperparameters) -> None:
    """Raise UserError if this training does not fit into the free memory."""
    encoder = read_encoder(backbone)
    weights = sum(part.numel() for part in encoder.parameters())
    tokens = min(int(encoder.max_seq_length or _MAX_TOKENS), _MAX_TOKENS)
    trainable = int(weights * (_LORA_SHARE if hparams.way == "lora" else 1.0))
    required = memory_estimate.training_bytes(
        trainable,
        encoder[0].auto_model.config,
        rows=hparams.batch,
        tokens=tokens,
        mixed=hparams.precision != "float32",
        checkpointing=hparams.checkpointing,
        head=False,
    )
    memory_estimate.check_available(required + 4 * (weights - trainable), "tune")
