"""Cross-encoders that judge a text and a statement together: entailment, and BERT's next sentence."""

from __future__ import annotations

import json
import pickle
import shutil
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tiny
from rung import Classifier, UserError, load
from rung.backbones.common.cross_encoder import CrossEncoder
from rung.backbones.entailment import EntailmentBackbone
from rung.backbones.next_sentence import NextSentenceBackbone
from rung.backbones.prompt import Prompt
from rung.inference.label_scoring import score_labels
from rung.labels import Labels

pytestmark = pytest.mark.torch

TEXTS = [
    "my card is lost",
    "a",
    "refund my money, the invoice is wrong",
    "",
    "Zürich 我的卡",
    "half \ud83d",
    "app " * 99,
]
STATEMENTS = ["this is about money", "lost?", "it was a great film"]
THREE = {0: "CONTRADICTION", 1: "neutral", 2: "Entailment"}
TWO = {0: "entailment", 1: "not_entailment"}
KINDS = ["bert", "two", "roberta", "deberta", "bart", "next", "both"]


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One model of each kind, with random weights."""
    home = tmp_path_factory.mktemp("pairs")
    return {
        "bert": tiny.bert("BertForSequenceClassification", home / "bert", id2label=THREE),
        "two": tiny.bert("BertForSequenceClassification", home / "two", id2label=TWO),
        "roberta": tiny.roberta("RobertaForSequenceClassification", home / "roberta", id2label=THREE),
        "deberta": tiny.deberta("DebertaV2ForSequenceClassification", home / "deberta", id2label=TWO),
        "bart": tiny.bart("BartForSequenceClassification", home / "bart", id2label=THREE),
        "next": tiny.bert("BertForNextSentencePrediction", home / "next"),
        "both": tiny.bert("BertForPreTraining", home / "both"),
    }


def opened(folders: dict[str, Path], kind: str) -> CrossEncoder:
    found = load(f"{folders[kind]}{'?head=next-sentence' if kind == 'both' else ''}")
    assert isinstance(found, CrossEncoder)
    return found


@cache
def reference(folder: Path) -> tuple[Any, Any]:
    """Tokenizer and model as transformers reads them."""
    import torch
    import transformers

    kinds = {"next": "BertForNextSentencePrediction", "both": "BertForPreTraining"}
    reads = getattr(transformers, kinds.get(folder.name, "AutoModelForSequenceClassification"))
    return transformers.AutoTokenizer.from_pretrained(folder), reads.from_pretrained(folder, dtype=torch.float32).eval()


def plain(folder: Path, kind: str, text: str, said: str) -> float:
    """log p of one pair, by a forward pass of its own."""
    import torch

    tokenizer, model = reference(folder)
    limit = 64 if kind in ("roberta", "bart") else 48
    text = text.encode("utf-8", "replace").decode()
    encoded = tokenizer(text, said, return_tensors="pt", truncation="only_first", max_length=limit)
    with torch.inference_mode():
        logits = model(**encoded)["seq_relationship_logits" if kind == "both" else "logits"][0]
    yes_and_no = {"bert": [2, 0], "roberta": [2, 0], "bart": [2, 0]}.get(kind, [0, 1])
    return float(logits[yes_and_no].log_softmax(-1)[0])


@pytest.mark.parametrize("kind", KINDS)
def test_it_gives_what_transformers_gives(folders: dict[str, Path], kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """For any batch and padding side, each score is that of its pair alone, also where the text is too long."""
    backbone = opened(folders, kind)
    expected = np.array([[plain(folders[kind], kind, text, said) for said in STATEMENTS] for text in TEXTS])
    monkeypatch.setattr(backbone.tokenizer, "padding_side", "left")
    for tokens in (1, 150, 4096):
        monkeypatch.setattr(backbone, "tokens_at_once", tokens)
        found = backbone.score(TEXTS, STATEMENTS)
        assert found.dtype == np.float32
        assert found == pytest.approx(expected, abs=1e-4)
    assert expected.std(axis=0).min() > 0.01
    assert backbone.cut(TEXTS) == 1


@pytest.mark.parametrize("kind", KINDS)
def test_it_labels_texts(folders: dict[str, Path], kind: str) -> None:
    """A classifier labels texts with it, also texts with special tokens and slots."""
    clf = Classifier({"money": "refunds", "card": ""}, backbone=opened(folders, kind), geometry="builtin", cache=False)
    answers = clf.answers(["my {} card", "a </s> b <s> [SEP] [CLS]", None, "{} {}", "card " * 300])
    assert [answer.label in ("money", "card") for answer in answers] == [True, True, False, False, True]
    assert answers[2].error == "the text is missing"
    assert answers[3].error  # braces alone say nothing


def test_only_the_requested_pairs_are_computed(folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the pairs in `among` are computed, as many per text as a classifier's shortlist has."""
    backbone = opened(folders, "bert")
    whole, seen = backbone.score(TEXTS, STATEMENTS), []
    real = type(backbone.model).forward

    def counted(self: Any, **batch: Any) -> Any:
        seen.append(len(batch["input_ids"]))
        return real(self, **batch)

    monkeypatch.setattr(type(backbone.model), "forward", counted)
    among = np.random.default_rng(0).random(whole.shape) < 0.4
    found = backbone.score(TEXTS, STATEMENTS, among=among)
    assert (np.isnan(found) == ~among).all()
    assert found[among] == pytest.approx(whole[among], abs=1e-5)
    assert sum(seen) == among.sum()
    seen.clear()
    labels = ["money", "card", "film", "app", "invoice"]
    clf = Classifier(labels, backbone=backbone, geometry="builtin", shortlist=2, cache=False)
    clf.predict(TEXTS[:3])
    assert sum(seen) == 2 * 3
    assert backbone.score([], STATEMENTS).shape == (0, 3)
    assert backbone.score(TEXTS, []).shape == (7, 0)


def test_scores_are_odds(folders: dict[str, Path]) -> None:
    """Labels are judged one by one: given that one of them is true, each is as probable as its odds."""
    backbone, labels = opened(folders, "bert"), Labels.parse(["money", "card"])
    p = np.exp(backbone.score(TEXTS[:3], ["This text is about card.", "This text is about money."]).astype(np.float64))
    found, _ = score_labels(TEXTS[:3], labels, backbone)
    assert found == pytest.approx(np.log(p / (1 - p)), abs=1e-3)
    backbone.pair_log_p = lambda logits: logits[:, 0] * 0  # type: ignore[method-assign]  # p = 1
    assert np.isfinite(score_labels(["a"], labels, backbone)[0]).all()
    del backbone.pair_log_p


def test_a_candidate_as_long_as_the_model_is_refused(folders: dict[str, Path]) -> None:
    """The error for a label that leaves no room for a text names it."""
    with pytest.raises(UserError, match=r"'money money .* tokens, but the model reads 48"):
        opened(folders, "bert").score(["a"], ["money " * 90])


def renamed(folder: Path, to: Path, **told: Any) -> Path:
    """The same model with other values in its config."""
    shutil.copytree(folder, to)
    config = json.loads((to / "config.json").read_text("utf-8"))
    (to / "config.json").write_text(json.dumps(config | told), "utf-8")
    return to


@pytest.mark.parametrize(
    ("names", "verdicts"),
    [
        ({"0": "entailment", "1": "neutral", "2": "contradiction"}, (0, [2])),
        ({"0": "NOT-ENTAILMENT", "1": "ENTAILMENT"}, (1, [0])),
        ({"0": "entails", "1": "does not say", "2": "refutes"}, (0, [1, 2])),
    ],
)
def test_the_class_of_entailment_is_found_by_name(
    folders: dict[str, Path], tmp_path: Path, names: dict[str, str], verdicts: Any
) -> None:
    """The class of entailment is found by its name, at any index."""
    backbone = load(str(renamed(folders["bert"], tmp_path / "named", id2label=names)))
    assert isinstance(backbone, EntailmentBackbone)
    assert backbone.verdicts == verdicts


def test_a_classifier_for_other_labels_is_refused(folders: dict[str, Path], tmp_path: Path) -> None:
    """The error for a model with other classes names them, and a model that works."""
    movies = renamed(folders["two"], tmp_path / "movies", id2label={"0": "NEGATIVE", "1": "POSITIVE"})
    with pytest.raises(UserError, match=r"classes are NEGATIVE, POSITIVE(.|\n)*deberta-zeroshot"):
        load(str(movies))
    unnamed = renamed(folders["two"], tmp_path / "unnamed", id2label={"0": "LABEL_0", "1": "LABEL_1"}, label2id={})
    with pytest.raises(UserError, match="LABEL_0, LABEL_1"):
        load(str(unnamed))


def test_berts_own_weights_have_two_heads(folders: dict[str, Path], tmp_path: Path) -> None:
    """The next-sentence head is a backbone of its own, which a saved classifier finds again; other models have no such head."""
    cloze, following = load(str(folders["both"])), opened(folders, "both")
    assert (cloze.style, following.style) == ("cloze", "following")  # type: ignore[attr-defined]
    assert isinstance(following, NextSentenceBackbone)
    assert following.fingerprint != cloze.fingerprint
    clf = Classifier(["card", "money"], backbone=following, geometry="builtin", cache=False).fit(
        ["a card", "my money"] * 30
    )
    clf.save(tmp_path / "saved")
    same = Classifier.load(tmp_path / "saved")
    assert np.array_equal(same.predict_proba(["card"]), clf.predict_proba(["card"]))
    with pytest.raises(UserError, match="head must be cloze or next-sentence, got 'nsp'"):
        load(f"{folders['both']}?head=nsp")
    plain = tiny.roberta("RobertaForMaskedLM", tmp_path / "plain")
    with pytest.raises(UserError, match="no head for next-sentence prediction"):
        load(f"{plain}?head=next-sentence")


def test_missing_weights_are_refused(folders: dict[str, Path], tmp_path: Path) -> None:
    """Weights without the head are refused, since the head would be random."""
    from safetensors.numpy import load_file, save_file

    halved = renamed(folders["bert"], tmp_path / "halved")
    kept = {name: each for name, each in load_file(halved / "model.safetensors").items() if "classifier" not in name}
    save_file(kept, halved / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UserError, match=r"lack classifier\.bias"):
        opened({"halved": halved}, "halved").score(["a"], ["b"])


def test_it_travels_without_its_weights(folders: dict[str, Path]) -> None:
    """An unpickled copy gives the same scores."""
    backbone = opened(folders, "roberta")
    copy = pickle.loads(pickle.dumps(backbone))
    assert copy.score(TEXTS[:2], STATEMENTS) == pytest.approx(backbone.score(TEXTS[:2], STATEMENTS), abs=1e-6)
    assert (copy.abilities, copy.style, copy.pairwise) == ({"score"}, "entailment", True)


@pytest.mark.parametrize("kind", KINDS)
def test_control_tokens_in_a_text_are_text(folders: dict[str, Path], kind: str) -> None:
    """A separator token in a text or a label does not end it."""
    backbone = opened(folders, kind)
    sep = backbone.tokenizer.sep_token
    apart = f"{sep[:1]} {sep[1:]}"
    found = backbone.score([f"my card{sep} is lost"], [f"about{sep} money"])
    assert found == pytest.approx(backbone.score([f"my card{apart} is lost"], [f"about{apart} money"]), abs=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_cut_beside_a_label_is_counted(folders: dict[str, Path], kind: str) -> None:
    """A text that fits alone, but not beside the longest label, is counted as cut; a frame is never cut."""
    backbone = opened(folders, kind)
    words = next(n for n in range(1, 99) if backbone.cut(["a " * (n + 1)]))
    assert backbone.cut(["a " * words]) == 0
    assert backbone.cut(["a " * words, "a"], ["b", "this is about money"]) == 1
    long = Prompt("so: ", "app " * 99, " money")
    assert backbone.score([long], ["a"])[0, 0] != pytest.approx(backbone.score(["so: " + "app " * 99], ["a"])[0, 0])
    with pytest.raises(UserError, match="the question and the labels take"):
        backbone.score([Prompt("app " * 99, "a")], ["a"])
