"""Comparison of settings: the same held-out labels for all, intervals, a search that improves, and nothing measured twice."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")

from rung import Classifier, UserError, load
from rung.training.settings import compare as module
from rung.training.settings.compare import SearchRange, canonical_setting, compare
from rung.training.settings.comparison import SettingResult

pytestmark = pytest.mark.torch

NAMES = ["invoice", "topic"]  # the names have no relation to the texts
OTHERS = ["the", "a", "is", "my", "lost", "refund", "money", "crashes", "about", "text", "help"]
GRID: dict[str, Any] = {"way": ["frozen", "contrastive"], "learning_rate": [1e-12, 2e-3], "steps": [80]}


def texts(n: int = 60) -> tuple[list[str], list[str]]:
    """Texts whose label depends on which of two words comes first, which a mean over words hardly shows."""
    rng = np.random.default_rng(0)
    order = {"invoice": "card app", "topic": "app card"}
    labels = rng.permutation(NAMES * (n // 2)).tolist()
    return [" ".join([*rng.choice(OTHERS, 2), order[name], *rng.choice(OTHERS, 2)]) for name in labels], labels


@pytest.fixture
def clf(tiny_encoder: Path) -> Classifier:
    return Classifier(NAMES, backbone=load(str(tiny_encoder)), cache=False)


def test_the_setting_that_learns_is_ahead(clf: Classifier, tmp_path: Path) -> None:
    """In a grid with one learning rate far too small the other one wins, with intervals; `frozen` is measured only once."""
    found = compare(clf, *texts(), GRID, out=tmp_path / "out")
    assert [row.name for row in found.rows] == [
        "as it is",
        "way=contrastive, learning_rate=1e-12, steps=80",
        "way=contrastive, learning_rate=0.002, steps=80",
    ]
    assert {len(row.right) for row in found.rows} == {60}
    assert found.best is found.rows[2]
    assert found.best.share > 0.9
    first = found.table()[0]
    assert first["low"] < first["share"] <= first["high"]
    assert 0 < first["gain_low"] < first["gain"] < first["gain_high"]
    assert "surely ahead" in found.verdict
    assert found.best.log_loss < found.rows[0].log_loss
    with (tmp_path / "out" / "comparison.csv").open(newline="") as file:
        assert next(csv.DictReader(file))["setting"] == found.best.name
    assert (tmp_path / "out" / "comparison.svg").read_text("utf-8").startswith("<?xml")
    assert {each.name for each in (tmp_path / "out").iterdir()} == {
        "comparison.csv",
        "comparison.svg",
        "record.json",
        "settings.jsonl",
    }


def test_the_first_row_is_the_classifier_as_it_is(clf: Classifier) -> None:
    """The held-out answers of the baseline are those of a fit on the other folds, computed by hand."""
    inputs, labels = texts()
    found = compare(clf, inputs, labels, {"way": ["frozen"]}, folds=2)
    assert len(found.rows) == 1
    right = []
    labeled = module.read_labeled_texts(clf, inputs, labels, "test")
    for shown, hidden, truth in labeled.cross_validation_splits(2, 0):
        fresh = Classifier(NAMES, backbone=clf.backbone, cache=False).fit(shown.texts, shown.y())
        right += [a == labeled.names[b] for a, b in zip(fresh.predict(hidden), truth, strict=True)]
    assert found.rows[0].right == right
    assert found.verdict == "none of 0 settings is ahead of the classifier as it is"


def test_nothing_is_measured_twice(clf: Classifier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a stop the saved results are kept, and an incomplete line is measured again; other texts are refused."""
    out, grid = tmp_path / "out", {"balanced": [False, True], "way": ["frozen"]}
    whole = compare(clf, *texts(), grid, out=out)
    lines = (out / "settings.jsonl").read_text("utf-8").splitlines()
    (out / "settings.jsonl").write_text("\n".join([*lines[:-1], lines[-1][:40]]) + "\n", "utf-8")
    measured: list[Any] = []
    kept = module.SettingsEvaluator.evaluate
    monkeypatch.setattr(
        module.SettingsEvaluator, "evaluate", lambda self, setting: measured.append(setting) or kept(self, setting)
    )
    again = compare(clf, *texts(), grid | {"balanced": [False, True]}, out=out)
    assert measured == [json.loads(lines[-1])["settings"]]
    assert [row.right for row in again.rows] == [row.right for row in whole.rows]
    measured.clear()
    compare(clf, *texts(), {"way": ["probe"]}, out=out)
    assert measured == [{"way": "probe"}]
    with pytest.raises(UserError, match="differs in: texts"):
        compare(clf, *texts(40), grid, out=out)


def test_the_search_finds_a_better_setting(clf: Classifier, monkeypatch: pytest.MonkeyPatch) -> None:
    """Among learning rates over seven orders of magnitude it finds one that learns; the same seed proposes the same settings.

    What a rate is worth is written down here, as an encoder would have it: the search is tested, not the training.
    """
    pytest.importorskip("optuna")

    def evaluate(_: Any, setting: dict[str, Any]) -> SettingResult:
        learns = 1e-5 < setting.get("learning_rate", 0.0) < 1e-2
        return SettingResult(setting, [True, learns] * 20, log_loss=0.1 if learns else 0.7)

    monkeypatch.setattr(module.SettingsEvaluator, "evaluate", evaluate)
    space: dict[str, Any] = {"way": ["contrastive"], "steps": [60], "learning_rate": SearchRange(1e-9, 1e-2)}
    found = compare(clf, *texts(40), space, trials=6, folds=2)
    assert len(found.rows) == 7
    assert found.best.settings["learning_rate"] > 1e-5
    again = compare(clf, *texts(40), space, trials=3, folds=2)
    assert [row.settings for row in again.rows] == [row.settings for row in found.rows[:4]]


def test_a_setting_that_fails_does_not_stop_the_others(clf: Classifier, tmp_path: Path) -> None:
    """A backbone that cannot be tuned has its reason in the table."""
    found = compare(clf, *texts(), {"backbone": ["builtin"], "way": ["frozen", "contrastive"]}, out=tmp_path / "out")
    assert [row.error is None for row in found.rows] == [True, True, False]
    assert "sentence encoder" in str(found.rows[2].error)
    assert len((tmp_path / "out" / "settings.jsonl").read_text("utf-8").splitlines()) == 2


@pytest.mark.parametrize(
    ("space", "how", "message"),
    [
        ({"lerning_rate": [1e-3]}, {}, "Did you mean 'learning_rate'"),
        ({"learning_rate": SearchRange(1e-5, 1e-3)}, {}, "trials=20"),
        ({"way": "contrastive"}, {}, "no list of values"),
        ({"way": []}, {}, "no list of values"),
        ({"way": ["frozen"]}, {"folds": 1}, "folds is 1"),
    ],
)
def test_mistakes(clf: Classifier, space: Any, how: Any, message: str) -> None:
    """Each mistake raises UserError before anything is measured."""
    with pytest.raises(UserError, match=message):
        compare(clf, *texts(), space, **how)


def test_too_few_labels(clf: Classifier) -> None:
    """With one text of each label no label can be hidden."""
    with pytest.raises(UserError, match="too few to hide"):
        compare(clf, ["my card", "the app"], NAMES, {"way": ["frozen"]})


def test_settings_that_mean_the_same_are_one() -> None:
    """Values that the way ignores are left out."""
    assert canonical_setting({"way": "frozen", "steps": 3, "backbone": "x"}) == {"backbone": "x"}
    assert canonical_setting({"way": "probe", "steps": 3}) == {"way": "probe"}
    assert canonical_setting({"steps": 3}) == {"steps": 3, "way": "contrastive"}
