"""Parameters of the wrong type or out of range: a clear error, and NumPy's scalars are numbers like any other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from rung import Classifier, UserError

TEXTS = [f"{word} {i}" for i in range(6) for word in ("invoice payment", "crash error", "thanks great")]
LABELS = ["billing", "bug", "praise"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("backbone", 3),
        ("backbone", None),
        ("backbone", ["builtin"]),
        ("geometry", 1.5),
        ("confidence", "high"),
        ("confidence", 2),
        ("confidence", True),
        ("confidence", np.array([0.5])),
        ("balanced", "yes"),
        ("multi_label", "no"),
        ("reject", [0.1]),
        ("reject", True),
        ("reject", "some"),
        ("shortlist", 2.5),
        ("shortlist", 0),
        ("cache", 7),
        ("shares", [0.1, 0.9]),
        ("long", 3),
        ("length", ["sum"]),
    ],
)
def test_a_wrong_parameter_is_named_with_its_value(name: str, value: Any) -> None:
    """Every parameter says what it takes; none leads to a traceback."""
    with pytest.raises(UserError, match=name):
        Classifier(LABELS, **{"backbone": "builtin", name: value}).fit(TEXTS)


def test_scalars_of_numpy_are_taken_and_saved(tmp_path: Path) -> None:
    """np.float32, np.float64, np.int64 and np.bool_ mean what Python's numbers mean, also after saving."""
    clf = Classifier(
        pd.Series(LABELS),
        backbone="builtin",
        confidence=np.float32(0.5),
        reject=np.float64(0.1),
        balanced=np.bool_(False),
        multi_label=np.bool_(False),
        cache=np.bool_(True),
        shares=pd.Series({"praise": np.float32(0.25)}),
    ).fit(TEXTS)
    clf.save(tmp_path / "clf")
    loaded = Classifier.load(tmp_path / "clf")
    assert loaded.predict(TEXTS).tolist() == clf.predict(TEXTS).tolist()
    assert (loaded.confidence, loaded.reject, loaded.balanced, loaded.shares) == (0.5, 0.1, False, {"praise": 0.25})


def test_rows_that_are_no_texts_keep_their_place() -> None:
    """Lists, mappings and numbers among the texts are faults of their rows, with labels beside them too."""
    odd: list[Any] = [*TEXTS, ["a", "list"], {"a": "mapping"}, 3]
    clf = Classifier(LABELS, backbone="builtin").fit(odd, [*LABELS * 6, "bug", "praise", None])
    assert [answer.error is None for answer in clf.answers(odd)] == [True] * len(TEXTS) + [False] * 3
    assert "list" in str(clf.answers(odd)[-3].error)


@pytest.mark.parametrize("row", [["bug"], {"bug": 1}, b"bug", "half \ud83d", object()])
def test_rows_that_are_no_labels_are_refused(row: Any) -> None:
    """In y too, with and without names: what is no label is told with its row or as no name."""
    for labels in (LABELS, None):
        with pytest.raises(UserError):
            Classifier(labels, backbone="builtin").fit(TEXTS[:3], ["billing", "bug", row])


def test_texts_may_be_a_table_of_one_column() -> None:
    """A DataFrame with one column, and an array (n, 1), are that column."""
    clf = Classifier(LABELS, backbone="builtin")
    expected = clf.predict(TEXTS).tolist()
    for X in (pd.DataFrame({"text": TEXTS}), np.array(TEXTS).reshape(-1, 1)):
        assert clf.predict(X).tolist() == expected
        assert Classifier(backbone="builtin").fit(X, LABELS * 6).classes_.tolist() == LABELS


def test_a_folder_is_a_path_as_well_as_a_text(tmp_path: Path) -> None:
    """backbone=Path("…") is looked for like the name; where nothing is, the error says so."""
    with pytest.raises(UserError):
        Classifier(LABELS, backbone=tmp_path / "nothing").predict(TEXTS)
