"""Labels come back as they were given: same type, same order, after save, load and distill too."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import StackingClassifier, VotingClassifier
from sklearn.model_selection import GridSearchCV, cross_val_predict, cross_val_score
from sklearn.multiclass import OneVsRestClassifier

from rung import Classifier, UserError, distill
from rung.labels import as_array, distinct
from rung.labels.normal_form import spellings

WORDS = [
    "invoice payment refund",
    "crash error screen",
    "thanks great love",
    "parcel delivery late",
    "password login account",
    "pizza cheese dinner",
    "football match goal",
    "doctor medicine pain",
    "flight airport luggage",
    "guitar song concert",
    "election vote senate",
    "rain storm weather",
]
TEXTS = [f"{words} {i}" for i in range(5) for words in WORDS]


def truth(values: list[Any]) -> list[Any]:
    """A label for each text, by its subject."""
    return [values[i % len(WORDS) % len(values)] for i in range(len(TEXTS))]


def typed(array: Any) -> list[tuple[type, Any]]:
    """Labels with their types, so that True is not taken for 1."""
    return [(type(each), each) for each in array.tolist()]


def test_integers_without_names_are_the_same_after_saving_and_distilling(tmp_path: Path) -> None:
    """Twelve labels 0 to 11 taken from y: right in memory, from disk, and by a student."""
    y = truth(list(range(12)))
    clf = Classifier(backbone="builtin").fit(TEXTS, y)
    clf.save(tmp_path / "clf")
    loaded = Classifier.load(tmp_path / "clf")
    student = distill(clf, TEXTS, student="ngram", size=64, temperature=1.0, out=tmp_path / "student")
    assert (clf.predict(TEXTS) == y).mean() > 0.95
    for each in (loaded, student, Classifier.load(tmp_path / "student")):
        assert typed(each.classes_) == typed(clf.classes_) == [(int, i) for i in range(12)]
        assert (each.predict(TEXTS) == y).mean() > 0.95


scalars = st.one_of(
    st.lists(st.integers(-3000, 3000), min_size=2, max_size=6, unique=True),
    st.lists(st.floats(-50, 50, width=16), min_size=2, max_size=6, unique=True),
    st.just([False, True]),
    st.lists(st.text("aäé10 -+#\u0301Z", min_size=1), min_size=2, max_size=6),
    st.lists(st.one_of(st.integers(-5, 2030), st.text("ab19", min_size=1)), min_size=2, max_size=6),
)
containers = st.sampled_from(["y", "y array", "list", "array", "set", "mapping", "series", "frame", "arrow", "polars"])


def put(values: list[Any], container: str) -> Any:
    """The labels as a person may pass them; None where they come with y."""
    import pandas as pd
    import polars as pl
    import pyarrow as pa

    same = len({type(value) for value in values}) == 1
    if not same and container in ("arrow", "polars"):
        container = "frame"
    ways = {
        "list": lambda: values[::-1],
        "array": lambda: np.array(values) if same else np.array(values, dtype=object),
        "set": lambda: set(values),
        "mapping": lambda: dict.fromkeys(values, "a description"),
        "series": lambda: pd.Series(values, dtype=None if same else object),
        "frame": lambda: pd.DataFrame(
            {"description": "some words", "name": pd.Series(values, dtype=None if same else object)}
        ),
        "arrow": lambda: pa.table({"name": values}),
        "polars": lambda: pl.DataFrame({"Name": values}),
    }
    return ways[container]() if container in ways else None


@settings(
    max_examples=8, phases=[Phase.explicit, Phase.reuse, Phase.generate]
)  # cases are small; shrinking takes minutes
@given(values=scalars, container=containers)
def test_labels_of_every_type_and_container_survive(
    values: list[Any], container: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """fit → save → load → distill → predict: the same labels, in the same order, of the same type."""
    try:
        values = distinct(values)
    except UserError:  # a text of white space only
        return
    read = [text.casefold() for value in values for text in {each.casefold() for each in spellings(value)}]
    if len(values) < 2 or len(read) != len(set(read)):
        return
    y: Any = truth(values)
    if container == "y array":
        y = as_array(y)
    folder = tmp_path_factory.mktemp("types")
    clf = Classifier(put(values, container), backbone="builtin").fit(TEXTS, y)
    clf.save(folder / "clf")
    loaded = Classifier.load(folder / "clf")
    student = distill(loaded, TEXTS, y, student="ngram", size=32, temperature=1.0, out=folder / "student")
    asked = TEXTS[:24]
    for each in (clf, loaded, student, Classifier.load(folder / "student")):
        assert typed(each.classes_) == [(type(value), value) for value in values]
        assert set(typed(each.predict(asked))) <= set(typed(each.classes_))
    assert typed(loaded.predict(asked)) == typed(clf.predict(asked))
    assert clf.score(TEXTS, y) > 0.5
    assert typed(clf.transduction_) == typed(as_array(truth(values)))


def test_keys_in_files_carry_their_type(tmp_path: Path) -> None:
    """Shares of numeric labels are read from JSON as they were given."""
    clf = Classifier({0: "negative", 1: "positive"}, backbone="builtin", shares={0: np.float32(0.25)}).fit(TEXTS)
    clf.save(tmp_path / "clf")
    loaded = Classifier.load(tmp_path / "clf")
    assert loaded.shares == {0: 0.25}
    assert type(next(iter(loaded.shares))) is int
    assert json.loads((tmp_path / "clf" / "classifier.json").read_text("utf-8"))["labels"][0]["name"] == 0


MOOD = {0: "negative, complaint, error", 1: "positive, praise, thanks"}
X = np.array([f"{words} {i}" for i in range(12) for words in ("crash error broken", "thanks great love")])
Y = np.tile([0, 1], 12)


@pytest.mark.parametrize("y", [[0, 1], ["0", "1"], [0.0, 1.0], [False, True], np.array([0, 1], dtype=np.int8)])
def test_zero_and_one_are_given_back(y: Any) -> None:
    """With {0: …, 1: …}, predict gives 0 and 1; y may say them as numbers, as texts or as bools."""
    clf = Classifier(MOOD, backbone="builtin").fit(X, [*y] * 12)
    assert typed(clf.predict(X)) == [(int, value) for value in Y]
    assert typed(clf.classes_) == [(int, 0), (int, 1)]


def test_meta_estimators_take_numbers() -> None:
    """score, searches, votes, stacks, one against the rest, calibration and cross-validated predictions all work."""
    clf = Classifier(MOOD, backbone="builtin")
    assert clf.fit(X, Y).score(X, Y) == 1
    assert cross_val_score(clf, X, Y, cv=2).min() == 1
    assert GridSearchCV(clf, {"balanced": [np.True_]}, cv=2).fit(X, Y).best_score_ == 1
    assert (cross_val_predict(clf, X, Y, cv=2) == Y).all()
    assert cross_val_predict(clf, X, Y, cv=2, method="predict_proba").argmax(axis=1).tolist() == Y.tolist()
    for meta in (
        VotingClassifier([("a", clf)], voting="hard"),
        VotingClassifier([("a", clf)], voting="soft"),
        StackingClassifier([("a", clf)], cv=2),
        OneVsRestClassifier(clf),
        CalibratedClassifierCV(clf, cv=2),
    ):
        assert (meta.fit(X, Y).predict(X) == Y).all(), meta


def test_where_labels_are_numbered_anew_the_error_says_what_to_do() -> None:
    """VotingClassifier turns texts into 0 and 1: the error names it, and gives the mapping to write."""
    clf = Classifier(["bad", "good"], backbone="builtin")
    with pytest.raises(UserError, match=r"VotingClassifier.*\n?.*Classifier\(\{0: 'bad', 1: 'good', …\}\)"):
        VotingClassifier([("a", clf), ("b", clf)]).fit(X, np.where(Y, "good", "bad"))


def test_a_tree_of_numbers_answers_numbers(tmp_path: Path) -> None:
    """Leaves and parents keep their type, in predict, in answers and from disk."""
    tree = {1: {"children": {10: "crash error broken", 11: "invoice payment"}}, 2: "thanks great love"}
    clf = Classifier(tree, backbone="builtin", confidence=0.0).fit(X)
    clf.save(tmp_path / "clf")
    for each in (clf, Classifier.load(tmp_path / "clf")):
        assert typed(each.classes_) == [(int, 2), (int, 10), (int, 11)]
        assert set(each.predict(X).tolist()) <= {2, 10, 11}
        assert each.predict(X).dtype.kind == "i"
        assert all(type(answer.label) is int for answer in each.answers(X))
