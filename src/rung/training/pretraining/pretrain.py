"""Pretraining on a person's own texts, continued or from scratch: causal, masked, or masked with next-sentence prediction."""

from __future__ import annotations

import math
from dataclasses import asdict
from pathlib import Path
from typing import Any, get_args

import numpy as np
import numpy.typing as npt

from rung.backbones.causal import CausalBackbone
from rung.backbones.common.pretrained import Pretrained, architecture, quiet_loading
from rung.backbones.loading import load, open_folder
from rung.backbones.masked import MaskedBackbone
from rung.backbones.next_sentence import NextSentenceBackbone
from rung.errors import UserError
from rung.evidence import Backbone
from rung.inference.inputs import as_texts
from rung.intervals import interval
from rung.training import memory_estimate
from rung.training.pretraining.from_scratch import (
    CLASSES,
    Kind,
    Size,
    build_model,
    model_config,
    parameter_count,
    train_tokenizer,
)
from rung.training.pretraining.lm_datasets import (
    IGNORED_LABEL,
    CausalDataset,
    LanguageModelDataset,
    MaskedDataset,
    NextSentenceDataset,
    padding_collator,
    passages,
)
from rung.training.provenance import Record, parent_of, rows_digest
from rung.training.trainer_setup import (
    Settings,
    check_precision,
    disk_errors,
    is_main_process,
    logging_callback,
    prepare_folder,
    remove_checkpoints,
    require_packages,
    training_arguments,
    wait_for_everyone,
)
from rung.training.training_log import Progress, TrainingLog

Floats = npt.NDArray[np.float64]

NEW_LEARNING_RATE = 2e-3  # for a small model from scratch
CONTINUED_LEARNING_RATE = 5e-5  # for a model that is already trained
HELD_OUT_EVENT = "held out"  # an event of the training log
PANELS = {
    "loss": ["loss", "held_out_loss"],
    "perplexity, held out": ["perplexity"],
    "next sentence": ["next_sentence_accuracy"],
    "learning rate": ["learning_rate"],
}
_DATASETS: dict[Kind, type[Any]] = {
    "causal": CausalDataset,
    "masked": MaskedDataset,
    "masked+next": NextSentenceDataset,
}
_Z = 1.96


@disk_errors("pretrain")
def pretrain(
    texts: Any,
    *,
    out: str | Path,
    start: str | Path | Backbone | None = None,
    kind: Kind | None = None,
    join: bool = False,
    max_tokens: int = 128,
    held_out: float = 0.1,
    size: Size | None = None,
    progress: Progress | None = None,
    **settings: Any,
) -> Pretrained:
    """A language model trained on `texts`, in the folder `out`; `rung.load(out)` opens it again.

    start   a causal or masked backbone, its name or its folder, which stays as it is; None: a new model of `size` (about a
            million weights), with a tokenizer trained on the texts
    kind    "causal" (next token), "masked" (15 % of the tokens, in whole words), "masked+next" (masked with next-sentence
            prediction, as in BERT); None: the kind of `start`, or causal without `start`
    join    consecutive texts are lines of one passage, until a blank or missing line
    max_tokens  tokens of one training row, and the maximum length of a new model
    held_out    share of the texts that is only used for evaluation, before the first epoch and after each: `perplexity`, exp of
            the mean −log p of a token given those before it, or of a masked token given the rest (all masked positions of a row at
            once, the same in every epoch), with a 95 % interval over rows; and the accuracy of next-sentence prediction
    settings    those of `rung.training.trainer_setup.Settings`: epochs, batch, accumulate, learning_rate, precision, seed, …

    `out` also gets log.jsonl, curves.svg and record.json. A killed run resumes from its last checkpoint when it is called again
    with the same arguments; under `accelerate launch` it runs on several devices. Raises UserError for invalid settings, too few
    texts, an `out` that holds something else, too little memory, and a loss that is NaN or infinite.
    """
    require_packages("pretrain")
    training = Settings.of(settings, "pretrain")
    check_precision(training.precision, "pretrain")
    start_backbone = None if start is None else _load_start(start)
    chosen_kind = _resolve_kind(kind, start_backbone)
    parts = _split_held_out(as_texts(texts), join, held_out, training.seed)
    recorded: dict[str, Any] = {"kind": chosen_kind, "join": join, "max_tokens": max_tokens, "held_out": held_out}
    recorded |= {"size": None if start_backbone else asdict(size or Size()), **asdict(training)}
    inputs = {name: rows_digest(part) for name, part in zip(("texts", "held-out texts"), parts, strict=True)}
    record = Record("pretrain", parent_of(start_backbone) if start_backbone else None, inputs, recorded)
    folder = Path(out)
    with quiet_loading():
        tokenizer, config, tokens_per_row = _tokenizer_and_config(
            start_backbone, chosen_kind, parts[0], size or Size(), max_tokens
        )
        datasets = [
            _DATASETS[chosen_kind](part, tokenizer, tokens_per_row, seed=training.seed, held_out=held)
            for part, held in zip(parts, (False, True), strict=True)
        ]
        _check_memory(chosen_kind, config, training, tokens_per_row)
        checkpoint = prepare_folder(folder, record)
        log = TrainingLog(folder, progress)
        trainer = _trainer(start_backbone, chosen_kind, config, tokenizer, datasets, training, folder, log)
        trainer.args.eval_on_start = checkpoint is None
        trainer.train(resume_from_checkpoint=checkpoint)
        _save_model(trainer, tokenizer, folder)
    record.results = _results(folder, trainer, datasets)
    if is_main_process():
        _draw_curves(TrainingLog(folder))
        remove_checkpoints(folder)
        record.write(folder)
    wait_for_everyone()
    found = open_folder(folder.resolve(), str(out))
    assert isinstance(found, Pretrained)
    return found


def _load_start(start: str | Path | Backbone) -> Any:
    return load(str(start)) if isinstance(start, str | Path) else start


def _resolve_kind(kind: Kind | None, start: Any) -> Kind:
    """The kind of pretraining. Raises UserError if `start` has no head for it."""
    if kind is not None and kind not in get_args(Kind):
        raise UserError(
            "pretrain: there is no kind {kind!r}.",
            "Choose one of {choices}.",
            kind=kind,
            choices=", ".join(get_args(Kind)),
        )
    if start is None:
        return kind or "causal"
    known: Kind | None = None
    if isinstance(start, CausalBackbone):
        known = "causal"
    elif isinstance(start, MaskedBackbone | NextSentenceBackbone):
        known = "masked"
    if known is None:
        raise UserError(
            "pretrain: {start} is neither a causal nor a masked language model, so it has no head that predicts tokens.",
            "Start from a causal or masked model, or leave out start to train a new one.",
            start=start.name,
        )
    if kind == "masked+next" and architecture(start.folder) != "BertForPreTraining":
        raise UserError(
            "pretrain: {start} has no head for the next sentence beside its head for masked tokens.",
            'Use  kind="{known}"  or leave out start to train a new model.',
            start=start.name,
            known=known,
        )
    if kind is not None and kind != known and kind != "masked+next":
        raise UserError(
            "pretrain: {start} is a {known} model, not a {kind} one.",
            'Use  kind="{known}"',
            start=start.name,
            known=known,
            kind=kind,
        )
    return kind or known


def _split_held_out(texts: list[Any], join: bool, held_out: float, seed: int) -> tuple[list[str], list[str]]:
    """Training texts and held-out texts, split at random. All copies of a text are in the same part."""
    if not 0 < held_out < 1:
        raise UserError(
            "pretrain: held_out is {held_out}.", "Give a share between 0 and 1, such as 0.1.", held_out=held_out
        )
    read = passages(texts) if join else [text for text in texts if isinstance(text, str) and text.strip()]
    unique = list(dict.fromkeys(read))
    if len(unique) < 2:
        raise UserError(
            "pretrain: {texts} different texts are too few: some must be held out.",
            "Give more texts; a long text can be given as its paragraphs.",
            texts=len(unique),
        )
    count = min(max(1, round(held_out * len(unique))), len(unique) - 1)
    chosen = np.random.default_rng(seed).permutation(len(unique))[:count]
    held_out_texts = {unique[i] for i in chosen}
    return [text for text in read if text not in held_out_texts], [text for text in unique if text in held_out_texts]


def _tokenizer_and_config(
    start: Any, kind: Kind, texts: list[str], size: Size, max_tokens: int
) -> tuple[Any, Any, int]:
    """The tokenizer, the model's config, and the tokens of one training row."""
    if max_tokens != int(max_tokens) or max_tokens < 8:
        raise UserError(
            "pretrain: max_tokens is {max_tokens}.", "Give a whole number, 8 or more.", max_tokens=max_tokens
        )
    if start is None:
        size.check()
        tokenizer = train_tokenizer(kind, texts, size.vocabulary, max_tokens)
        return tokenizer, model_config(kind, size, tokenizer, max_tokens), max_tokens
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(str(start.folder), local_files_only=True)
    return start.tokenizer, config, min(max_tokens, start.max_tokens or max_tokens)


def _check_memory(kind: Kind, config: Any, training: Settings, tokens: int) -> None:
    mixed = training.precision != "float32"
    required = memory_estimate.training_bytes(
        parameter_count(kind, config),
        config,
        rows=training.batch,
        tokens=tokens,
        mixed=mixed,
        checkpointing=training.checkpointing,
    )
    memory_estimate.check_available(required, "pretrain")


def _trainable_model(start: Any, kind: Kind, config: Any) -> Any:
    """The model to train: with random weights, or with a copy of the weights of `start`."""
    if start is None:
        return build_model(kind, config)
    import transformers

    options = {"dtype": "float32", "use_safetensors": True, "local_files_only": True, "output_loading_info": True}
    model, read = getattr(transformers, CLASSES[kind]).from_pretrained(str(start.folder), **options)
    missing = sorted({name for name, _ in model.named_parameters()} & set(read["missing_keys"]))
    if missing:
        raise UserError(
            "pretrain: the weights in {folder} lack {missing}, which would be initialized at random.",
            "Start from a model that was saved with all weights for this task.",
            folder=start.folder,
            missing=missing[0],
        )
    return model


def _trainer(
    start: Any,
    kind: Kind,
    config: Any,
    tokenizer: Any,
    datasets: list[LanguageModelDataset],
    training: Settings,
    out: Path,
    log: TrainingLog,
) -> Any:
    from transformers import Trainer, set_seed
    from transformers.trainer_callback import PrinterCallback

    labels = ["labels"] + ["next_sentence_label"] * (kind == "masked+next")
    more = {"eval_strategy": "epoch", "label_names": labels}
    rate = NEW_LEARNING_RATE if start is None else CONTINUED_LEARNING_RATE
    trainer_arguments = training_arguments(out, training, rate, len(datasets[0]), **more)
    set_seed(training.seed)
    model = _trainable_model(start, kind, config)
    if training.checkpointing:
        model.gradient_checkpointing_enable()
    trainer = Trainer(
        model=model,
        args=trainer_arguments,
        data_collator=padding_collator(tokenizer),
        train_dataset=datasets[0],
        eval_dataset=datasets[1],
        compute_metrics=_held_out_metrics,
        preprocess_logits_for_metrics=_causal_losses if kind == "causal" else _masked_losses,
        callbacks=[logging_callback(log, datasets[0])],
    )
    trainer.remove_callback(PrinterCallback)
    # masked models ignore the number of items that the Trainer passes: their loss is the mean over a batch
    trainer.model_accepts_loss_kwargs = False
    return trainer


def _causal_losses(logits: Any, labels: Any) -> Any:
    """For each row (b, 3): the sum of −log p of its tokens, the number of tokens, and 0."""
    return _masked_losses(logits[:, :-1], labels[:, 1:])


def _masked_losses(logits: Any, labels: Any) -> Any:
    """For each row (b, 3): the sum of −log p of its labels, their number, and whether the next sentence was predicted correctly."""
    import torch
    from torch.nn.functional import cross_entropy

    next_correct = None
    if isinstance(labels, tuple | list):
        (logits, following), (labels, truth) = logits, labels
        next_correct = (following.argmax(-1) == truth.view(-1)).float()
    loss = cross_entropy(logits.float().transpose(1, 2), labels, ignore_index=IGNORED_LABEL, reduction="none").sum(1)
    counts = (labels != IGNORED_LABEL).sum(1).float()
    return torch.stack([loss, counts, torch.zeros_like(loss) if next_correct is None else next_correct], dim=1)


def _held_out_metrics(found: Any) -> dict[str, float]:
    """The metrics on the held-out texts, as the Trainer logs them."""
    rows = np.asarray(found.predictions, dtype=np.float64)
    numbers = perplexity(rows[:, 0], rows[:, 1])
    if isinstance(found.label_ids, tuple | list):
        numbers["next_sentence_accuracy"] = float(rows[:, 2].mean())
    return numbers


def perplexity(losses: Floats, counts: Floats) -> dict[str, float]:
    """exp of the mean −log p of a token, from the loss sums (n,) and token counts (n,) of n rows, with its 95 % interval.

    The interval is that of a ratio of means over rows, because the tokens of a row are not independent.

    >>> perplexity(np.log([4.0, 4.0]), np.ones(2))
    {'perplexity': 4.0, 'perplexity_low': 4.0, 'perplexity_high': 4.0}
    """
    mean = losses.sum() / counts.sum()
    error = math.sqrt(((losses - mean * counts) ** 2).sum()) / counts.sum()
    bounds = {"": mean, "_low": mean - _Z * error, "_high": mean + _Z * error}
    return {f"perplexity{name}": round(float(np.exp(min(value, 700.0))), 4) for name, value in bounds.items()}


def _save_model(trainer: Any, tokenizer: Any, folder: Path) -> None:
    """Save the model and its tokenizer in the format of transformers."""
    trainer.accelerator.wait_for_everyone()
    if is_main_process():
        trainer.accelerator.unwrap_model(trainer.model).eval().save_pretrained(folder)
        tokenizer.save_pretrained(folder)


def _draw_curves(log: TrainingLog) -> None:
    """Draw those panels that have numbers in the log."""
    written = {name for line in log.lines() for name in line}
    log.draw({title: names for title, names in PANELS.items() if written & set(names)})


def _results(folder: Path, trainer: Any, datasets: list[LanguageModelDataset]) -> dict[str, Any]:
    """The metrics after each epoch, the number of weights, and the sizes of both data sets."""
    lines = [line for line in TrainingLog(folder).lines() if line["event"] == HELD_OUT_EVENT]
    kept = ("epoch", "perplexity", "perplexity_low", "perplexity_high", "next_sentence_accuracy")
    epochs = [{name: line[name] for name in kept if name in line} for line in lines]
    for each in epochs:
        if (share := each.get("next_sentence_accuracy")) is not None:
            each["next_sentence_interval"] = interval(round(share * len(datasets[1])), len(datasets[1]))
    weights = sum(part.numel() for part in trainer.accelerator.unwrap_model(trainer.model).parameters())
    return {"weights": weights, "rows": len(datasets[0]), "held_out_rows": len(datasets[1]), "epochs": epochs}
