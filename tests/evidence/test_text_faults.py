"""Text faults: a text that nothing can be told from is never given a label that was made up."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

import tiny
from rung import Classifier, distill, load
from rung.evidence import Backbone
from rung.evidence.text_faults import fault, without_punctuation

INVISIBLE = {
    "zero-width": "\u200b\u200c\u200d\u2060",
    "byte-order mark": "\ufeff",
    "controls": "\x00\x03\x1b",
    "soft hyphens": "\u00ad\u00ad",
    "variation selector": "\ufe0f\ufe0e",
    "marks alone": "\u0301\u0300",
    "directions": "\u200e\u202a\u202c",
    "wide spaces": "\u3000\u00a0\u2028",
    "Hangul filler": "\u3164",
    "empty Braille cell": "\u2800",
    "half a surrogate": "\ud800",
    "noncharacter": "\uffff",
}
PUNCTUATION = ["...", "?!", "。。。", "---", "« »", "\u200b!"]
STRANGE = ["👍", "😡😡 !!!", "ᏣᎳᎩ ᎦᏬᏂᎯᏍᏗ.", "\U0001fae8"]  # no token of a model of English
NOTHING = [*INVISIBLE.values(), "\ufffd\ufffd", *PUNCTUATION, *STRANGE]
TEXTS = [
    f"{what} {when}"
    for what in (
        "I was charged twice",
        "refund my money",
        "the invoice is wrong",
        "it crashes at start",
        "an error when I save",
    )
    for when in ("today", "again", "since monday", "on my phone", "and I am angry", "please help")
]
NAMES = ["billing", "bug report"]


@pytest.mark.parametrize("text", INVISIBLE.values(), ids=INVISIBLE)
def test_invisible_text_is_empty_text(text: str) -> None:
    """What leaves nothing on the page is empty, also between spaces."""
    assert fault(text) == fault(f" {text}\n") == "the text is empty"


def test_what_was_read_in_the_wrong_encoding_says_so() -> None:
    """A text of nothing but U+FFFD names its cause; one that holds words beside it is read."""
    assert "wrong encoding" in str(fault("\ufffd \ufffd\u200b"))
    assert fault("caf\ufffd") is None


@pytest.mark.parametrize("text", PUNCTUATION)
def test_punctuation_alone_says_nothing(text: str) -> None:
    """Full stops are no text to label."""
    assert fault(text) == "the text holds only punctuation"


@pytest.mark.parametrize(
    "text", ["a", "7", ":-)", "):", "👍", "$", "<3", "x\u200b", "e\u0301", "ไม่", "\ue000", "\U0001fae8", "©"]
)
def test_what_may_say_something_is_left_to_the_model(text: str) -> None:
    """One letter, digit, sign, emoticon or emoji is a text, however young the emoji."""
    assert fault(text) is None


def test_emoticons_keep_their_punctuation() -> None:
    """Full stops behind a word go, a smile stays."""
    assert without_punctuation("好。。。") == "好"
    assert without_punctuation("好 :)") == "好 :)"


def test_a_model_tells_which_texts_it_knows() -> None:
    """The built-in model knows no emoji and no Cherokee; one word that it knows is enough."""
    texts = ["👍", "ᏣᎳᎩ", "", "fine 👍", "a"]
    assert load("builtin").has_known_tokens(texts).tolist() == [False, False, False, True, True]


@pytest.fixture(params=["names", "pool", "shots", "tree", "reject"])
def clf(request: pytest.FixtureRequest) -> Classifier:
    kind = request.param
    tree = {"help": {"children": {"billing": "", "bug report": ""}}, "praise": ""}
    made = Classifier(
        tree if kind == "tree" else NAMES, backbone="builtin", cache=False, reject=0.1 if kind == "reject" else None
    )
    known = [("bug report" if "error" in text else None) for text in TEXTS] if kind == "shots" else None
    return made if kind == "names" else made.fit(TEXTS, known)


def test_no_rung_makes_a_label_up(clf: Classifier) -> None:
    """On each rung, in a tree and where some are rejected: no label, no probability, and a reason, beside texts that get theirs."""
    answers = clf.answers([*NOTHING, *TEXTS])
    for text, answer in zip(NOTHING, answers, strict=False):
        assert (answer.label, answer.probability) == (None, None), text
        assert answer.error == answer.reason
        assert answer.error
    assert any(answer.label for answer in answers[len(NOTHING) :])
    assert list(clf.predict(NOTHING)) == [None] * len(NOTHING)
    assert np.isnan(clf.predict_proba(NOTHING)).all()


def test_several_labels_are_none() -> None:
    """With multi_label no label applies to a text that says nothing, and the answer says why."""
    marks = [("bug report",) if "error" in text else ("billing",) for text in TEXTS]
    for y in (None, [*marks, *[None] * len(NOTHING)]):
        clf = Classifier(NAMES, backbone="builtin", cache=False, multi_label=True).fit([*TEXTS, *NOTHING], y)
        assert not clf.predict(NOTHING).any()
        assert not clf.transduction_[len(TEXTS) :].any()
        assert all(answer.label is None and answer.error for answer in clf.answers(NOTHING))


@pytest.mark.parametrize("y", [None, "shots"])
def test_they_take_no_part_in_a_fit(y: Any) -> None:
    """The pool learns the same with texts that say nothing as without them; a label given to one of them stays its own."""
    known = [("billing" if "invoice" in text else None) for text in TEXTS] if y else [None] * len(TEXTS)
    clean = Classifier(NAMES, backbone="builtin", cache=False).fit(TEXTS, known)
    mixed = Classifier(NAMES, backbone="builtin", cache=False).fit(
        [*NOTHING, *TEXTS], [*["bug report"] * len(NOTHING), *known] if y else None
    )
    assert mixed.predict_proba(TEXTS) == pytest.approx(clean.predict_proba(TEXTS), abs=1e-9)
    if y:
        assert mixed.transduction_[: len(NOTHING)].tolist() == ["bug report"] * len(NOTHING)


def test_a_student_says_the_same(tmp_path: Path) -> None:
    """A student whose n-grams none of a text's are says that it knows none, where one known word is enough."""
    teacher = Classifier(NAMES, backbone="builtin", cache=False).fit(TEXTS)
    student = distill(teacher, TEXTS, student="ngram")
    strange, known = student.answers(["qqq zzz", "an error"])
    assert strange.label is None
    assert "knows none of its words" in strange.error
    assert known.label in NAMES
    student.save(tmp_path / "student")
    assert Classifier.load(tmp_path / "student").predict(["👍"]).tolist() == [None]


def test_a_file_says_why(tmp_path: Path) -> None:
    """The column `error` of the command line holds the reason, and rows stay rows."""
    from rung.cli import app

    given = [each for each in NOTHING if each.isprintable() or "\u200b" in each]
    with (tmp_path / "in.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([["text"], *[[each] for each in [*given, *TEXTS]]])
    call = ["classify", str(tmp_path / "in.csv"), "--labels", ",".join(NAMES), "--backbone", "builtin"]
    CliRunner().invoke(app, [*call, "--out", str(tmp_path / "out.csv")], catch_exceptions=False)
    with (tmp_path / "out.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(given) + len(TEXTS)
    assert all(not row["label"] and not row["probability"] and row["error"] for row in rows[: len(given)])
    assert all(row["label"] and not row["error"] for row in rows[len(given) :])


@pytest.mark.torch
def test_encoders_tell_by_their_tokens(tiny_encoder: Path) -> None:
    """A sentence encoder knows a text by one token that is not the unknown one."""
    clf = Classifier(["card", "money"], backbone=str(tiny_encoder), cache=False)
    assert clf.predict(["👍", "卡", "😡 !"]).tolist() == [None] * 3
    assert clf.predict(["my card 👍"])[0] in ("card", "money")


@pytest.mark.torch
def test_sentencepiece_shows_what_it_does_not_know(tiny_encoder: Path, tmp_path: Path) -> None:
    """SentencePiece keeps the letters of a piece that it does not know; by its number it is unknown all the same."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    folder = tmp_path / "pieces"
    shutil.copytree(tiny_encoder, folder)
    made = Tokenizer(models.Unigram([("<unk>", 0.0), ("▁", -2.0), ("▁card", -1.0), ("a", -3.0)], unk_id=0))
    made.pre_tokenizer = pre_tokenizers.Metaspace()
    made.save(str(folder / "tokenizer.json"))
    backbone = load(str(folder))
    assert backbone.has_known_tokens(["ᏣᎳᎩ", "👍", "card 👍"]).tolist() == [False, False, True]
    assert backbone.unknown_share(["ᏣᎳᎩ"]) > 0.4


@pytest.mark.torch
@pytest.mark.parametrize("kind", ["t5", "bert", "entailment"])
def test_models_that_score_tell_by_their_tokens(kind: str, tmp_path: Path) -> None:
    """What says what the labels mean must know the text; that the geometry knows none of it does not matter."""
    pytest.importorskip("torch")
    of_nli = {"id2label": {0: "entailment", 1: "not_entailment"}}
    folder = {
        "t5": lambda: tiny.t5(tmp_path / "m"),
        "bert": lambda: tiny.bert("BertForMaskedLM", tmp_path / "m"),
        "entailment": lambda: tiny.bert("BertForSequenceClassification", tmp_path / "m", **of_nli),
    }[kind]()
    clf = Classifier(NAMES, backbone=str(folder), geometry="builtin", cache=False)
    strange, known = clf.answers(["👍", "the card"])
    assert strange.label is None
    assert "knows none of its words" in strange.error
    assert known.label in NAMES


def test_a_model_that_knows_emoji_is_asked_about_them() -> None:
    """Where the backbone that says what labels mean knows a text, that the geometry does not is no reason to give no label."""

    class Emoji:
        name, input, costly = "emoji", "text", True
        fingerprint, numerics = "emoji-1", "none"
        abilities = frozenset({"score"})
        pairwise, style = False, "continuation"

        def chat(self, messages: Any) -> None:
            return None

        def score(self, prompts: Any, candidates: Any) -> Any:
            likes = [["👍" in str(prompt), "good" in each.casefold()] for prompt in prompts for each in candidates]
            return np.array([float(a == b) for a, b in likes], np.float32).reshape(len(prompts), -1)

        def has_known_tokens(self, texts: Any, rows: Any = None) -> Any:
            return np.array([bool(text.strip()) for text in texts])

    backbone: Backbone = Emoji()  # type: ignore[assignment]
    clf = Classifier(["good", "bad"], backbone=backbone, geometry="builtin", cache=False)
    assert clf.predict(["👍"]).tolist() == ["good"]
