"""Encoder–decoder models: scores equal those of transformers, with one pass of the encoder per text."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tiny
from rung import Classifier, UserError, load
from rung.backbones.common import precision
from rung.backbones.prompt import Prompt
from rung.backbones.seq2seq import Seq2SeqBackbone
from rung.inference.label_scoring import score_labels
from rung.inference.prompts import label_prompts
from rung.labels import Labels

pytestmark = [pytest.mark.torch, pytest.mark.filterwarnings("ignore:Recommended. pip install sacremoses")]

PROMPTS = [
    "my card is lost",
    "refund my money, the invoice is wrong",
    "",
    "Zürich 我的卡",
    "the app " * 4,
    "my card is lost",
]
CANDIDATES = ["card", "card is lost", "card is", "the app", "money", "", "the app crashes again", "card"]
SHARED = ["this is about money", "this is about money and the card", "this is about the app"]
KINDS: dict[str, Callable[[Path], Path]] = {
    "t5": tiny.t5,
    "bart": lambda folder: tiny.bart("BartForConditionalGeneration", folder),
    "marian": tiny.marian,
    "m2m": tiny.m2m,
}


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One model of each kind, with random weights."""
    home = tmp_path_factory.mktemp("seq2seq")
    return {kind: make(home / kind) for kind, make in KINDS.items()}


@pytest.fixture(scope="session")
def wide(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The same models with room for a question, its labels and a text."""
    home, size = tmp_path_factory.mktemp("wide"), {"max_position_embeddings": 256}
    return {
        "t5": tiny.t5(home / "t5"),
        "bart": tiny.bart("BartForConditionalGeneration", home / "bart", **size),
        "marian": tiny.marian(home / "marian", **size),
        "m2m": tiny.m2m(home / "m2m", **size),
    }


def opened(folders: dict[str, Path], kind: str) -> Seq2SeqBackbone:
    found = load(str(folders[kind]), **({"source": "en", "target": "de"} if kind == "m2m" else {}))
    assert isinstance(found, Seq2SeqBackbone)
    return found


@pytest.fixture(params=list(KINDS))
def backbone(request: pytest.FixtureRequest, folders: dict[str, Path]) -> Seq2SeqBackbone:
    return opened(folders, request.param)


@cache
def reference(folder: Path) -> tuple[Any, Any]:
    """Tokenizer and model as transformers reads them."""
    import torch
    from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

    languages = {"src_lang": "en", "tgt_lang": "de"} if folder.name == "m2m" else {}
    model = AutoModelForSeq2SeqLM.from_pretrained(folder, dtype=torch.float32).eval()
    return AutoTokenizer.from_pretrained(folder, **languages), model


@cache
def plain(folder: Path, prompt: str, candidate: str) -> float:
    """log p of one candidate after one prompt, end token included, from transformers' own labels of the whole target."""
    import torch

    tokenizer, model = reference(folder)
    encoded = tokenizer(prompt, text_target=candidate, return_tensors="pt")
    with torch.inference_mode():
        log_p = model(**encoded).logits[0].log_softmax(-1)
    told = log_p[torch.arange(len(log_p)), encoded["labels"][0]]
    return float(told[1 if folder.name in ("bart", "m2m") else 0 :].sum())  # their first token is given


@pytest.mark.parametrize("said", [CANDIDATES, SHARED, SHARED[:1]])
def test_it_gives_what_transformers_gives(
    backbone: Seq2SeqBackbone, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """For any batch size, padding side and shared prefix, each score is that of its pair alone."""
    expected = np.array([[plain(backbone.folder, prompt, each) for each in said] for prompt in PROMPTS])
    monkeypatch.setattr(backbone.tokenizer, "padding_side", "left")
    for tokens in (1, 60, 4096):
        monkeypatch.setattr(backbone, "tokens_at_once", tokens)
        found = backbone.score(PROMPTS, said)
        assert found.dtype == np.float32
        assert found == pytest.approx(expected, abs=1e-4)
    assert backbone._reuses_cache
    monkeypatch.setattr(backbone, "_reuses_cache", False)
    assert backbone.score(PROMPTS, said) == pytest.approx(expected, abs=1e-4)
    assert expected[:5].std(axis=0).min() > 0.01


def test_the_encoder_reads_each_text_once(backbone: Seq2SeqBackbone, monkeypatch: pytest.MonkeyPatch) -> None:
    """For any number of candidates, the encoder reads each text once, and the decoder the shared prefix once per text."""
    read, written = [], []
    encoder, whole = type(backbone.model.get_encoder()), type(backbone.model)
    reads, writes = encoder.forward, whole.forward

    def counted(self: Any, *given: Any, **batch: Any) -> Any:
        if self is backbone.model.get_encoder():  # T5's decoder is of the same class
            read.append(len(batch["input_ids"]))
        return reads(self, *given, **batch)

    def counted_whole(self: Any, **batch: Any) -> Any:
        written.append(batch["decoder_input_ids"].shape[1])
        return writes(self, **batch)

    assert backbone._reuses_cache
    monkeypatch.setattr(encoder, "forward", counted)
    monkeypatch.setattr(whole, "forward", counted_whole)
    backbone.score(PROMPTS[:2] * 3, SHARED)
    assert sum(read) == 2
    stem = len(backbone._targets(["this is about"])[0]) - 1
    assert written[0] >= stem + 1
    assert max(written[1:]) <= max(backbone.lengths(SHARED)) - stem


def test_answers_exclude_each_other(backbone: Seq2SeqBackbone) -> None:
    """Since the end token counts, the probabilities of different answers sum to 1 or less."""
    vocabulary = backbone.model.config.vocab_size
    backbone._targets = lambda candidates: [[int(i), end] for i in candidates]  # type: ignore[method-assign]
    end = backbone._target_special_tokens[1][0]
    try:
        one = np.exp(
            backbone.score(["my card"], [str(i) for i in range(vocabulary) if i != end]).astype(np.float64)
        ).sum()
    finally:
        del backbone._targets
    empty = np.exp(float(backbone.score(["my card"], [""])[0, 0]))
    assert 0 < one < 1
    assert one + empty < 1
    whole = len(backbone.tokenizer(text_target="card")["input_ids"])
    assert backbone.lengths(["", "card"]).tolist() == [1, whole - (len(backbone._decoder_start_ids) - 1)]


def test_nothing_gives_nothing(backbone: Seq2SeqBackbone) -> None:
    """No prompts or no candidates give an empty matrix."""
    assert backbone.score([], ["a"]).shape == (0, 1)
    assert backbone.score(["a"], []).shape == (1, 0)
    assert backbone.generate([], max_tokens=9) == []


def test_long_prompts_lose_their_middle(folders: dict[str, Path]) -> None:
    """The beginning and the end of a long text are read."""
    backbone = opened(folders, "bart")
    assert backbone.max_tokens == 64
    said = "the app " + "card is lost " * 200
    found = backbone.score(
        [f"{said}money", f"{said}film", f"money {said}", f"{said} refund {said}", said + said], ["card"]
    )[:, 0]
    assert len({round(float(each), 4) for each in found[:3]}) == 3
    assert backbone.cut([said, "short"]) == 1
    ids = backbone.tokenizer(said * 2, add_special_tokens=False)["input_ids"]
    kept = backbone.tokenizer.decode([*ids[:31], *ids[-31:]])
    assert backbone.score([said * 2], ["card"]) == pytest.approx(backbone.score([kept], ["card"]), abs=1e-3)


def test_only_the_text_of_a_prompt_is_cut(folders: dict[str, Path]) -> None:
    """The frame around a long text is read completely, and control tokens in the text are plain characters."""
    backbone = opened(folders, "bart")
    encode = partial(backbone.tokenizer, add_special_tokens=False)
    prompt = Prompt("refund or card?", " the app" * 200, "\nLabel:")
    before, text, after = (encode(part)["input_ids"] for part in (prompt.before, prompt.text, prompt.after))
    room = 62 - len(before) - len(after)
    kept = [*before, *text[: room - room // 2], *text[len(text) - room // 2 :], *after]
    passed = next(iter(backbone._batches([prompt], 4096)))[1]
    assert passed["input_ids"][0].tolist() == [0, *kept, 2]
    assert backbone.cut([prompt, Prompt("refund or card?", " the app", "\nLabel:")]) == 1
    with pytest.raises(UserError, match="the question and the labels take"):
        backbone.score([Prompt("refund or card? " * 20, "a")], ["card"])


def test_control_tokens_in_a_text_are_text(backbone: Seq2SeqBackbone) -> None:
    """An end token in a person's text does not end it."""
    end = backbone.tokenizer.eos_token
    apart = f"{end[:1]} {end[1:]}"
    found, expected = (
        backbone.score([Prompt("so ", f"my card{each} is lost", "?")], CANDIDATES) for each in (end, apart)
    )
    assert found == pytest.approx(expected, abs=1e-5)
    assert found != pytest.approx(backbone.score([f"so my card{end} is lost?"], CANDIDATES), abs=1e-3)


def test_an_answer_longer_than_the_model_writes_is_refused(folders: dict[str, Path]) -> None:
    """An answer longer than the decoder's positions is refused."""
    backbone = opened(folders, "marian")
    with pytest.raises(UserError, match="the model writes 64 at most"):
        backbone.score(["a"], ["x y z " * 60])
    with pytest.raises(UserError, match="the model writes 64 at most"):
        backbone.generate(["a"], max_tokens=100)
    with pytest.raises(UserError, match="max_tokens: got 0"):
        backbone.generate(["a"], max_tokens=0)


def test_it_generates_what_transformers_generates(backbone: Seq2SeqBackbone, monkeypatch: pytest.MonkeyPatch) -> None:
    """`generate` gives what transformers gives for each prompt alone, in batches of any size, in the chosen language."""
    import torch

    wanted = []
    for prompt in PROMPTS:
        encoded = backbone.tokenizer(prompt, return_tensors="pt")
        told = {"forced_bos_token_id": backbone.tokenizer.get_lang_id("de")} if backbone.folder.name == "m2m" else {}
        with torch.inference_mode():
            ids = backbone.model.generate(**encoded, max_new_tokens=9, do_sample=False, **told)[0]
        wanted.append(backbone.tokenizer.decode(ids, skip_special_tokens=True))
    assert backbone.generate(PROMPTS, max_tokens=9) == wanted
    monkeypatch.setattr(backbone, "tokens_at_once", 1)
    assert backbone.generate(PROMPTS, max_tokens=9) == wanted
    assert backbone.generate(PROMPTS, max_tokens=9, temperature=0) == wanted


def test_sampling_depends_on_seed_and_prompt_alone(backbone: Seq2SeqBackbone) -> None:
    """Sampling depends on the seed and the prompt only, not on the batch."""
    drawn = backbone.generate(PROMPTS, max_tokens=9, seed=1, temperature=2.0)
    assert drawn == [backbone.generate([prompt], max_tokens=9, seed=1, temperature=2.0)[0] for prompt in PROMPTS]
    assert drawn != backbone.generate(PROMPTS, max_tokens=9, seed=2, temperature=2.0)


def test_languages_are_options(folders: dict[str, Path], tmp_path: Path) -> None:
    """Each pair of languages is a backbone of its own, and an unknown language is refused."""
    german, french = opened(folders, "m2m"), load(f"{folders['m2m']}?source=en&target=fr")
    assert isinstance(french, Seq2SeqBackbone)
    assert german._decoder_start_ids[1] == german.tokenizer.get_lang_id("de")
    assert french._decoder_start_ids[1] == german.tokenizer.get_lang_id("fr")
    assert german.fingerprint != french.fingerprint
    assert not np.allclose(german.score(["my card"], ["card"]), french.score(["my card"], ["card"]), atol=1e-4)
    copy = pickle.loads(pickle.dumps(french))
    assert copy.score(["my card"], ["card"]) == pytest.approx(french.score(["my card"], ["card"]), abs=1e-6)
    assert load(french.name).fingerprint == french.fingerprint
    with pytest.raises(UserError, match="no language 'de_DE'"):
        load(f"{folders['m2m']}?target=de_DE").score(["a"], ["b"])  # type: ignore[attr-defined]


def test_a_forced_first_token_is_given(tmp_path: Path) -> None:
    """A first token that the config forces is given to the decoder and does not count."""
    folder = tiny.bart("BartForConditionalGeneration", tmp_path / "forced")
    settings = json.loads((folder / "generation_config.json").read_text("utf-8"))
    (folder / "generation_config.json").write_text(json.dumps(settings | {"forced_bos_token_id": 7}), "utf-8")
    forced = load(str(folder))
    assert isinstance(forced, Seq2SeqBackbone)
    assert forced._decoder_start_ids == [2, 7]


@pytest.mark.parametrize("kind", list(KINDS))
def test_it_labels_texts(wide: dict[str, Path], kind: str) -> None:
    """A classifier labels texts with it, normalizes by the length of names, and does not change it."""
    backbone = opened(wide, kind)
    before = backbone.fingerprint
    labels = Labels.parse({"money": "refunds", "card": {"words": ["my card"]}, "the app": ""})
    assert str(label_prompts(labels, backbone).prompt("x")).endswith("Text: x\nLabel:")
    found, why = score_labels(["my {} card", "a </s> b"], labels, backbone, length="token")
    assert np.isfinite(found).all()
    assert why == [None, None]
    clf = Classifier(labels, backbone=backbone, geometry="builtin", cache=False)
    answers = clf.answers(["my {} card", None, "a </s> b <pad>"])
    assert [answer.label in labels.names for answer in answers] == [True, False, True]
    assert backbone.fingerprint == before


def test_a_small_model_answers_what_it_was_taught(tmp_path: Path) -> None:
    """A T5 that was trained to write the topic of sentences gives it for other sentences: 90 % or more."""
    import torch
    from transformers import T5ForConditionalGeneration

    things = {"pets": ["dog", "cat", "horse"], "food": ["soup", "bread", "rice"], "cars": ["truck", "taxi", "van"]}
    deeds = ["is old", "was here", "is small today", "came again", "is mine"]
    made = [(f"the {thing} {deed}", label) for label, own in things.items() for thing in own for deed in deeds]
    order = np.random.default_rng(0).permutation(len(made))
    known, unseen = [made[i] for i in order[15:]], [made[i] for i in order[:15]]
    labels = Labels.parse(list(things))
    frame = label_prompts(labels, load(str(tiny.t5(tmp_path / "any"))))
    lines = [f"{frame.prompt(text)} {label}".replace("\n", " ") for text, label in made]
    folder = tiny.t5(tmp_path / "taught", lines, size=300, dropout_rate=0, initializer_factor=1.0)
    backbone = load(str(folder))
    assert isinstance(backbone, Seq2SeqBackbone)
    tokenizer = backbone.tokenizer
    asked = tokenizer([str(frame.prompt(text)) for text, _ in known], padding=True, return_tensors="pt")
    wanted = tokenizer(text_target=[label for _, label in known], padding=True, return_tensors="pt")["input_ids"]
    model = T5ForConditionalGeneration.from_pretrained(folder, dtype=torch.float32)
    optimizer = torch.optim.Adam(model.train().parameters(), lr=3e-3)
    for _ in range(80):
        model(**asked, labels=wanted.masked_fill(wanted == 0, -100)).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    tiny.save(model, folder)  # read when it is first needed: now
    found, _ = score_labels([text for text, _ in unseen], labels, backbone)
    assert np.mean(np.array(labels.names)[found.argmax(axis=1)] == [label for _, label in unseen]) >= 0.9


def test_precision_is_an_option(folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """Precision combines with languages, and the decoder's cache is still used again."""
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(precision, "computes_bf16", lambda: True)
    coarse = load(f"{folders['m2m']}?source=en&target=de&precision=bf16")
    assert isinstance(coarse, Seq2SeqBackbone)
    exact = opened(folders, "m2m")
    assert (coarse.numerics, coarse.languages) == ("torch-bf16", exact.languages)
    assert coarse.fingerprint == exact.fingerprint
    assert coarse.score(PROMPTS, CANDIDATES) == pytest.approx(exact.score(PROMPTS, CANDIDATES), rel=0.2, abs=0.5)
    assert coarse._reuses_cache
