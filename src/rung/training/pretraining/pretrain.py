"""Go on pretraining on a person's own texts, or begin small from nothing: the next token, gaps, or gaps and the next sentence."""

from __future__ import annotations

import math
from dataclasses import asdict
from pathlib import Path
from typing import Any, get_args

import numpy as np
import numpy.typing as npt

from rung.backbones.causal import CausalBackbone
from rung.backbones.common.pretrained import Pretrained, architecture, quiet
from rung.backbones.loading import load, open_folder
from rung.backbones.masked import MaskedBackbone
from rung.backbones.next_sentence import NextSentenceBackbone
from rung.errors import UserError
from rung.evidence import Backbone
from rung.inference.inputs import as_texts
from rung.intervals import interval
from rung.training import memory_estimate
from rung.training.pretraining.from_scratch import CLASSES, Kind, Size, build, config_for, tokenizer_for, weights_of
from rung.training.pretraining.lm_datasets import IGNORED, Blocks, Gaps, Neighbours, Rows, collated, passages
from rung.training.provenance import Record, of_rows, parent_of
from rung.training.trainer_setup import Settings, arguments, begin, finish, leads, require, telling, wait
from rung.training.training_log import Journal, Progress

Floats = npt.NDArray[np.float64]

NEW, GOING_ON = 2e-3, 5e-5  # learning rates: of a small model from nothing, of one that knows its language
HELD = "held out"  # the journal's event
PANELS = {
    "loss": ["loss", "held_out_loss"],
    "perplexity, held out": ["perplexity"],
    "next sentence": ["next_sentence_accuracy"],
    "learning rate": ["learning_rate"],
}
_ROWS: dict[Kind, type[Any]] = {"causal": Blocks, "masked": Gaps, "masked+next": Neighbours}
_Z = 1.96


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
    """A language model that has read `texts`, in the folder `out`; `rung.load(out)` opens it again.

    start   a causal or masked backbone, its name or its folder, which stays as it is; None: a new model of `size` (about a
            million weights), with a tokenizer learned from the texts
    kind    "causal" (the next token), "masked" (15 % of tokens hidden, in whole words), "masked+next" (and whether a sentence
            follows another, as BERT learned it); None: what `start` is, and causal where there is none
    join    consecutive texts are lines of one passage, until a blank or missing one
    max_tokens  of a row that is read at once, and of all that a new model reads
    held_out    share of the texts that nothing is learned from. On them, before the first epoch and after each: `perplexity`,
            exp of the mean −log p of a token given those before it, or of a hidden one given what is left (all hidden places of
            a row at once, the same in every epoch), with a 95 % interval over rows; and the accuracy of the next sentence
    settings    those of `rung.training.trainer_setup.Settings`: epochs, batch, accumulate, learning_rate, precision, seed, …

    `out` also gets log.jsonl, curves.svg and record.json. A run that was killed goes on from its last checkpoint when it is
    called again in the same way; under `accelerate launch` it runs on several devices. Raises UserError for settings that
    cannot be, too few texts, an `out` that holds something else, too little memory_estimate, and a loss that is no number any more.
    """
    require("pretrain")
    how = Settings.of(settings, "pretrain")
    begun_from = None if start is None else _opened(start)
    chosen = _kind(kind, begun_from)
    parts = _split(as_texts(texts), join, held_out, how.seed)
    asked: dict[str, Any] = {"kind": chosen, "join": join, "max_tokens": max_tokens, "held_out": held_out}
    asked |= {"size": None if begun_from else asdict(size or Size()), **asdict(how)}
    inputs = {name: of_rows(part) for name, part in zip(("texts", "held-out texts"), parts, strict=True)}
    record = Record("pretrain", parent_of(begun_from) if begun_from else None, inputs, asked)
    folder = Path(out)
    with quiet():
        tokenizer, config, reads = _ground(begun_from, chosen, parts[0], size or Size(), max_tokens)
        rows = [
            _ROWS[chosen](part, tokenizer, reads, seed=how.seed, held_out=held)
            for part, held in zip(parts, (False, True), strict=True)
        ]
        _check_memory(chosen, config, how, reads)
        checkpoint = begin(folder, record)
        trainer = _trainer(begun_from, chosen, config, tokenizer, rows, how, folder, Journal(folder, progress))
        trainer.args.eval_on_start = checkpoint is None
        trainer.train(resume_from_checkpoint=checkpoint)
        _keep(trainer, tokenizer, folder)
    record.results = _results(folder, trainer, rows)
    if leads():
        _draw(Journal(folder))
        finish(folder)
        record.write(folder)
    wait()
    found = open_folder(folder.resolve(), str(out))
    assert isinstance(found, Pretrained)
    return found


def _opened(start: str | Path | Backbone) -> Any:
    return load(str(start)) if isinstance(start, str | Path) else start


def _kind(kind: Kind | None, start: Any) -> Kind:
    """What is learned. Raises UserError where `start` has no head for it."""
    if kind is not None and kind not in get_args(Kind):
        raise UserError(
            "pretrain: there is no kind {kind!r}.", "Choose one of {Kind}.", kind=kind, Kind=", ".join(get_args(Kind))
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
            "pretrain: {start_name} is neither a causal nor a masked language model, so it has no head "
            "that tells tokens.",
            "Start from one that is, or leave out start to begin from nothing.",
            start_name=start.name,
        )
    if kind == "masked+next" and architecture(start.folder) != "BertForPreTraining":
        raise UserError(
            "pretrain: {start_name} has no head for the next sentence beside the one for gaps.",
            'Take  kind="{known}"  or begin from nothing.',
            start_name=start.name,
            known=known,
        )
    if kind is not None and kind != known and kind != "masked+next":
        raise UserError(
            "pretrain: {start_name} is a {known} model, not a {kind} one.",
            'Take  kind="{known}"',
            start_name=start.name,
            known=known,
            kind=kind,
        )
    return kind or known


def _split(texts: list[Any], join: bool, held_out: float, seed: int) -> tuple[list[str], list[str]]:
    """Texts to learn from, and those that are held out, at random; copies of a text lie in one part."""
    if not 0 < held_out < 1:
        raise UserError(
            "pretrain: held_out {held_out}.", "Give a share between 0 and 1, such as 0.1.", held_out=held_out
        )
    read = passages(texts) if join else [text for text in texts if isinstance(text, str) and text.strip()]
    unique = list(dict.fromkeys(read))
    if len(unique) < 2:
        raise UserError(
            "pretrain: {n_unique} different texts are too few: some must be held out.",
            "Give more; a long text can be given as its paragraphs.",
            n_unique=len(unique),
        )
    count = min(max(1, round(held_out * len(unique))), len(unique) - 1)
    drawn = np.random.default_rng(seed).permutation(len(unique))[:count]
    apart = {unique[i] for i in drawn}
    return [text for text in read if text not in apart], [text for text in unique if text in apart]


def _ground(start: Any, kind: Kind, texts: list[str], size: Size, max_tokens: int) -> tuple[Any, Any, int]:
    """The tokenizer, the config, and how many tokens are read at once."""
    if max_tokens != int(max_tokens) or max_tokens < 8:
        raise UserError("pretrain: max_tokens {max_tokens}.", "Give a whole number, 8 or more.", max_tokens=max_tokens)
    if start is None:
        size.check()
        tokenizer = tokenizer_for(kind, texts, size.vocabulary, max_tokens)
        return tokenizer, config_for(kind, size, tokenizer, max_tokens), max_tokens
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(str(start.folder), local_files_only=True)
    return start.tokenizer, config, min(max_tokens, start.max_tokens or max_tokens)


def _check_memory(kind: Kind, config: Any, how: Settings, tokens: int) -> None:
    mixed = how.precision != "float32"
    wanted = memory_estimate.needed(
        weights_of(kind, config), config, rows=how.batch, tokens=tokens, mixed=mixed, checkpointing=how.checkpointing
    )
    memory_estimate.check(wanted, "pretrain")


def _model(start: Any, kind: Kind, config: Any) -> Any:
    """Weights that may change: new ones, or a copy of those in the start's folder."""
    if start is None:
        return build(kind, config)
    import transformers

    wanted = {"dtype": "float32", "use_safetensors": True, "local_files_only": True, "output_loading_info": True}
    model, read = getattr(transformers, CLASSES[kind]).from_pretrained(str(start.folder), **wanted)
    missing = sorted({name for name, _ in model.named_parameters()} & set(read["missing_keys"]))
    if missing:
        raise UserError(
            "pretrain: the weights in {folder} lack {missing}, which would be random.",
            "Start from a model that was saved whole, for this task.",
            folder=start.folder,
            missing=missing[0],
        )
    return model


def _trainer(
    start: Any, kind: Kind, config: Any, tokenizer: Any, rows: list[Rows], how: Settings, out: Path, journal: Journal
) -> Any:
    from transformers import Trainer, set_seed
    from transformers.trainer_callback import PrinterCallback

    labels = ["labels"] + ["next_sentence_label"] * (kind == "masked+next")
    more = {"eval_strategy": "epoch", "label_names": labels}
    rate = NEW if start is None else GOING_ON
    told = arguments(out, how, rate, len(rows[0]), **more)
    set_seed(how.seed)
    model = _model(start, kind, config)
    if how.checkpointing:
        model.gradient_checkpointing_enable()
    trainer = Trainer(
        model=model,
        args=told,
        data_collator=collated(tokenizer),
        train_dataset=rows[0],
        eval_dataset=rows[1],
        compute_metrics=_measured,
        preprocess_logits_for_metrics=_of_next if kind == "causal" else _of_hidden,
        callbacks=[telling(journal, rows[0])],
    )
    trainer.remove_callback(PrinterCallback)
    trainer.model_accepts_loss_kwargs = (
        False  # the losses of masked models are means of a batch, whatever they are told
    )
    return trainer


def _of_next(logits: Any, labels: Any) -> Any:
    """Of each row (b, 3): the sum of −log p of its tokens, how many they are, and 0."""
    return _of_hidden(logits[:, :-1], labels[:, 1:])


def _of_hidden(logits: Any, labels: Any) -> Any:
    """Of each row (b, 3): the sum of −log p of what was to be told, of how many tokens, and whether the next sentence was right."""
    import torch
    from torch.nn.functional import cross_entropy

    right = None
    if isinstance(labels, tuple | list):
        (logits, following), (labels, truth) = logits, labels
        right = (following.argmax(-1) == truth.view(-1)).float()
    loss = cross_entropy(logits.float().transpose(1, 2), labels, ignore_index=IGNORED, reduction="none").sum(1)
    counts = (labels != IGNORED).sum(1).float()
    return torch.stack([loss, counts, torch.zeros_like(loss) if right is None else right], dim=1)


def _measured(found: Any) -> dict[str, float]:
    """What the Trainer logs of held-out texts."""
    rows = np.asarray(found.predictions, dtype=np.float64)
    numbers = perplexity(rows[:, 0], rows[:, 1])
    if isinstance(found.label_ids, tuple | list):
        numbers["next_sentence_accuracy"] = float(rows[:, 2].mean())
    return numbers


def perplexity(losses: Floats, counts: Floats) -> dict[str, float]:
    """exp of the mean −log p of a token, from the sums (n,) and numbers of tokens (n,) of n rows, with its 95 % interval.

    The interval is that of a ratio of means over rows: tokens of a row are not independent.

    >>> perplexity(np.log([4.0, 4.0]), np.ones(2))
    {'perplexity': 4.0, 'perplexity_low': 4.0, 'perplexity_high': 4.0}
    """
    mean = losses.sum() / counts.sum()
    error = math.sqrt(((losses - mean * counts) ** 2).sum()) / counts.sum()
    bounds = {"": mean, "_low": mean - _Z * error, "_high": mean + _Z * error}
    return {f"perplexity{name}": round(float(np.exp(min(value, 700.0))), 4) for name, value in bounds.items()}


def _keep(trainer: Any, tokenizer: Any, folder: Path) -> None:
    """The model and its tokenizer, as transformers saves them."""
    trainer.accelerator.wait_for_everyone()
    if leads():
        trainer.accelerator.unwrap_model(trainer.model).eval().save_pretrained(folder)
        tokenizer.save_pretrained(folder)


def _draw(journal: Journal) -> None:
    """The curves of what was written."""
    written = {name for line in journal.lines() for name in line}
    journal.draw({title: names for title, names in PANELS.items() if written & set(names)})


def _results(folder: Path, trainer: Any, rows: list[Rows]) -> dict[str, Any]:
    """What was measured after each epoch, and how large the work was."""
    lines = [line for line in Journal(folder).lines() if line["event"] == HELD]
    kept = ("epoch", "perplexity", "perplexity_low", "perplexity_high", "next_sentence_accuracy")
    epochs = [{name: line[name] for name in kept if name in line} for line in lines]
    for each in epochs:
        if (share := each.get("next_sentence_accuracy")) is not None:
            each["next_sentence_interval"] = interval(round(share * len(rows[1])), len(rows[1]))
    weights = sum(part.numel() for part in trainer.accelerator.unwrap_model(trainer.model).parameters())
    return {"weights": weights, "rows": len(rows[0]), "held_out_rows": len(rows[1]), "epochs": epochs}
