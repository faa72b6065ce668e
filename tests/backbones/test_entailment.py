"""Entailment models: the plain computation of transformers for each pair, and configs that do not say what entailment is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tiny
from rung import Classifier, UserError, load
from rung.backbones.entailment import EntailmentBackbone

pytestmark = pytest.mark.torch

NLI = {0: "CONTRADICTION", 1: "NEUTRAL", 2: "ENTAILMENT"}
TEXTS = [
    "my card is lost, please help me",
    "the app crashes again and again",
    "money",
    "it was a great film about the card " * 3,
]
SAID = ["This text is about money.", "This text is about the app."]


def made(folder: Path, kind: str, names: dict[int, str]) -> Path:
    """A classifier of pairs with random weights; `names` are its outputs."""
    import torch
    import transformers as tf

    torch.manual_seed(0)
    tokenizer = tiny.wordpiece(folder) if kind == "Bert" else tiny.byte_level(folder)
    config = getattr(tf, f"{kind}Config")(
        vocab_size=len(tokenizer), max_position_embeddings=66, type_vocab_size=2, initializer_range=0.3, **tiny.SMALL
    )
    config.id2label, config.label2id = names, {name: i for i, name in names.items()}
    return tiny.save(getattr(tf, f"{kind}ForSequenceClassification")(config), folder)


@pytest.fixture(scope="module", params=["Bert", "Roberta"])
def backbone(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> EntailmentBackbone:
    found = load(str(made(tmp_path_factory.mktemp("nli") / request.param, request.param, NLI)))
    assert isinstance(found, EntailmentBackbone)
    return found


def plain(backbone: EntailmentBackbone, text: str, said: str) -> float:
    import torch

    limit = backbone.max_tokens
    encoded = backbone.tokenizer(text, said, return_tensors="pt", truncation="only_first", max_length=limit)
    with torch.no_grad():
        return float(backbone.model(**encoded).logits[0].log_softmax(-1)[2])


@pytest.mark.parametrize("size", [4096, 40])
def test_scores_are_those_of_each_pair_alone(backbone: EntailmentBackbone, size: int) -> None:
    """Whatever the batch: within 1e-4 of the plain computation; only the pairs that are asked for are scored."""
    backbone.tokens_at_once = size
    found = backbone.score(TEXTS, SAID)
    assert found.dtype == np.float32
    assert np.abs(found - [[plain(backbone, text, said) for said in SAID] for text in TEXTS]).max() < 1e-4
    among = np.array([[True, False], [False, True], [True, True], [False, False]])
    some = backbone.score(TEXTS, SAID, among=among)
    assert (np.isnan(some) == ~among).all()
    assert np.abs(some - found)[among].max() < 1e-4
    assert backbone.score([], SAID).shape == (0, 2)


def test_a_classifier_scores_only_the_shortlist(backbone: EntailmentBackbone, monkeypatch: pytest.MonkeyPatch) -> None:
    """With shortlist=1 a text meets one label, that which the geometry's own names find likeliest; the answer is that one."""
    seen: list[Any] = []
    score = backbone.score
    monkeypatch.setattr(backbone, "score", lambda *a, among=None: seen.append(among) or score(*a, among=among))
    labels = ["money", "app", "film"]
    clf = Classifier(labels, backbone=backbone, geometry="builtin", shortlist=1, cache=False)
    cheap = Classifier(labels, backbone="builtin")
    assert clf.predict(TEXTS).tolist() == cheap.predict(TEXTS).tolist()
    assert sum(int(each.sum()) for each in seen if each is not None) == len(TEXTS)


def test_two_outputs_will_do(tmp_path: Path) -> None:
    """entailment and not_entailment: the first is meant."""
    found = load(str(made(tmp_path, "Bert", {0: "entailment", 1: "not_entailment"})))
    assert isinstance(found, EntailmentBackbone)
    assert found.entailment == 0


@pytest.mark.parametrize("names", [{0: "LABEL_0", 1: "LABEL_1"}, {0: "negative", 1: "positive"}])
def test_other_classifiers_are_told_apart(tmp_path: Path, names: dict[int, str]) -> None:
    """A classifier of something else, or one whose config says nothing, is refused with what to do."""
    folder = made(tmp_path, "Bert", names)
    with pytest.raises(UserError, match="none of its outputs is called entailment") as error:
        load(str(folder))
    assert "id2label" in str(error.value)
    config = json.loads((folder / "config.json").read_text("utf-8"))
    config["id2label"] = {"0": "Entailment", "1": "contradiction"}
    (folder / "config.json").write_text(json.dumps(config), "utf-8")
    assert "score" in load(str(folder)).abilities
