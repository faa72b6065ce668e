"""Pretraining: a model learns from texts alone, is measured on held-out texts, and a killed run resumes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tiny
from rung import UserError, load
from rung.backbones.common.control_tokens import ControlTokens
from rung.training import memory_estimate
from rung.training.pretraining.from_scratch import Size, train_tokenizer
from rung.training.pretraining.lm_datasets import (
    IGNORED_LABEL,
    CausalDataset,
    MaskedDataset,
    NextSentenceDataset,
    concatenate,
    tokenize_texts,
    whole_word_mask,
)
from rung.training.pretraining.pretrain import pretrain
from rung.training.provenance import Record

pytestmark = pytest.mark.torch

SMALL = Size(vocabulary=320, dimensions=16, layers=1, heads=2)
TEXTS = [
    f"{who} asked for {what}. Then {who} went {where}.\nNobody saw {who} again."
    for who in ("the king", "a soldier", "my sister", "her friend")
    for what in ("bread", "a horse", "the letter")
    for where in ("home", "to the sea", "away")
]
QUICK: dict[str, Any] = {"size": SMALL, "max_tokens": 32, "epochs": 2, "batch": 4}


def held_out_perplexities(folder: Path) -> list[float]:
    return [line["perplexity"] for line in Record.read(folder).results["epochs"]]


@pytest.mark.parametrize("kind", ["causal", "masked", "masked+next"])
def test_a_new_model_learns_from_texts_alone(kind: Any, tmp_path: Path) -> None:
    """The held-out perplexity falls from that of a random guess; the folder loads as a backbone, with record and log."""
    made = pretrain(TEXTS, out=tmp_path / "model", kind=kind, **(QUICK | {"epochs": 6}))
    record = Record.read(tmp_path / "model")
    first, *_, last = held_out_perplexities(tmp_path / "model")
    assert last < 0.8 * first
    assert 0.5 < first / made.config["vocab_size"] < 2.5  # about a random guess: the initial weights are random
    assert (record.by, record.parent, record.settings["kind"]) == ("pretrain", None, kind)
    assert record.inputs["texts"]["rows"] + record.inputs["held-out texts"]["rows"] == len(TEXTS)
    again = load(str(tmp_path / "model"))
    assert again.fingerprint == made.fingerprint
    assert again.score(["the king {}" if kind != "causal" else "the king"], ["asked", "zebra"])[0].argmax() == 0
    events = [json.loads(line)["event"] for line in (tmp_path / "model" / "log.jsonl").read_text("utf-8").splitlines()]
    assert events.count("held out") == 7
    assert "train" in events
    assert not (tmp_path / "model" / "checkpoints").exists()
    if kind == "masked+next":
        both = load(f"{tmp_path / 'model'}?head=next-sentence").score([TEXTS[0]], ["Nobody saw the king again."])
        assert np.isfinite(both).all()
        assert 0 <= record.results["epochs"][-1]["next_sentence_accuracy"] <= 1


def test_curves_are_drawn(tmp_path: Path) -> None:
    """The SVG shows loss, held-out perplexity and learning rate."""
    pytest.importorskip("matplotlib")
    pretrain(TEXTS, out=tmp_path / "model", **QUICK)
    page = (tmp_path / "model" / "curves.svg").read_text("utf-8")
    assert all(title in page for title in ("loss", "perplexity, held out", "learning rate"))
    assert "next sentence" not in page


def test_the_measured_perplexity_is_the_backbones_own(tmp_path: Path) -> None:
    """The perplexity that was logged for a held-out text is the one that the finished model gives, end token included."""
    texts = [*TEXTS[:4], "the horse went home"]
    for seed in range(20):  # until the short one is held out
        shutil.rmtree(tmp_path / "model", ignore_errors=True)
        made: Any = pretrain(texts, out=tmp_path / "model", seed=seed, **(QUICK | {"epochs": 1, "max_tokens": 64}))
        if Record.read(tmp_path / "model").results["held_out_rows"] == 1:
            break
    held = next(text for text in texts if text not in _training_texts(texts, seed))
    tokens, log_p = made.log_probabilities([held])[0]
    end = made.score([held], ["<|endoftext|>"])[0, 0]
    expected = np.exp(-(log_p.sum() + end) / (len(tokens) + 1))
    assert held_out_perplexities(tmp_path / "model")[-1] == pytest.approx(expected, rel=1e-4)


def _training_texts(texts: list[str], seed: int) -> list[str]:
    from rung.training.pretraining.pretrain import _split_held_out

    return _split_held_out(texts, False, 0.1, seed)[0]


def test_same_texts_and_seed_make_the_same_model(tmp_path: Path) -> None:
    """The fingerprint depends on texts, settings and seed, and on nothing else."""
    made = [
        pretrain(TEXTS, out=tmp_path / name, seed=seed, kind="masked", **(QUICK | {"epochs": 1}))
        for name, seed in (("a", 0), ("b", 0), ("c", 1))
    ]
    assert made[0].fingerprint == made[1].fingerprint != made[2].fingerprint


@pytest.mark.parametrize("kind", ["causal", "masked", "masked+next"])
def test_continued_pretraining_leaves_the_start_as_it_was(kind: Any, tmp_path: Path) -> None:
    """The new backbone has its own fingerprint and is better on such texts; its record holds the fingerprint of the start."""
    if kind == "causal":
        start = load(str(tiny.gpt2(tmp_path / "start")))
    else:
        start = load(
            str(tiny.bert("BertForMaskedLM" if kind == "masked" else "BertForPreTraining", tmp_path / "start"))
        )
    before = start.fingerprint
    made = pretrain(TEXTS, out=tmp_path / "model", start=start, kind=kind, epochs=2, learning_rate=3e-3, max_tokens=32)
    assert made.fingerprint != before == load(str(tmp_path / "start")).fingerprint
    assert Record.read(tmp_path / "model").parent == {"name": start.name, "fingerprint": before}
    first, *_, last = held_out_perplexities(tmp_path / "model")
    assert last < first
    assert made.tokenizer.get_vocab() == start.tokenizer.get_vocab()  # type: ignore[attr-defined]


class KilledError(Exception):
    pass


@pytest.mark.parametrize(("kind", "at"), [("causal", 14), ("causal", 18), ("masked+next", 14)])
def test_a_killed_run_resumes_to_the_same_weights(kind: Any, at: int, tmp_path: Path) -> None:
    """A run that is killed within an epoch and called again ends with the same weights as a run that was not interrupted."""
    how = QUICK | {"epochs": 3, "save_every": 3, "kind": kind}
    alone = pretrain(TEXTS, out=tmp_path / "alone", **how)

    def kill(step: int, *_: object) -> None:
        if step == at:
            raise KilledError

    with pytest.raises(KilledError):
        pretrain(TEXTS, out=tmp_path / "killed", progress=kill, **how)
    steps: list[int] = []
    again = pretrain(TEXTS, out=tmp_path / "killed", progress=lambda step, *_: steps.append(step), **how)
    assert 1 < steps[0] <= at
    assert again.fingerprint == alone.fingerprint
    assert held_out_perplexities(tmp_path / "killed") == held_out_perplexities(tmp_path / "alone")


def test_another_training_is_not_resumed(tmp_path: Path) -> None:
    """A folder with a checkpoint of another training, with a finished model, or with other files is refused and not touched."""
    how = QUICK | {"epochs": 1, "save_every": 1}

    def kill(step: int, *_: object) -> None:
        if step == 2:  # there is a checkpoint of the first step
            raise KilledError

    with pytest.raises(KilledError):
        pretrain(TEXTS, out=tmp_path / "model", progress=kill, **how)
    with pytest.raises(UserError, match="held-out texts, epochs, seed"):
        pretrain(TEXTS, out=tmp_path / "model", seed=3, **(how | {"epochs": 2}))
    with pytest.raises(UserError, match="differs in: texts"):
        pretrain(TEXTS[1:], out=tmp_path / "model", **how)
    pretrain(TEXTS, out=tmp_path / "model", **how)
    with pytest.raises(UserError, match="this model already"):
        pretrain(TEXTS, out=tmp_path / "model", **how)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("x", "utf-8")
    with pytest.raises(UserError, match="holds other files"):
        pretrain(TEXTS, out=tmp_path / "mine", **how)


def test_a_loss_of_nan_is_an_error(tmp_path: Path) -> None:
    """Weights that overflow end the training with a UserError."""
    import torch
    from transformers import GPT2LMHeadModel

    model = GPT2LMHeadModel.from_pretrained(tiny.gpt2(tmp_path / "start"))
    with torch.no_grad():
        model.transformer.wte.weight[:] = float("nan")
    model.save_pretrained(tmp_path / "start")
    with pytest.raises(UserError, match="the loss is nan"):
        pretrain(TEXTS, out=tmp_path / "model", start=tmp_path / "start", epochs=1, max_tokens=32)


def test_too_little_memory_is_an_error_before_it_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error gives the memory that is needed and that is free, and no folder is made."""
    monkeypatch.setattr(memory_estimate, "available_bytes", lambda: 1000)
    with pytest.raises(UserError, match=r"of memory are needed, 0.0 GiB are free"):
        pretrain(TEXTS, out=tmp_path / "model", **QUICK)
    assert not (tmp_path / "model").exists()


def test_memory_grows_with_the_batch_and_less_with_checkpointing() -> None:
    """The estimate covers at least weights, gradients and both moments of Adam."""
    from transformers import GPT2Config

    config = GPT2Config()
    few, many = (memory_estimate.training_bytes(10**8, config, rows=rows, tokens=512) for rows in (1, 16))
    assert 16 * 10**8 < few < many
    assert memory_estimate.training_bytes(10**8, config, rows=16, tokens=512, checkpointing=True) < many
    assert memory_estimate.available_bytes() > 0


def test_fifteen_percent_in_whole_words() -> None:
    """Either all tokens of a word are masked or none; on average 15 % of the tokens, and a little more for whole words."""
    words = np.repeat(np.arange(40), np.tile([1, 2, 3, 1], 10))
    shares = []
    for seed in range(200):
        places = whole_word_mask(words, np.random.default_rng(seed))
        assert set(words[places]).isdisjoint(words[np.setdiff1d(np.arange(len(words)), places)])
        shares.append(len(places) / len(words))
    assert 0.15 <= np.mean(shares) <= 0.17


def test_masks_change_with_the_epoch_but_never_for_held_out_texts() -> None:
    """The labels are the original tokens; in held-out texts every predicted token is the mask token."""
    tokenizer = train_tokenizer("masked", TEXTS, 320, 32)
    masked = MaskedDataset(TEXTS, tokenizer, 32, seed=0)
    first = masked[0]
    masked.epoch = 1
    assert not np.array_equal(first["labels"], masked[0]["labels"])
    held = MaskedDataset(TEXTS, tokenizer, 32, seed=0, held_out=True)
    for i in range(len(held)):
        row, hidden = held[i], held[i]["labels"] != IGNORED_LABEL
        assert (row["input_ids"][hidden] == tokenizer.mask_token_id).all()
        restored = np.where(hidden, row["labels"], row["input_ids"])
        assert restored[1:-1].tolist() == held.chunks[i].ids.tolist()
        assert len(restored) <= 32


def test_pairs_have_the_right_next_sentence_label() -> None:
    """A second span that is labelled as the next one follows the first in its text; else it is of another text; half each."""
    words = ["red", "blue", "gold", "pink"]
    texts = [" ".join(f"{word} n{i}." for i in range(12)) for word in words]
    tokenizer = train_tokenizer("masked", texts, 320, 40)
    rows = NextSentenceDataset(texts, tokenizer, 40, seed=0)
    unrelated = []
    for epoch in range(60):
        rows.epoch = epoch
        first, second, elsewhere = rows._sentence_pair(rows._generator(epoch))
        a, b = (tokenizer.decode(piece.ids).replace(" ", "") for piece in (first, second))
        whole = "".join(texts[words.index(next(word for word in words if word in a))].split())
        assert (a + b in whole) != elsewhere
        unrelated.append(elsewhere)
        row = rows[epoch % len(rows)]
        assert len(row["input_ids"]) == len(row["labels"]) == len(row["token_type_ids"]) <= 40
    assert 0.3 < np.mean(unrelated) < 0.7


def test_blocks_hold_every_token_once() -> None:
    """The blocks lose no token, and the end token separates the texts."""
    tokenizer = train_tokenizer("causal", TEXTS, 320, 16)
    blocks = CausalDataset(TEXTS, tokenizer, 16, seed=0)
    stream = [int(i) for row in range(len(blocks)) for i in blocks[row]["input_ids"]]
    assert tokenizer.decode(stream).split("<|endoftext|>")[1:-1] == TEXTS


@pytest.mark.parametrize("kind", ["wordpiece", "unmarked", "unigram"])
def test_control_tokens_in_a_text_are_learned_as_text(kind: str, tmp_path: Path) -> None:
    """No text ends itself, hides a word or shows a mark of its own, in whatever kind of vocabulary."""
    tokenizer = tiny.TOKENIZERS[kind](tmp_path)
    control = ControlTokens(tokenizer)
    texts = [f"my card {spelled} is lost. the app crashes {spelled}" for spelled in tiny.CONTROL_TOKENS]
    for row in tokenize_texts(tokenizer, texts):
        assert control.count(row.ids.tolist()) == 0
    blocks = CausalDataset(texts, tokenizer, 16, seed=0)
    stream = [int(i) for row in range(len(blocks)) for i in blocks[row]["input_ids"]]
    ends = 0 if tokenizer.eos_token_id is None else len(texts) + 1
    assert control.count(stream) == ends


def test_words_of_two_texts_stay_apart() -> None:
    """Concatenated texts share no word index."""
    both = concatenate(tokenize_texts(train_tokenizer("masked", TEXTS, 320, 40), ["the king", "a horse"]))
    assert len(np.unique(both.words)) == 4


@pytest.mark.parametrize(
    ("how", "match"),
    [
        ({"epoch": 3}, "Did you mean 'epochs'"),
        ({"epochs": 0}, "epochs is 0"),
        ({"kind": "cusal"}, "there is no kind"),
        ({"held_out": 1.0}, "held_out is 1.0"),
        ({"learning_rate": -1.0}, "learning_rate"),
        ({"precision": "int8"}, "no precision 'int8'"),
        ({"max_tokens": 2}, "max_tokens is 2"),
        ({"size": Size(heads=3)}, "cannot be divided among 3 heads"),
        ({"size": Size(vocabulary=10)}, "a vocabulary of 10"),
        ({"start": "builtin"}, "neither a causal nor a masked"),
        ({"texts": ["one", "one", None, " "]}, "1 different texts are too few"),
        ({"texts": ["one", "two", "three"], "kind": "masked+next"}, "two sentences or more"),
    ],
)
def test_invalid_settings_are_refused(how: dict[str, Any], match: str, tmp_path: Path) -> None:
    """Each invalid setting raises UserError before a folder is made."""
    with pytest.raises(UserError, match=match):
        pretrain(how.pop("texts", TEXTS), out=tmp_path / "model", **how)
    assert not (tmp_path / "model").exists()


def test_a_start_without_the_head_is_refused(tmp_path: Path) -> None:
    """A masked model without next-sentence head, and a model of another kind, raise UserError."""
    start = tiny.bert("BertForMaskedLM", tmp_path / "start")
    with pytest.raises(UserError, match="no head for the next sentence"):
        pretrain(TEXTS, out=tmp_path / "model", start=start, kind="masked+next")
    with pytest.raises(UserError, match="a masked model, not a causal one"):
        pretrain(TEXTS, out=tmp_path / "model", start=start, kind="causal")
