"""The classifier: names in, labels out, nothing made up."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from rung import Answer, Classifier, UserError, load

LABELS = {"billing": "invoices and payments", "bug report": "", "praise": {"words": ["thanks", "great"]}}
TEXTS = ["The invoice asks for a payment I made.", "I want to report a bug.", "Thanks, great work!"]


@pytest.fixture
def clf() -> Classifier:
    return Classifier(LABELS, backbone="builtin")


def test_it_answers_before_any_fit(clf: Classifier) -> None:
    """Label names are enough."""
    assert clf.predict(TEXTS).tolist() == ["billing", "bug report", "praise"]


def test_probabilities_stand_in_the_order_of_classes(clf: Classifier) -> None:
    """Columns follow classes_, which is sorted; rows sum to 1; predict takes the largest."""
    probabilities = clf.predict_proba(TEXTS)
    assert clf.classes_.tolist() == sorted(LABELS)
    assert probabilities.sum(axis=1) == pytest.approx(1)
    assert (clf.classes_[probabilities.argmax(axis=1)] == clf.predict(TEXTS)).all()


def test_each_answer_stands_by_itself(clf: Classifier) -> None:
    """On the rung of names, a text's probabilities do not depend on the other texts."""
    together = clf.predict_proba(TEXTS * 3)
    assert np.concatenate([clf.predict_proba([text]) for text in TEXTS]) == pytest.approx(together[:3], abs=1e-6)


def test_answers_say_where_they_stand(clf: Classifier) -> None:
    """An answer is a label with its probability and rung, or None with the reason: never a made-up label."""
    first, missing, empty = clf.answers([TEXTS[0], None, " "])
    assert first == Answer("billing", first.probability, "names", first.reason, None)
    assert first.probability == pytest.approx(clf.predict_proba(TEXTS[:1]).max())
    assert (missing.label, missing.probability, missing.error) == (None, None, "the text is missing")
    assert (empty.label, empty.error) == (None, "the text is empty")


def test_what_cannot_be_read_keeps_its_place(clf: Classifier) -> None:
    """predict gives None and predict_proba NaN for a row without a text; the others are as ever."""
    assert clf.predict([TEXTS[0], None, TEXTS[1]]).tolist() == ["billing", None, "bug report"]
    probabilities = clf.predict_proba([TEXTS[0], float("nan")])
    assert np.isnan(probabilities[1]).all()
    assert probabilities[0].sum() == pytest.approx(1)


COLUMNS: dict[str, Callable[[list[str]], Any]] = {
    "tuple": tuple,
    "str array": np.array,
    "object array": lambda texts: np.array(texts, dtype=object),
    "pyarrow": lambda texts: pytest.importorskip("pyarrow").array(texts),
    "pandas": lambda texts: pytest.importorskip("pandas").Series(texts, index=[7, 8, 9]),
    "polars": lambda texts: pytest.importorskip("polars").Series(texts),
}


@pytest.mark.parametrize("kind", COLUMNS)
def test_columns_of_every_kind_are_texts(kind: str, clf: Classifier) -> None:
    """What holds the texts does not matter."""
    assert clf.predict(COLUMNS[kind](TEXTS)).tolist() == clf.predict(TEXTS).tolist()


@pytest.mark.parametrize(
    ("X", "what"),
    [
        ("one text", "single text"),
        (b"bytes", "bytes"),
        ([b"bytes"], "row 0 holds bytes"),
        ((text for text in TEXTS), "only once"),
        ({"a": "b"}, "dict"),
        (7, "int"),
        (np.array([["a", "b"]]), "table of shape (1, 2)"),
        (np.zeros((2, 3)), "3 columns"),
        (np.full((1, 256), np.nan), "NaN"),
    ],
)
def test_what_is_no_list_of_texts_is_refused(X: Any, what: str, clf: Classifier) -> None:
    """The error says what was passed, and what to pass."""
    if isinstance(X, np.ndarray) and X.dtype == float and X.shape[1] == 256:
        X = np.full((1, clf.loaded_backbone.dimensions), np.nan)
    with pytest.raises(UserError) as caught:
        clf.predict(X)
    assert what in caught.value.what


def test_embeddings_are_as_good_as_texts(clf: Classifier) -> None:
    """A matrix of the same backbone's embeddings gives the same answers."""
    rows = load("builtin").embed(TEXTS)
    assert clf.predict_proba(rows) == pytest.approx(clf.predict_proba(TEXTS), abs=1e-6)


def test_parameters_are_stored_and_nothing_is_computed() -> None:
    """__init__ keeps what it was given; mistakes are told at the first use; clone and set_params work."""
    clf = Classifier(["a"], backbone="nonsense", long="what")
    assert clone(clf).get_params() == clf.get_params()
    with pytest.raises(UserError, match="'what'"):
        clf.predict(["x"])
    with pytest.raises(UserError, match="at least two are needed"):
        clf.set_params(long="cut").predict(["x"])
    with pytest.raises(UserError, match="not known"):
        clf.set_params(labels=["a", "b"]).predict(["x"])
    with pytest.raises(NotFittedError, match="none are given"):
        Classifier().predict(["x"])


def test_new_labels_are_seen(clf: Classifier) -> None:
    """Changing labels or backbone after a prediction changes the next one."""
    clf.predict(TEXTS)
    assert clf.set_params(labels=["x", "y"]).classes_.tolist() == ["x", "y"]
    assert set(clf.predict(TEXTS)) <= {"x", "y"}


def test_a_saved_classifier_answers_the_same_bit_by_bit(clf: Classifier, tmp_path: Path) -> None:
    """Save and load: JSON and safetensors only, and equal probabilities."""
    clf.save(tmp_path / "saved")
    assert sorted(file.suffix for file in (tmp_path / "saved").iterdir()) == [".json", ".safetensors"]
    loaded = Classifier.load(tmp_path / "saved")
    assert np.array_equal(loaded.predict_proba(TEXTS), clf.predict_proba(TEXTS))
    assert loaded.classes_.tolist() == clf.classes_.tolist()


def test_saving_never_destroys(clf: Classifier, tmp_path: Path) -> None:
    """A classifier is replaced only when told so, other files never."""
    clf.save(tmp_path / "saved")
    with pytest.raises(UserError, match="holds a classifier already"):
        clf.save(tmp_path / "saved")
    clf.save(tmp_path / "saved", force=True)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.txt").write_text("years of work")
    with pytest.raises(UserError, match="other files"):
        clf.save(tmp_path / "other", force=True)
    with pytest.raises(UserError, match="no folder"):
        clf.save(tmp_path / "no" / "where")
    assert sorted(each.name for each in tmp_path.iterdir()) == ["other", "saved"]


@pytest.mark.torch
def test_another_backbone_is_refused(clf: Classifier, tmp_path: Path, tiny_encoder: Path) -> None:
    """A saved classifier is held to the fingerprint of the backbone it was made with."""
    clf.save(tmp_path / "saved")
    with pytest.raises(UserError, match="was made with backbone 'builtin'"):
        Classifier.load(tmp_path / "saved", backbone=str(tiny_encoder))


@pytest.mark.parametrize(
    ("file", "content", "what"),
    [
        ("classifier.json", "{", "damaged"),
        ("classifier.json", "[]", "damaged"),
        ("classifier.json", "null", "damaged"),
        ("classifier.json", '{"format": "rung-classifier", "version": 99}', "rung-classifier 99"),
        ("arrays.safetensors", "x", "damaged"),
    ],
)
def test_a_damaged_classifier_says_so(file: str, content: str, what: str, clf: Classifier, tmp_path: Path) -> None:
    """Broken files and other versions are named, not guessed at."""
    clf.save(tmp_path / "saved")
    (tmp_path / "saved" / file).write_text(content)
    with pytest.raises(UserError, match=what):
        Classifier.load(tmp_path / "saved")
    with pytest.raises(UserError, match="no saved classifier"):
        Classifier.load(tmp_path)


def test_pickling_carries_parameters_only(clf: Classifier) -> None:
    """A classifier travels to other processes, and answers the same there."""
    before = clf.predict_proba(TEXTS)
    packed = pickle.dumps(clf)
    assert len(packed) < 5000
    assert np.array_equal(pickle.loads(packed).predict_proba(TEXTS), before)


def test_a_thousand_labels_are_a_matrix_product() -> None:
    """The number of labels does not matter to how it is used."""
    labels = [f"topic number {i}" for i in range(1000)]
    probabilities = Classifier(labels, backbone="builtin").predict_proba(TEXTS)
    assert probabilities.shape == (3, 1000)
    assert probabilities.sum(axis=1) == pytest.approx(1)


@pytest.mark.torch
def test_options_of_a_backbone_survive_save_and_load(tiny_encoder: Path, tmp_path: Path) -> None:
    """What a person typed behind the name is asked for again; without any, the machine chooses as before."""
    named = f"{tiny_encoder}?engine=torch&precision=bf16"
    clf = Classifier(["card", "app"], backbone=named, geometry=f"{tiny_encoder}?threads=1", cache=False)
    clf.save(tmp_path / "saved")
    again = Classifier.load(tmp_path / "saved")
    assert again.loaded_backbone.numerics == "torch-bf16"
    assert getattr(again.geometry_backbone, "engine_options").threads == 1  # noqa: B009 - a protocol without it
    assert again.predict_proba(["my card"]).tolist() == clf.predict_proba(["my card"]).tolist()
    Classifier(["card", "app"], backbone="builtin").save(tmp_path / "plain")
    assert Classifier.load(tmp_path / "plain").backbone == "builtin"
