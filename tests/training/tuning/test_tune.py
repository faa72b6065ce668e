"""Tuning: a new encoder that separates labels, kept only if it is better; the old one is unchanged; a killed run resumes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")

from rung import Classifier, UserError, load, tune
from rung.training import memory_estimate
from rung.training.cross_validation import stratified_folds
from rung.training.labeled_texts import LabeledTexts
from rung.training.provenance import Record
from rung.training.training_log import read
from rung.training.tuning import encoder_trainer
from rung.training.tuning.batch_sampling import augment_texts, label_balanced_batches, shuffled_passes
from rung.training.tuning.tune import TuningRun

pytestmark = pytest.mark.torch

FRONT = ["my card is lost", "the card is lost", "card lost help", "a lost card", "my lost card", "lost the card"]
BACK = [
    "the app crashes",
    "my app crashes help",
    "app crashes",
    "a text about the app",
    "the app is a text",
    "text app",
]
ENDS = ["", " again", " money", " topic", " invoice", " refund"]
OTHERS = ["the", "a", "is", "my", "lost", "refund", "money", "crashes", "about", "text", "help"]
NAMES = ["invoice", "topic"]  # the names have no relation to the texts


def texts(n: int = 36) -> tuple[list[str], list[str]]:
    """Texts of two kinds, each with its label."""
    pairs = [
        (text + end, name)
        for end in ENDS
        for both in zip(FRONT, BACK, strict=True)
        for text, name in zip(both, NAMES, strict=True)
    ]
    return [text for text, _ in pairs[:n]], [name for _, name in pairs[:n]]


@pytest.fixture
def clf(tiny_encoder: Path) -> Classifier:
    return Classifier(NAMES, backbone=load(str(tiny_encoder)), cache=False)


def right(clf: Classifier, n: int = 72) -> float:
    unseen, truth = (each[36:n] for each in texts(n))
    return float(np.mean([a == b for a, b in zip(clf.predict(unseen), truth, strict=True)]))


@pytest.mark.parametrize(("way", "rate"), [("contrastive", 1e-3), ("full", 1e-3), ("lora", 1e-2)])
def test_a_new_encoder_separates_labels(clf: Classifier, way: Any, rate: float, tmp_path: Path) -> None:
    """Each way learns what the names do not say; the original backbone is unchanged; the folder holds all files."""
    before = clf.loaded_backbone.fingerprint
    made = tune(clf, *texts(), way=way, steps=25, learning_rate=rate, out=tmp_path / "new", guard=False)
    assert right(made) > 0.9 > right(clf)
    assert clf.loaded_backbone.fingerprint == before != made.loaded_backbone.fingerprint
    assert made.rung_ == "tuned"
    again = Classifier.load(tmp_path / "new")
    assert (again.predict_proba(texts()[0]) == made.predict_proba(texts()[0])).all()
    record = Record.read(tmp_path / "new")
    assert record.parent == {"name": clf.loaded_backbone.name, "fingerprint": before}
    assert record.inputs["labels"]["rows"] == 36
    losses = [line["loss"] for line in read(tmp_path / "new") if "loss" in line]
    assert losses[-1] < losses[0]
    assert (tmp_path / "new" / "curves.svg").read_text("utf-8").startswith("<?xml")
    assert not list(tmp_path.glob(".*"))


def test_tuned_weights_are_kept_if_held_out_labels_show_a_gain(clf: Classifier) -> None:
    """The guard finds that the tuned weights are better, and says by how much."""
    rng = np.random.default_rng(0)
    labels = rng.permutation(NAMES * 60).tolist()
    order = {"invoice": "card app", "topic": "app card"}  # which a mean over words hardly shows
    given = [" ".join([*rng.choice(OTHERS, 2), order[name], *rng.choice(OTHERS, 2)]) for name in labels]
    made = tune(clf, given[:60], labels[:60], steps=100, learning_rate=2e-3)
    assert made.rung_ == "tuned"
    assert "held-out labels" in made.guard_
    frozen = Classifier(NAMES, backbone=clf.loaded_backbone, cache=False).fit(given[:60], labels[:60])
    scores = [np.mean(each.predict(given[60:]) == np.array(labels[60:])) for each in (made, frozen)]
    assert scores[0] > max(0.95, scores[1])


def test_labels_at_random_leave_the_weights_frozen(clf: Classifier) -> None:
    """If nothing can be learned, the weights stay frozen."""
    labels = np.random.default_rng(0).choice(NAMES, 36).tolist()
    made = tune(clf, texts()[0], labels, steps=10)
    assert made.rung_ == "shots"
    assert "stay frozen" in made.guard_
    assert made.loaded_backbone is clf.loaded_backbone


@pytest.mark.filterwarnings("ignore::rung.inference.language.LanguageWarning")  # random weights read no language
def test_weights_that_are_clearly_worse_on_the_first_fold_are_not_trained_again(
    clf: Classifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Weights that are worse than the frozen ones are given up after one training."""
    trained: list[str] = []

    def worse(run: TuningRun, labeled: LabeledTexts, name: str) -> Classifier:
        trained.append(name)
        return run.fit_frozen(replace(labeled, labels=np.where(labeled.labels >= 0, 1 - labeled.labels, -1)))

    monkeypatch.setattr(TuningRun, "fit_tuned", worse)
    texts_given = [f"{'card lost' if i % 2 else 'app crashes'} {OTHERS[i % 11]} {i}" for i in range(40)]
    made = tune(clf, texts_given, [NAMES[i % 2] for i in range(40)])
    assert trained == ["part-0"]
    assert made.guard_.startswith("on 20 held-out labels")


@pytest.mark.parametrize("k", [0, 1, 7])
def test_few_labels_are_no_worse_than_without_tuning(clf: Classifier, k: int) -> None:
    """With too few labels to compare, the answers are those of the rung shots on the same texts."""
    given, labels = texts()
    y = [name if i < 2 * k else None for i, name in enumerate(labels)]
    made, frozen = tune(clf, given, y), Classifier(NAMES, backbone=clf.loaded_backbone, cache=False).fit(given, y)
    assert (made.predict_proba(given) == frozen.predict_proba(given)).all()


def test_a_probe_learns_without_changing_a_weight(clf: Classifier, tmp_path: Path) -> None:
    """The way "probe" fits a convex head on frozen features; it is saved and loaded like the others."""
    made = tune(clf, *texts(), way="probe", guard=False, out=tmp_path / "probe")
    assert made.rung_ == "probe"
    assert made.loaded_backbone.fingerprint == clf.loaded_backbone.fingerprint
    assert right(made) > right(clf)


@pytest.mark.filterwarnings("ignore::rung.inference.language.LanguageWarning")  # the encoder knows no brackets
def test_control_tokens_in_a_text_are_learned_as_text(clf: Classifier, tmp_path: Path) -> None:
    """Marks that texts spell are trained on as their letters, also where the training is watched on held-out texts."""
    said, y = texts()
    spelled = [f"{text} [SEP] [MASK]" for text in said]
    apart = [text.replace("[", "[ ") for text in spelled]
    first, second = (
        tune(clf, each, y, steps=4, checks=2, validation=0.2, out=tmp_path / name, guard=False)
        for name, each in (("spelled", spelled), ("apart", apart))
    )
    assert first.loaded_backbone.fingerprint == second.loaded_backbone.fingerprint


def test_teach_uses_texts_without_label(clf: Classifier) -> None:
    """With teach the encoder is trained on the unlabelled texts too; without it, it is not."""
    given, labels = texts()
    y = [name if i < 24 else None for i, name in enumerate(labels)]
    with_it, without = (tune(clf, given, y, teach=teach, steps=5, guard=False) for teach in (True, False))
    assert with_it.loaded_backbone.fingerprint != without.loaded_backbone.fingerprint


def test_a_killed_run_resumes(clf: Classifier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same call resumes from the last checkpoint, and ends with the weights of an uninterrupted run."""
    monkeypatch.setattr(encoder_trainer, "_SAVE_STEPS", 4)
    how: dict[str, Any] = {"steps": 12, "guard": False, "learning_rate": 1e-3}

    def killed(step: int, *_: Any) -> None:
        if step == 10:
            raise KeyboardInterrupt

    seen: list[int] = []
    whole = tune(clf, *texts(), out=tmp_path / "whole", **how)
    with pytest.raises(KeyboardInterrupt):
        tune(clf, *texts(), out=tmp_path / "broken", progress=killed, **how)
    assert not (tmp_path / "broken").exists()
    with pytest.raises(UserError, match="another training"):
        tune(clf, *texts(), out=tmp_path / "broken", **(how | {"steps": 13}))
    again = tune(clf, *texts(), out=tmp_path / "broken", progress=lambda step, *_: seen.append(step), **how)
    assert min(seen) == 9
    assert again.predict_proba(texts()[0]) == pytest.approx(whole.predict_proba(texts()[0]), abs=1e-4)


def test_it_stops_early(clf: Classifier) -> None:
    """Held-out labelled texts end a training that no longer improves."""
    seen: list[int] = []
    how: dict[str, Any] = {"steps": 200, "validation": 0.3, "patience": 2, "checks": 20, "learning_rate": 1e-3}
    made = tune(clf, *texts(), guard=False, progress=lambda step, *_: seen.append(step), **how)
    assert max(seen) < 200
    assert right(made) > 0.9


@pytest.mark.parametrize(
    ("y", "how", "message"),
    [
        (["invoice"] * 36, {}, "all labels given are 'invoice'"),
        (["invoice"] + ["topic"] * 35, {"validation": 0.3, "guard": False}, "too few texts to hold some out"),
        (None, {"way": "magic"}, "there is no way 'magic'"),
        (None, {"batch": 1}, "a batch of one text"),
        (None, {"dropout": 1.5}, "dropout is 1.5"),
    ],
)
def test_invalid_settings_are_refused(clf: Classifier, y: Any, how: dict[str, Any], message: str) -> None:
    """Each mistake raises UserError before the training starts."""
    given, truth = texts()
    with pytest.raises(UserError, match=message):
        tune(clf, given, truth if y is None else y, **how)


def test_a_loss_of_nan_is_an_error(clf: Classifier, monkeypatch: pytest.MonkeyPatch) -> None:
    """A loss of NaN ends the training with a UserError."""
    import torch

    def broken(encoder: Any) -> Any:
        class Broken(torch.nn.Module):
            def forward(self, features: Any, _: Any) -> Any:
                return encoder(next(iter(features)))["sentence_embedding"].sum() * float("nan")

        return Broken()

    monkeypatch.setattr(encoder_trainer, "contrastive_loss", broken)
    with pytest.raises(UserError, match="the loss is nan"):
        tune(clf, *texts(), steps=5, guard=False)


def test_too_little_memory_is_an_error_before_it_starts(clf: Classifier, monkeypatch: pytest.MonkeyPatch) -> None:
    """A training that does not fit into the memory is refused before it starts."""
    monkeypatch.setattr(memory_estimate, "available_bytes", lambda: 1000)
    with pytest.raises(UserError, match="memory"):
        tune(clf, *texts(), guard=False)


def test_other_backbones_are_refused() -> None:
    """A backbone that is no sentence encoder cannot be tuned."""
    with pytest.raises(UserError, match="no sentence encoder"):
        tune(Classifier(NAMES, backbone="builtin"), *texts(), guard=False)


def test_batches_hold_labels_evenly() -> None:
    """However imbalanced the labels are, every batch holds two texts of each."""
    labels = np.array([0] * 97 + [1] * 2 + [2])
    sampled = label_balanced_batches(labels, 12, 50, seed=0).reshape(50, 12)
    for batch in sampled:
        assert np.bincount(labels[batch], minlength=3).min() >= 2
    assert np.bincount(shuffled_passes(7, 7, 3, seed=1)).tolist() == [3] * 7


def test_texts_lose_words_only_when_asked() -> None:
    """Without dropout texts stay as they are, and with it no text becomes empty."""
    given = ["one two three", "one two four"]
    assert augment_texts(given, word_dropout=0.0, rare_words=0.0, unknown_token="?", seed=0) == given
    assert augment_texts(given * 50, word_dropout=0.5, rare_words=0.0, unknown_token="?", seed=0) != given * 50
    assert all(
        text for text in augment_texts(["one"] * 99, word_dropout=0.9, rare_words=0.0, unknown_token="?", seed=0)
    )


def test_folds_hold_every_label_and_keep_equal_texts_together() -> None:
    """Each label is spread over both folds, and equal texts are in the same fold."""
    labels, copies = np.array([0, 0, 1, 1, 0, 0]), ["a", "b", "c", "d", "a", "e"]
    fold = stratified_folds(labels, copies, 2, seed=0)
    assert fold[0] == fold[4]
    assert {0, 1} == set(fold[labels == 1].tolist())
