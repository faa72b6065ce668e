"""Students: they give the labels of their teacher, run without it, and know how often they agree."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tiny
from rung import Classifier, UserError, distill, load
from rung.rungs.linear import fit_student, loss
from rung.training.layer_pruning import drop_layers
from rung.training.provenance import Record
from rung.training.students import static_distillation, student_models
from rung.training.students.distill import query_teacher

THINGS = {
    "billing": ["invoice", "payment", "charge", "price", "refund"],
    "bug report": ["crash", "error", "button", "failure", "freeze"],
    "praise": ["thanks", "work", "team", "help", "service"],
}
SAID = {
    "billing": ["the {} is too high", "my {} was taken twice", "where is my {} for may"],
    "bug report": ["a {} when I save", "the {} comes back after the update", "there is a {} on my phone"],
    "praise": ["wonderful {} as always", "I love the {} here", "great {} from all of you"],
}
ENDS = ["today", "again", "since monday", "in the shop", "on the site", "please look"]
TEXTS = [
    f"{frame.format(thing)} {end}" for name in THINGS for frame in SAID[name] for thing in THINGS[name] for end in ENDS
]
TRUTH = np.repeat(list(THINGS), 90)


@pytest.fixture(scope="module")
def teacher() -> Classifier:
    return Classifier(dict.fromkeys(THINGS, ""), backbone="builtin", cache=False).fit(TEXTS)


@pytest.mark.parametrize("student", ["ngram", "static"])
def test_a_student_gives_the_labels_of_its_teacher(teacher: Classifier, student: Any, tmp_path: Path) -> None:
    """Nine of ten test texts get the teacher's label; a saved and loaded student gives exactly the same probabilities."""
    made = distill(teacher, TEXTS, student=student, out=tmp_path / "student")
    assert made.rung_ == "student"
    assert made.agreement_["share"] >= 0.9
    assert made.agreement_["interval"][0] <= made.agreement_["share"] <= made.agreement_["interval"][1]
    assert made.classes_.tolist() == teacher.classes_.tolist()
    assert f"{made.agreement_['share']:.1%}" in made.guard_
    again = Classifier.load(tmp_path / "student")
    assert np.array_equal(again.predict_proba(TEXTS), made.predict_proba(TEXTS))
    record = Record.read(tmp_path / "student")
    assert (record.by, record.parent["rung"]) == ("distill", "pool")  # type: ignore[index]
    assert record.results["chosen"]["student"] == student


def test_it_is_as_confident_as_its_teacher(teacher: Classifier) -> None:
    """The mean of the largest probability is the teacher's, within a few points."""
    made = distill(teacher, TEXTS, student="ngram")
    assert made.predict_proba(TEXTS).max(axis=1).mean() == pytest.approx(
        teacher.predict_proba(TEXTS).max(axis=1).mean(), abs=0.05
    )


def test_a_student_needs_no_torch(teacher: Classifier, tmp_path: Path) -> None:
    """The students ngram and static predict in a process in which torch cannot be imported."""
    for student in ("ngram", "static"):
        distill(teacher, TEXTS, student=student, out=tmp_path / student)  # type: ignore[arg-type]
        code = f"""
import sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "transformers", "sentence_transformers"):
            raise ImportError(name)

sys.meta_path.insert(0, Refuse())
from rung import Classifier
print(Classifier.load({str(tmp_path / student)!r}).predict({TEXTS[:2]!r} + [{TEXTS[-1]!r}]).tolist())
"""
        printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
        assert printed.strip() == "['billing', 'billing', 'praise']"


def test_the_gradient_of_the_loss_is_exact() -> None:
    """With and without true labels (λ > 0, λ = 0), the gradient is the one from finite differences of the loss."""
    rng = np.random.default_rng(0)
    logits, teacher = rng.standard_normal((2, 5, 3))
    labels = np.array([0, -1, 2, 1, -1])
    for weight in (0.0, 0.7):
        _, gradient = loss(logits, teacher, labels, 2.0, weight)
        by_hand = np.zeros_like(logits)
        for i, j in np.ndindex(*logits.shape):
            step = np.zeros_like(logits)
            step[i, j] = 1e-6
            up, down = (loss(logits + s * step, teacher, labels, 2.0, weight)[0] for s in (1, -1))
            by_hand[i, j] = (up - down) / 2e-6
        assert gradient == pytest.approx(by_hand, abs=1e-6)


def test_a_linear_teacher_is_recovered() -> None:
    """A teacher that is linear in the features is recovered."""
    rng = np.random.default_rng(0)
    rows, W = rng.standard_normal((400, 6)), rng.standard_normal((6, 3))
    found, bias = fit_student(rows, rows @ W + [0.5, 0, -0.5], penalty=1e-9)
    gap = (rows @ found + bias) - (rows @ W + [0.5, 0, -0.5])
    assert np.abs(gap - gap.mean(axis=1, keepdims=True)).max() < 0.02


def test_the_student_rejects_as_its_teacher_does(tmp_path: Path) -> None:
    """If the teacher rejects texts, the student rejects as many, after loading too."""
    texts = TEXTS + [f"{word} mountain weather {i}" for i in range(10) for word in ("rain", "sun", "snow")]
    teacher = Classifier(dict.fromkeys(THINGS, ""), backbone="builtin", reject=0.1, cache=False).fit(texts)
    made = distill(teacher, texts, student="static", out=tmp_path / "student")
    out = [label is None for label in teacher.predict(texts)]
    assert sum(label is None for label in made.predict(texts)) == pytest.approx(sum(out), abs=2)


def test_copies_of_a_text_are_in_one_part(teacher: Classifier) -> None:
    """However often a text occurs, all of its copies are in the same part, so that no test text is a training text."""
    answers = query_teacher(teacher, TEXTS * 3)
    parts = [
        {answers.texts[i] for i in part} for part in (answers.train_rows, answers.validation_rows, answers.test_rows)
    ]
    assert len(parts[0] | parts[1] | parts[2]) == sum(map(len, parts))
    assert sum(map(len, (answers.train_rows, answers.validation_rows, answers.test_rows))) == len(TEXTS) * 3


@pytest.mark.parametrize(
    ("how", "match"),
    [
        ({"student": "tiny"}, "there is no student"),
        ({"temperature": 0}, "temperature is 0"),
        ({"ce_weight": -1}, "ce_weight is -1"),
        ({"size": 8}, "means something else for every student"),
        ({"student": "shallow"}, "no sentence encoder"),
        ({"student": "static", "size": 10_000}, "smaller number of dimensions"),
    ],
)
def test_invalid_settings_are_refused(teacher: Classifier, how: dict[str, Any], match: str) -> None:
    """Each invalid setting raises UserError."""
    with pytest.raises(UserError, match=match):
        distill(teacher, TEXTS, **how)


def test_teachers_that_cannot_be_distilled(tmp_path: Path) -> None:
    """A teacher with several labels a text, too few texts, and a folder in use raise UserError."""
    labels = dict.fromkeys(THINGS, "")
    with pytest.raises(UserError, match="several labels a text"):
        distill(Classifier(labels, backbone="builtin", multi_label=True).fit(TEXTS), TEXTS)
    with pytest.raises(UserError, match="are too few"):
        distill(Classifier(labels, backbone="builtin"), TEXTS[:5])
    (tmp_path / "mine.txt").write_text("x", "utf-8")
    with pytest.raises(UserError, match="holds other files"):
        distill(Classifier(labels, backbone="builtin"), TEXTS, out=tmp_path)


@pytest.mark.torch
def test_a_shallow_student_keeps_some_layers(tiny_encoder: Path, tmp_path: Path) -> None:
    """The student keeps half of the layers of the teacher's encoder and is saved with them; the teacher stays as it was."""
    from rung import load

    backbone = load(str(tiny_encoder))
    before = backbone.fingerprint
    teacher = Classifier(dict.fromkeys(THINGS, ""), backbone=backbone, cache=False).fit(TEXTS[::4])
    made = distill(teacher, TEXTS[::4], student="shallow", out=tmp_path / "student")
    assert json.loads((tmp_path / "student" / "backbone" / "config.json").read_text("utf-8"))["num_hidden_layers"] >= 1
    assert np.array_equal(Classifier.load(tmp_path / "student").predict(TEXTS), made.predict(TEXTS))
    assert backbone.fingerprint == before


@pytest.mark.torch
def test_a_shallow_encoder_learns_control_tokens_as_text(tiny_encoder: Path, tmp_path: Path) -> None:
    """Marks that texts spell are trained on as their letters, which is what the full encoder's rows are of."""
    made = [
        drop_layers(
            load(str(tiny_encoder)), 1, tmp_path / mark, texts=[f"my card {mark} is lost {i}" for i in range(8)]
        )
        for mark in ("[MASK]", "[ MASK]")
    ]
    assert made[0].fingerprint == made[1].fingerprint


def test_agreement_is_told_by_rows_and_by_distinct_texts(teacher: Classifier) -> None:
    """Where texts repeat, rows weigh as they occur and each text counts once beside; the sentence says both."""
    many = [text for i, text in enumerate(TEXTS) for _ in range(1 + i % 4)]
    made = distill(teacher, many, student="ngram")
    rows, distinct = made.agreement_, made.agreement_["distinct"]
    assert distinct["texts"] == 27 < rows["texts"]
    assert distinct["interval"][1] - distinct["interval"][0] > rows["interval"][1] - rows["interval"][0]
    assert f"{rows['texts']} rows" in made.guard_
    assert f"the {distinct['texts']} distinct texts" in made.guard_
    once = distill(teacher, TEXTS, student="ngram")
    assert once.agreement_["distinct"]["texts"] == once.agreement_["texts"]
    assert "distinct" not in once.guard_


def test_no_student_learns_from_what_belongs_to_no_label(teacher: Classifier) -> None:
    """Texts whose known answer is "none of these" are left out: the student is that of the others."""
    y = [None] * len(TEXTS)
    told = distill(
        teacher, [*TEXTS, "an odd one", "another odd one"], [*y, "none of these", "none of these"], student="ngram"
    )
    assert np.array_equal(told.predict_proba(TEXTS), distill(teacher, TEXTS, y, student="ngram").predict_proba(TEXTS))


@pytest.mark.torch
def test_auto_skips_a_student_that_cannot_be_made(tmp_path: Path) -> None:
    """A teacher whose tokenizer static vectors cannot be read with still gets a student, and the record says why not the other."""
    pytest.importorskip("torch")
    folder = foreign_encoder(tmp_path)
    clf = Classifier(dict.fromkeys(THINGS, ""), backbone=load(str(folder)), cache=False).fit(TEXTS[::6])
    made = distill(clf, TEXTS[::6], out=tmp_path / "student")
    assert made.loaded_backbone.name == "ngram"
    ngram, static = (
        line for line in Record.read(tmp_path / "student").results["tried"] if line.get("temperature") != 2
    )
    assert ngram["student"] == "ngram"
    assert static["student"] == "static"
    assert "uncased BERT" in static["skipped"]
    with pytest.raises(UserError, match="uncased BERT"):
        distill(clf, TEXTS[::6], student="static")


def foreign_encoder(folder: Path) -> Path:
    """A sentence encoder of RoBERTa's kind, with random weights."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer

    body = Transformer(str(tiny.roberta("RobertaModel", folder / "roberta")), max_seq_length=16)
    SentenceTransformer(modules=[body, Pooling(32, "mean")]).save(str(folder / "encoder"))
    return folder / "encoder"


@pytest.mark.torch
def test_auto_reads_no_whole_vocabulary_for_a_few_texts(tiny_encoder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Static vectors of an encoder are tried where texts are many beside its tokens, and always where they are asked for."""
    clf = Classifier(["card", "app"], backbone=load(str(tiny_encoder)), cache=False)
    texts = [f"my card is lost {i}" for i in range(39)]
    read: list[int] = []
    rows = static_distillation.token_embeddings
    monkeypatch.setattr(static_distillation, "token_embeddings", lambda *how: read.append(1) or rows(*how))
    monkeypatch.setattr(student_models, "TOKENS_PER_TEXT", 0.5)
    distill(clf, texts)
    assert not read
    monkeypatch.setattr(student_models, "TOKENS_PER_TEXT", 30)
    distill(clf, texts)
    assert read
