"""Encoder–decoder models: the plain computation of transformers, whatever is shared or batched."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tiny
from rung import Classifier, UserError, load
from rung.backbones.seq2seq import Seq2SeqBackbone

pytestmark = [pytest.mark.torch, pytest.mark.filterwarnings("ignore:Recommended. pip install sacremoses")]

KINDS = ["t5", "bart", "marian"]
PROMPTS = [
    "my card is lost, please help me",
    "the app crashes again and again",
    "money",
    "it was a great film about the card",
]
CANDIDATES = ["card", "card about money", "card about film", "the app", "film", ""]


def made(folder: Path, kind: str) -> Seq2SeqBackbone:
    """A model with random weights, large enough that what it should not see shows; saved, and loaded by its folder."""
    import torch
    import transformers as tf

    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    if kind == "t5":
        tokens = tiny.pieces(folder / "spiece.model")
        tf.T5TokenizerFast(vocab=tokens, extra_ids=0).save_pretrained(folder)
        config: Any = tf.T5Config(
            vocab_size=len(tokens), d_model=32, d_kv=8, d_ff=64, num_layers=2, num_heads=4, decoder_start_token_id=0
        )
        model: Any = tf.T5ForConditionalGeneration(config)
    elif kind == "bart":
        tokenizer = tiny.byte_level(folder, "BartTokenizer")
        config = tf.BartConfig(
            vocab_size=len(tokenizer),
            max_position_embeddings=64,
            **tiny.SMALL_PAIR,
            bos_token_id=0,
            pad_token_id=1,
            eos_token_id=2,
            decoder_start_token_id=2,
            forced_bos_token_id=0,
        )
        model = tf.BartForConditionalGeneration(config)
    else:
        tokens = tiny.pieces(folder / "source.spm")
        (folder / "target.spm").write_bytes((folder / "source.spm").read_bytes())
        vocabulary = {piece: i for i, (piece, _) in enumerate(tokens)}
        vocabulary.setdefault("<pad>", len(vocabulary))
        import json

        (folder / "vocab.json").write_text(json.dumps(vocabulary), "utf-8")
        spm = [str(folder / f"{side}.spm") for side in ("source", "target")]
        tokenizer = tf.MarianTokenizer(
            *spm, str(folder / "vocab.json"), eos_token="</s>", unk_token="<unk>", pad_token="<pad>"
        )
        tokenizer.save_pretrained(folder)
        pad = tokenizer.pad_token_id
        config = tf.MarianConfig(
            vocab_size=len(vocabulary),
            max_position_embeddings=64,
            **tiny.SMALL_PAIR,
            pad_token_id=pad,
            decoder_start_token_id=pad,
            eos_token_id=tokenizer.eos_token_id,
        )
        model = tf.MarianMTModel(config)
    with torch.no_grad():
        for weights in model.parameters():
            if weights.ndim > 1:
                weights.mul_(3)
    backbone = load(str(tiny.save(model, folder)))
    assert isinstance(backbone, Seq2SeqBackbone)
    return backbone


@pytest.fixture(scope="module")
def make(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Seq2SeqBackbone]:
    found: dict[str, Seq2SeqBackbone] = {}

    def one(kind: str) -> Seq2SeqBackbone:
        if kind not in found:
            found[kind] = made(tmp_path_factory.mktemp(kind) / kind, kind)
        return found[kind]

    return one


def plain(backbone: Seq2SeqBackbone, prompt: str, candidate: str) -> float:
    """log p(candidate | prompt) as transformers computes it of this pair alone."""
    import torch

    settings = backbone.model.generation_config
    begin = [
        settings.decoder_start_token_id,
        *([] if settings.forced_bos_token_id is None else [settings.forced_bos_token_id]),
    ]
    ids = backbone.tokenizer(candidate, add_special_tokens=False)["input_ids"]
    if not ids:
        return 0.0
    encoded = backbone.tokenizer(prompt, return_tensors="pt")
    with torch.no_grad():
        logits = backbone.model(
            input_ids=encoded["input_ids"],
            attention_mask=encoded["attention_mask"],
            decoder_input_ids=torch.tensor([[*begin, *ids[:-1]]]),
        ).logits[0]
    told = logits[len(begin) - 1 :].log_softmax(-1)
    return float(told[torch.arange(len(ids)), torch.tensor(ids)].sum())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [4096, 16])
def test_scores_are_those_of_each_pair_alone(make: Callable[[str], Seq2SeqBackbone], kind: str, size: int) -> None:
    """Whatever is encoded together, and whatever beginnings candidates share: within 1e-4 of the plain computation."""
    backbone = make(kind)
    backbone.tokens_at_once = size
    found = backbone.score(PROMPTS, CANDIDATES)
    expected = [[plain(backbone, prompt, candidate) for candidate in CANDIDATES] for prompt in PROMPTS]
    assert found.dtype == np.float32
    assert np.abs(found - np.array(expected)).max() < 1e-4
    assert (found[:, -1] == 0).all()
    assert np.abs(np.diff(found[:, :-1], axis=0)).max() > 1e-3  # the prompt is heeded


@pytest.mark.parametrize("kind", KINDS)
def test_writing_does_not_hang_on_the_company(make: Callable[[str], Seq2SeqBackbone], kind: str) -> None:
    """A prompt's text is the same alone and among others, also where tokens are drawn; another seed draws others."""
    backbone = make(kind)
    backbone.tokens_at_once = 4096
    together = backbone.generate(PROMPTS, max_tokens=6)
    assert together == [backbone.generate([prompt], max_tokens=6)[0] for prompt in PROMPTS]
    drawn = backbone.generate(PROMPTS, max_tokens=6, temperature=2.0)
    assert drawn[1] == backbone.generate(PROMPTS[1:2], max_tokens=6, temperature=2.0)[0]
    assert drawn != backbone.generate(PROMPTS, max_tokens=6, temperature=2.0, seed=1)


def test_it_is_a_backbone_like_the_others(make: Callable[[str], Seq2SeqBackbone]) -> None:
    """A Classifier takes it, with another backbone's geometry; a long text is cut and counted; nothing is a score of none."""
    backbone = make("bart")
    backbone.tokens_at_once = 4096
    clf = Classifier(["card", "film", "app"], backbone=backbone, geometry="builtin", cache=False)
    assert set(clf.predict(PROMPTS)) <= {"card", "film", "app"}
    assert clf.fit(PROMPTS * 5).predict_proba(PROMPTS).shape == (4, 3)
    assert backbone.cut(["card " * 200, "card"]) == 1
    assert np.isfinite(backbone.score(["card " * 200], CANDIDATES)).all()
    assert backbone.score([], CANDIDATES).shape == (0, 6)
    assert backbone.lengths(["card", ""]).tolist()[1] == 0
    with pytest.raises(UserError, match="cannot embed; it can generate and score"):
        Classifier(["a", "b"], backbone="builtin", geometry=backbone).predict(["a"])
