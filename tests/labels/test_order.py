"""The one order of labels, their normal form, and how they are found again."""

from __future__ import annotations

import numpy as np
import pytest

from rung import UserError
from rung.labels import LabelIndex, Labels, as_array, distinct
from rung.labels.label import Label


def test_numbers_are_ordered_as_numbers_and_before_texts() -> None:
    """0 to 11 stand as they are counted, years after short numbers, negative ones first, texts last."""
    assert Labels.parse(range(12)).values == list(range(12))
    assert Labels.parse([2024, 7, -3, 0.5]).values == [-3, 0.5, 7, 2024]
    assert Labels.parse(["b", 3, "a", -1]).values == [-1, 3, "a", "b"]


def test_a_tree_and_its_leaves_have_the_same_order() -> None:
    """Children, and leaves of different parents, are ordered as a flat list is."""
    tree = Labels.parse({"old": {"children": [1999, 70]}, "new": {"children": [2024, 800]}})
    assert tree.values == [70, 800, 1999, 2024]
    assert [child.value for child in tree.labels[1].children] == [70, 1999]


@pytest.mark.parametrize(
    ("values", "kind"),
    [([0, 1], "i"), ([0.5, 1.0], "f"), ([False, True], "b"), (["a", "b"], "U"), ([1, "a"], "O"), ([2**70, 1], "O")],
)
def test_an_array_keeps_the_type(values: list[object], kind: str) -> None:
    """classes_ has a type of its own where labels have one, and keeps each label's where they are mixed."""
    array = as_array(values)  # type: ignore[arg-type]
    assert array.dtype.kind == kind
    assert [type(each) for each in array.tolist()] == [type(each) for each in values]


def test_scalars_of_numpy_are_pythons_own() -> None:
    """np.int64(3), np.float32(.5), np.bool_ and np.str_ are kept as the numbers, bools and texts they are."""
    given = [np.int64(3), np.float32(0.5), np.str_("x")]
    assert [(type(value), value) for value in Labels.parse(given).values] == [(float, 0.5), (int, 3), (str, "x")]
    assert Labels.parse(np.array([True, False])).values == [False, True]


def test_a_label_is_found_by_what_reads_as_it() -> None:
    """A file's text, a gap's float and NumPy's scalar mean the label; a name is found however its accents were typed."""
    index = LabelIndex([0, 1])
    assert [index.find(each) for each in (1, "1", 1.0, "1.0", np.int8(1), True, " 1 ")] == [1] * 7
    assert [index.find(each) for each in ("2", 0.5, None, "one", [1], float("nan"))] == [None] * 6
    assert LabelIndex(["caf\u00e9"]).find(" cafe\u0301 ") == 0
    assert LabelIndex([False, True]).find("true") == 1
    assert LabelIndex(["2020", "2021"]).find(2021.0) == 1


def test_names_have_one_normal_form() -> None:
    """White space, byte-order marks and zero-width spaces at the ends go, accents are composed, wherever a label stands."""
    assert Label("\ufeff cafe\u0301\u200b ").name == "caf\u00e9"
    with pytest.raises(UserError, match="given twice"):
        Labels.parse(["caf\u00e9", "cafe\u0301"])


def test_what_reads_the_same_is_refused() -> None:
    """1 and "1", 1 and True, 1 and 1.0 cannot be told apart in a file, so they cannot be two labels."""
    for pair in ([1, "1"], [1, 1.0], ["true", True], [1, True]):
        with pytest.raises(UserError, match="read the same"):
            Labels.parse(pair)


def test_distinct_labels_have_the_simplest_type() -> None:
    """Whatever order they come in, equal numbers are one label."""
    assert distinct([True, 1, 1.0]) == distinct([1.0, True, 1]) == [1]
    assert type(distinct([1.0, True, 1])[0]) is int


@pytest.mark.parametrize("name", ["half \ud83d", float("nan"), float("inf"), None, b"bytes", ["a"], {"a": 1}, (1, 2)])
def test_what_is_no_name_is_refused(name: object) -> None:
    """Half a surrogate, NaN, bytes and collections: a clear error, no traceback."""
    with pytest.raises(UserError, match="labels:"):
        Labels.parse([name, "other"])


def test_a_number_is_worded_by_its_description() -> None:
    """0 says nothing to a backbone: with a description it is read as that, and so is "0"."""
    for value in (0, "0"):
        assert Label(value, "negative").phrasings()[0][0] == "negative"
        assert not any("0" in said for said in Label(value, "negative").phrasings()[0])
    assert Label("good", "positive").phrasings()[0][0] == "good"
