"""Masked language models: scores equal those of transformers, and the slot is never cut."""

from __future__ import annotations

import itertools
import pickle
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tiny
from rung import Classifier, UserError, load
from rung.backbones.common import precision
from rung.backbones.common.prompt_tokens import keep_head
from rung.backbones.masked import MaskedBackbone, _cloze
from rung.backbones.prompt import Prompt
from rung.inference.label_scoring import score_labels
from rung.labels import Labels

pytestmark = pytest.mark.torch

TEXTS = ["my card is lost", "a", "refund my money, the invoice is wrong", "", "Zürich 我的卡", "half \ud83d"]
PROMPTS = [f"{text}. It is about {{}}, again." for text in TEXTS] + ["{} is lost", "({})", "the app"]
CANDIDATES = ["money", "card", "crashes", "a great film", "", "the invoice"]


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One model of each kind, with random weights."""
    home = tmp_path_factory.mktemp("masked")
    return {
        "both": tiny.bert("BertForPreTraining", home / "both"),
        "bert": tiny.bert("BertForMaskedLM", home / "bert"),
        "roberta": tiny.roberta("RobertaForMaskedLM", home / "roberta"),
        "deberta": tiny.deberta("DebertaV2ForMaskedLM", home / "deberta"),
    }


@pytest.fixture(params=["bert", "both", "roberta", "deberta"])
def backbone(request: pytest.FixtureRequest, folders: dict[str, Path]) -> MaskedBackbone:
    found = load(str(folders[request.param]))
    assert isinstance(found, MaskedBackbone)
    return found


@lru_cache
def reference(folder: Path) -> tuple[Any, Any]:
    """Tokenizer and model as transformers reads them."""
    import torch
    from transformers import AutoModelForMaskedLM, AutoTokenizer, BertForPreTraining

    kind = BertForPreTraining if folder.name == "both" else AutoModelForMaskedLM
    return AutoTokenizer.from_pretrained(folder), kind.from_pretrained(folder, dtype=torch.float32).eval()


def plain(folder: Path, prompt: str, candidate: str) -> float:
    """log p of one candidate in one prompt, by a forward pass of its own, with the masks written into the text."""
    import torch

    tokenizer, model = reference(folder)
    before, _, after = prompt.encode("utf-8", "replace").decode().partition("{}")
    said = " " + candidate if before.endswith(" ") and candidate else candidate
    wanted = tokenizer(said, add_special_tokens=False)["input_ids"]
    encoded = tokenizer(before + tokenizer.mask_token * len(wanted) + after, return_tensors="pt")
    places = (encoded["input_ids"][0] == tokenizer.mask_token_id).nonzero()[:, 0]
    with torch.inference_mode():
        log_p = model(**encoded)[0][0].log_softmax(-1)
    return float(sum(log_p[place, token] for place, token in zip(places, wanted, strict=True)))


@pytest.fixture(scope="session")
def expected(folders: dict[str, Path]) -> dict[str, np.ndarray]:
    """The scores of transformers, computed once for each model."""
    return {
        name: np.array([[plain(folder, prompt, candidate) for candidate in CANDIDATES] for prompt in PROMPTS])
        for name, folder in folders.items()
    }


@pytest.mark.parametrize("tokens", [1, 60, 4096])
def test_it_gives_what_transformers_gives(
    backbone: MaskedBackbone, expected: dict[str, np.ndarray], tokens: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For any batch, each score is that of its pair alone, for prompts and candidates of all lengths."""
    monkeypatch.setattr(backbone, "tokens_at_once", tokens)
    monkeypatch.setattr(backbone.tokenizer, "padding_side", "left")
    told = backbone.score(PROMPTS, CANDIDATES)
    assert told.dtype == np.float32
    assert told == pytest.approx(expected[backbone.folder.name], abs=1e-4)
    assert len(set(backbone.lengths(CANDIDATES))) > 2


def test_one_pass_serves_all_candidates_of_a_length(backbone: MaskedBackbone, monkeypatch: pytest.MonkeyPatch) -> None:
    """The model reads one row for each prompt and each distinct length of a candidate."""
    seen = []
    real = type(backbone.model).forward

    def counted(self: Any, **batch: Any) -> Any:
        seen.append(len(batch["input_ids"]))
        return real(self, **batch)

    monkeypatch.setattr(type(backbone.model), "forward", counted)
    backbone.score(["it was {}", "{} is lost", "it was {}"], ["a", "e", "i", "o", "u", "money card", "card money"])
    assert sum(seen) == 2 * len(set(backbone.lengths(["a", "money card"])))


def test_nothing_gives_nothing(backbone: MaskedBackbone) -> None:
    """No prompts or no candidates give an empty matrix."""
    assert backbone.score([], ["a"]).shape == (0, 1)
    assert backbone.score(["a {}"], []).shape == (1, 0)
    assert backbone.pseudo_log_likelihood([]) == []


def test_the_slot_is_never_cut(backbone: MaskedBackbone) -> None:
    """A text beyond the model's limit loses its far end; the words near the slot stay."""
    limit = backbone.max_tokens
    assert limit == (64 if backbone.folder.name == "roberta" else 48)
    long = "card " * 200
    for prompt in (long + "it was {}.", "{} it was " + long, long + "{} " + long, f"{long} {backbone.mask} {{}}"):
        told = backbone.score([prompt], ["money", "a great film"])
        assert np.isfinite(told).all()
    tail = "card " * 100 + "it was {}."
    assert backbone.score([long + "it was {}."], CANDIDATES) == pytest.approx(
        backbone.score([tail], CANDIDATES), abs=1e-4
    )
    assert backbone.cut([long, "short"]) == 1


def test_a_candidate_as_long_as_the_model_is_refused(backbone: MaskedBackbone) -> None:
    """The error for a candidate that no frame can hold names it."""
    with pytest.raises(UserError, match=r"'money money .* tokens, but the model reads"):
        backbone.score(["{}"], ["money " * 90])


def test_masks_in_the_text_are_the_texts_own(backbone: MaskedBackbone) -> None:
    """A mask token in a plain string is kept, and the slot is where the braces are."""
    import torch

    prompt = f"my {backbone.mask} is {{}} {backbone.mask}"
    encoded = backbone.tokenizer(f"my{backbone.mask} is{backbone.mask} {backbone.mask}", return_tensors="pt")
    places = (encoded["input_ids"][0] == backbone.tokenizer.mask_token_id).nonzero()[:, 0]
    (wanted,) = backbone.tokenizer(" a", add_special_tokens=False)["input_ids"]
    with torch.inference_mode():
        log_p = backbone.model(**encoded)[0][0, places[1]].log_softmax(-1)[wanted]
    assert backbone.score([prompt], ["a"])[0, 0] == pytest.approx(float(log_p), abs=1e-4)


def test_a_prompt_in_parts_is_the_same_sentence(backbone: MaskedBackbone) -> None:
    """A prompt in parts scores as the same string; masks and slots in its text are plain characters."""
    for text in ("my card is lost", "", "Zürich 我的卡", "card " * 100):
        whole = backbone.score([f"{text} It was {{}}, again.", f"It was {{}}, again. {text}"], CANDIDATES)
        parts = [Prompt("", text, " It was {}, again."), Prompt("It was {}, again. ", text, "")]
        assert backbone.score(parts, CANDIDATES) == pytest.approx(whole, abs=1e-4)
    apart = backbone.mask[:1] + " " + backbone.mask[1:]
    told = backbone.score([Prompt("", f"my {backbone.mask} {{}} card", f" {backbone.mask} was {{}}.")], ["a"])
    assert told == pytest.approx(
        backbone.score([Prompt("", f"my {apart} {{}} card", f" {backbone.mask} was {{}}.")], ["a"]), abs=1e-5
    )
    with pytest.raises(UserError, match=r"has 2 slots \{\}"):
        backbone.score([Prompt("{} and ", "a", "{}")], ["card"])


def test_the_frame_is_never_cut(backbone: MaskedBackbone) -> None:
    """A long prompt in parts loses tokens at the far end of its text only, and such prompts are counted."""
    long, short = Prompt("refund: ", "card " * 200, "so it was {}."), Prompt("refund: ", "card ", "so it was {}.")
    row = backbone._ids_of_parts(*_asked(backbone, long))[0]
    start, end = (
        backbone.prompt_ids([Prompt("refund: ", "", "so it was.")])[0].truncated(None, keep_head),
        backbone._specials,
    )
    assert len(row) == backbone.max_tokens
    assert (
        row[len(end[0]) : len(end[0]) + len(backbone.tokenizer("refund:", add_special_tokens=False)["input_ids"])]
        == (start[: len(backbone.tokenizer("refund:", add_special_tokens=False)["input_ids"])])
    )
    assert backbone.cut([long, short], ["money"]) == 1
    words = next(n for n in range(1, 99) if backbone.cut([Prompt("", "a " * (n + 1), "so {}")], ["a"]))
    assert backbone.cut([Prompt("", "a " * words, "so {}")], ["a"]) == 0
    assert backbone.cut([Prompt("", "a " * words, "so {}")], ["a great film"]) == 1
    with pytest.raises(UserError, match="the question and the labels take"):
        backbone.score([Prompt("refund " * 90, "card", "so it was {}.")], ["money"])


def _asked(backbone: MaskedBackbone, prompt: Prompt) -> tuple[Any, int, int | None]:
    return _cloze(prompt), 1, backbone._room(1, "money")


def test_two_slots_are_refused(backbone: MaskedBackbone) -> None:
    """A prompt with two slots is refused."""
    with pytest.raises(UserError, match=r"has 2 slots \{\}"):
        backbone.score(["{} and {}"], ["card"])


@pytest.mark.parametrize("within_word", [False, True])
def test_pseudo_log_likelihood_masks_each_token(backbone: MaskedBackbone, within_word: bool) -> None:
    """Each token's log p is that of a pass with this token masked, and with `within_word` the rest of its word too."""
    import torch

    texts = ["the app crashes", "a", "", "card " * 100]
    found = backbone.pseudo_log_likelihood(texts, within_word=within_word)
    assert found[2][0] == []
    assert len(found[3][0]) == (backbone.max_tokens or 0) - 2
    for text, (tokens, log_p) in zip(texts[:2], found[:2], strict=True):
        encoded = backbone.tokenizer(text, return_tensors="pt")
        words = encoded.word_ids()
        assert tokens == backbone.tokenizer.tokenize(text)
        for i in range(1, len(tokens) + 1):
            ids = encoded["input_ids"].clone()
            end = max(j for j, word in enumerate(words) if word == words[i]) if within_word else i
            ids[0, i : end + 1] = backbone.tokenizer.mask_token_id
            with torch.inference_mode():
                alone = backbone.model(input_ids=ids)[0][0, i].log_softmax(-1)[encoded["input_ids"][0, i]]
            assert log_p[i - 1] == pytest.approx(float(alone), abs=1e-4)


def test_verbalizers_of_several_tokens(backbone: MaskedBackbone) -> None:
    """A label's probability is the mean over its name and its words, whatever their number of tokens."""
    labels = Labels.parse(
        {"money": {"words": ["the invoice", "a refund"]}, "film": {"words": ["a great film"]}, "app": ""}
    )
    texts = ["my {} card is lost", "{}", "a {{}} film. " * 40]
    said = ["money", "the invoice", "a refund", "film", "a great film"]
    assert len(set(backbone.lengths(said))) > 1
    found, why = score_labels(texts, labels, backbone)
    prompts = [text.replace("{}", "{ }") + " This text is about {}." for text in texts]
    p = np.exp(backbone.score(prompts, said).astype(np.float64))
    places = [labels.names.index(name) for name in ("money", "film")]
    expected = np.log(np.stack([p[:, :3].mean(axis=1), p[:, 3:].mean(axis=1)], axis=1))
    assert found[:, places] == pytest.approx(expected, abs=1e-4)
    assert why == [None] * 3
    clf = Classifier(labels, backbone=backbone, geometry="builtin", length="token", cache=False)
    assert set(clf.predict([texts[0], texts[2]])) <= set(labels.names)
    assert clf.predict(["{}"]).tolist() == [None]  # it says nothing


def test_it_says_what_it_is(backbone: MaskedBackbone) -> None:
    """Abilities and style are available without weights, and an unpickled copy gives the same scores."""
    assert backbone.abilities == {"score"}
    assert backbone.style == "cloze"
    assert backbone.mask in ("[MASK]", "<mask>")
    copy = pickle.loads(pickle.dumps(backbone))
    assert type(copy) is type(backbone)
    assert copy.score(["it was {}"], ["card"]) == pytest.approx(backbone.score(["it was {}"], ["card"]), abs=1e-6)


def test_a_tokenizer_without_a_mask_is_named(folders: dict[str, Path]) -> None:
    """The error for a tokenizer without a mask token names the file to edit."""
    backbone = MaskedBackbone.open(folders["bert"], "bert")
    backbone.tokenizer.mask_token = None
    with pytest.raises(UserError, match=r"no mask token(.|\n)*tokenizer_config\.json"):
        backbone.score(["it was {}"], ["card"])


WORLD = {  # for each label its nouns and its verbs; a training sentence ends with the label
    "pets": (["dog", "cat", "horse", "bird"], ["barks", "sleeps", "runs", "eats"]),
    "food": (["soup", "bread", "apple", "rice"], ["smells", "tastes", "cooks", "bakes"]),
    "cars": (["truck", "taxi", "van", "bus"], ["brakes", "drives", "honks", "parks"]),
}


def sentences() -> list[tuple[str, str]]:
    """All sentences of a small grammar with their labels."""
    return [
        (f"the {adjective} {thing} {deed}", label)
        for label, (things, deeds) in WORLD.items()
        for adjective, thing, deed in itertools.product(["old", "small", "new"], things, deeds)
    ]


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[tuple[str, str]]]:
    """A small BERT trained on three quarters of the grammar's sentences, and the sentences that it has not seen."""
    import torch
    from transformers import BertConfig, BertForMaskedLM

    folder = tmp_path_factory.mktemp("trained")
    order = np.random.default_rng(0).permutation(len(sentences()))
    known = [sentences()[i] for i in order[36:]]
    lines = [f"{text} This text is about {label}." for text, label in known]
    tokenizer = tiny.wordpiece(folder, lines)
    torch.manual_seed(0)
    model = BertForMaskedLM(
        BertConfig(
            vocab_size=len(tokenizer),
            max_position_embeddings=32,
            initializer_range=0.05,
            hidden_dropout_prob=0.0,
            attention_probs_dropout_prob=0.0,
            **tiny.SMALL,
        )
    )
    ids = tokenizer(lines, padding=True, return_tensors="pt")["input_ids"]
    steps = torch.optim.Adam(model.train().parameters(), lr=5e-3)
    for _ in range(200):
        hidden = (torch.rand(ids.shape) < 0.3) & (ids > 4)
        loss = model(
            input_ids=ids.masked_fill(hidden, tokenizer.mask_token_id),
            attention_mask=(ids > 0).long(),
            labels=ids.masked_fill(~hidden, -100),
        ).loss
        steps.zero_grad()
        loss.backward()
        steps.step()
    return tiny.save(model, folder), [sentences()[i] for i in order[:36]]


def test_a_model_that_learned_a_grammar_knows_its_labels(trained: tuple[Path, list[tuple[str, str]]]) -> None:
    """A model that was only trained to fill gaps labels sentences that it has not seen."""
    folder, unseen = trained
    backbone, labels = load(str(folder)), list(WORLD)
    assert isinstance(backbone, MaskedBackbone)
    told = backbone.score([f"{text} This text is about {{}}." for text, _ in unseen], labels)
    right = [labels[best] == label for best, (_, label) in zip(told.argmax(axis=1), unseen, strict=True)]
    assert np.mean(right) > 0.8
    clf = Classifier(labels, backbone=backbone, geometry="builtin", cache=False)
    predicted = clf.predict([text for text, _ in unseen])
    assert np.mean([a == b for a, (_, b) in zip(predicted, unseen, strict=True)]) > 0.8


def test_precision_is_an_option(folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """Precision is an option of every head, also beside other options."""
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(precision, "computes_bf16", lambda: True)
    for name, prompt in (("bert?precision=bf16", "it was {}"), ("both?head=next-sentence&precision=bf16", "a card")):
        found = load(str(folders["bert"].parent / name))
        assert found.numerics == "torch-bf16"
        assert found.model.dtype == torch.bfloat16  # type: ignore[attr-defined]
        assert load(found.name).fingerprint == found.fingerprint
        assert np.isfinite(found.score([prompt], ["money", "a great film"])).all()  # type: ignore[attr-defined]
