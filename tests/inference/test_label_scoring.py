"""Scores as the prior of the rungs: wording, calibration, shortlists, servers that only choose, and the classifier over them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rung import Classifier, UserError, load
from rung.backbones.prompt import Prompt
from rung.evidence.cache import Cache
from rung.inference.label_scoring import count_truncated, neutral_scores, score_labels
from rung.inference.prompts import STYLES, label_prompts
from rung.labels import Labels

SPORT, MONEY = "the striker scored a late goal", "the bank raised interest rates"
LABELS = Labels.parse({"finance": "banks and markets", "sports": ""})


class Scorer:
    """A backbone that finds the label whose first letter stands for the topic, and leans to one label whatever the text."""

    name, input, costly = "scorer", "text", True
    fingerprint, numerics = "scorer-1", "none"
    abilities = frozenset({"score"})
    pairwise = False

    def __init__(self, style: str = "continuation", lean: float = 0.0) -> None:
        self.style, self.lean = style, lean
        self.asked: list[str] = []

    def chat(self, messages: list[dict[str, str]]) -> str | None:
        return None

    def lengths(self, candidates: Sequence[str]) -> Any:
        return np.array([len(each.split()) for each in candidates])

    def unknown_share(self, texts: Sequence[str]) -> float:
        return 0.0

    def score(self, prompts: Sequence[str | Prompt], candidates: Sequence[str], *, among: Any = None) -> Any:
        prompts = list(map(str, prompts))
        self.asked += prompts
        rows = np.array([[self._of(prompt, each) for each in candidates] for prompt in prompts], dtype=np.float32)
        return rows if among is None else np.where(among, rows, np.nan)

    def _of(self, prompt: str, candidate: str) -> float:
        topic = (
            "s" if "goal" in prompt else "f" if "bank" in prompt.rpartition("Text")[2] or "bank" in prompt[:40] else "-"
        )
        word = candidate.removeprefix("This text is about ").strip().casefold()
        meant = {"a": "f", "b": "s"}.get(word, word[:1])
        return (-1.0 if meant == topic else -2.0) + self.lean * (meant == "f")


class Server(Scorer):
    """A server that tells the probabilities of texts about goals only, and chooses for the others."""

    def scored(self, prompts: Sequence[str], candidates: Sequence[str]) -> tuple[Any, list[str | None]]:
        rows = self.score(prompts, candidates)
        silent = ["goal" not in str(prompt) for prompt in prompts]
        rows[silent] = np.nan
        return rows, ["no probability came back" if each else None for each in silent]

    def choose(self, prompts: Sequence[str], candidates: Sequence[str]) -> tuple[list[int | None], list[str | None]]:
        told = [0 if "bank" in str(prompt).partition("Text:")[2] else None for prompt in prompts]
        return told, [None if each is not None else "the answer 'perhaps' is none of the labels" for each in told]


@pytest.mark.parametrize("style", STYLES)
def test_every_style_finds_the_label(style: str) -> None:
    """Whatever kind of words a backbone takes, the text about goals is sports."""
    found, why = score_labels([SPORT, MONEY], LABELS, Scorer(style))
    assert why == [None, None]
    assert found.argmax(axis=1).tolist() == [1, 0]


def test_the_wording_holds_text_and_labels() -> None:
    """A prompt holds the text once; braces in it are no slot; descriptions are told."""
    wording = label_prompts(LABELS, Scorer("cloze"))
    assert wording.prompt("a {} b") == Prompt("", "a { } b", " This text is about {}.")
    assert "finance: banks and markets" in label_prompts(LABELS, Scorer("continuation")).frame
    assert label_prompts(LABELS, Scorer("entailment")).candidates[0] == "This text is about finance: banks and markets."
    assert label_prompts(LABELS, Scorer("options")).candidates == ["A", "B"]
    many = Labels.parse([f"label {i:02}" for i in range(40)])
    assert label_prompts(many, Scorer("options")).candidates == many.names


class Wary(Scorer):
    """One that knows a control token, and reads a dozen characters of a text beside the question and a label."""

    def as_text(self, text: str) -> str:
        return text.replace("<end>", "< end>")

    def cut(self, prompts: Sequence[str | Prompt], candidates: Sequence[str] = ()) -> int:
        return sum(
            len(prompt.text) > 12 for prompt in prompts if isinstance(prompt, Prompt) and max(map(len, candidates))
        )


@pytest.mark.parametrize("style", STYLES)
def test_labels_are_text_too(style: str) -> None:
    """A control token in a label's name, description or words is spelled apart, in the frame and in the candidates."""
    labels = Labels.parse({"a <end>": {"description": "so <end>", "words": ["<end>!"]}, "b": ""})
    wording = label_prompts(labels, Wary(style))
    assert "<end>" not in wording.frame + "".join(wording.candidates)
    assert "< end>" in wording.frame + "".join(wording.candidates)
    assert wording.prompt("<end>").text == "<end>"  # the backbone knows what to do with it


def test_what_is_cut_is_counted_as_it_is_asked() -> None:
    """Texts in their frames, beside the labels, for a backbone that scores; texts as they are for one that embeds."""
    assert count_truncated(["short", "a text that is too long"], LABELS, Wary()) == 1
    assert count_truncated(["a text of any length " * 999], LABELS, load("builtin")) == 0


def test_a_style_nobody_knows_is_refused() -> None:
    with pytest.raises(UserError, match="'song'"):
        label_prompts(LABELS, Scorer("song"))


def test_words_of_a_label_share_its_probability() -> None:
    """A label with several words gets the mean of their probabilities."""
    labels = Labels.parse({"money": {"words": ["finance"]}, "sports": ""})
    found, _ = score_labels([MONEY], labels, Scorer())
    assert found[0, 0] == pytest.approx(np.log((np.exp(-2) + np.exp(-1)) / 2), abs=1e-6)


def test_length_is_a_choice() -> None:
    """A sum over tokens, its mean, or by bytes; anything else is refused."""
    labels = Labels.parse(["finance and banks", "sports"])
    plain, _ = score_labels([MONEY], labels, Scorer())
    mean, _ = score_labels([MONEY], labels, Scorer(), length="token")
    byte, _ = score_labels([MONEY], labels, Scorer(), length="byte")
    assert mean[0] == pytest.approx(plain[0] / [3, 1])
    assert byte[0] == pytest.approx(plain[0] / [17, 6])
    with pytest.raises(UserError, match="length"):
        score_labels([MONEY], labels, Scorer(), length="word")  # type: ignore[arg-type]


def test_equal_texts_are_asked_once_and_kept(tmp_path: Path) -> None:
    """Duplicates cost nothing, and a second run asks nobody."""
    scorer, cache = Scorer(), Cache(tmp_path)
    first, _ = score_labels([SPORT, SPORT, MONEY], LABELS, scorer, cache=cache)
    assert len(scorer.asked) == 2
    again, _ = score_labels([MONEY, SPORT], LABELS, scorer, cache=cache)
    assert len(scorer.asked) == 2
    assert np.array_equal(again, first[[2, 1]])


def test_what_a_label_gets_from_any_text_is_taken_away() -> None:
    """A model that leans to finance by three nats is put right by texts that say nothing."""
    leaning = Scorer(lean=3.0)
    assert score_labels([SPORT], LABELS, leaning)[0].argmax() == 0
    told = neutral_scores(LABELS, leaning)
    assert told is not None
    assert told.shape == (3, 2)
    clf = Classifier(LABELS, backbone=leaning, geometry="builtin", cache=False)
    assert clf.predict([SPORT, MONEY]).tolist() == ["sports", "finance"]
    assert neutral_scores(LABELS, Scorer("entailment")) is None


def test_a_shortlist_asks_less_and_never_loses_a_label() -> None:
    """Labels that were not scored stand behind all that were; one pass for all labels has no use for it."""
    pairs = Scorer("entailment")
    pairs.pairwise = True
    among = np.array([[True, False], [False, True]])
    found, _ = score_labels([SPORT, MONEY], LABELS, pairs, among=among)
    assert found.argmax(axis=1).tolist() == [0, 1]
    assert np.isfinite(found).all()
    with pytest.raises(UserError, match="shortlist"):
        score_labels([SPORT], LABELS, Scorer(), among=among[:1])


def test_a_choice_stands_in_where_there_are_no_probabilities() -> None:
    """An answer that is none of the labels is None with the reason, never a label."""
    clf = Classifier(LABELS, backbone=Server("options"), geometry="builtin", cache=False)
    answers = clf.answers([SPORT, MONEY, "well, perhaps", None])
    assert [each.label for each in answers] == ["sports", "finance", None, None]
    assert answers[2].error == "the answer 'perhaps' is none of the labels"
    assert answers[3].error == "the text is missing"


@pytest.mark.parametrize("kind", [Scorer("entailment"), Server("options")])
def test_the_pool_takes_its_prior_from_one_and_its_geometry_from_another(kind: Scorer, tmp_path: Path) -> None:
    """Fitting, labelling and saving work over a backbone that only scores."""
    texts = [f"{SPORT} in game {i}" for i in range(60)] + [f"{MONEY} on day {i}" for i in range(60)]
    clf = Classifier(LABELS, backbone=kind, geometry="builtin", cache=False).fit(texts)
    assert clf.rung_ == "pool"
    assert (clf.predict(texts) == np.repeat(["sports", "finance"], 60)).all()
    clf.save(tmp_path / "saved")
    same = Classifier.load(tmp_path / "saved", backbone=kind)
    assert np.array_equal(same.predict_proba(texts), clf.predict_proba(texts))
    with_labels = Classifier(LABELS, backbone=kind, geometry="builtin", cache=False).fit(
        texts, ["sports"] + [None] * 119
    )
    assert with_labels.rung_ == "shots"


def test_one_encoder_may_lead_anothers_geometry() -> None:
    """Two backbones that embed: the first says what labels mean."""
    clf = Classifier(LABELS, backbone="builtin", geometry=Other(), cache=False).fit([SPORT, MONEY] * 30)
    assert clf.evidence([SPORT]).scores is not None
    assert clf.predict([SPORT, MONEY]).tolist() == ["sports", "finance"]
    with pytest.raises(UserError, match="embeddings"):
        clf.predict(np.zeros((1, 256)))


class Other:
    """The built-in model under another name: its features turned around."""

    def __init__(self) -> None:
        self._own = load("builtin")
        self.fingerprint = "other"

    def __getattr__(self, name: str) -> Any:
        return getattr(self._own, name)

    def embed(self, texts: Sequence[str], role: Any = "text") -> Any:
        return self._own.embed(texts, role)[:, ::-1].copy()
