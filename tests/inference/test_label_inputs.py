"""What people pass as y and as shares, read by the names that it carries."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import scipy.sparse
from hypothesis import given
from hypothesis import strategies as st

from rung import UserError
from rung.decide.correctness import NONE_OF_THESE_INDEX
from rung.inference.label_inputs import (
    UNKNOWN_LABEL,
    align_to_rows,
    encode_indicators,
    encode_labels,
    is_missing_label,
    label_column,
    named_shares,
)

NAMES = ["billing", "bug", "praise"]
NAN = float("nan")


def places(y: Any, n: int, names: list[Any] = NAMES) -> list[int]:
    return encode_labels(y, n, names, minus_one_is_missing=True).tolist()


COLUMN = ["bug", None, "billing"]


@pytest.mark.parametrize(
    "y",
    [
        COLUMN,
        tuple(COLUMN),
        np.array(COLUMN, dtype=object),
        np.array(COLUMN, dtype=object).reshape(3, 1),
        pd.Series(COLUMN),
        pd.Series(COLUMN, dtype="category"),
        pd.DataFrame({"anything": COLUMN}),
        pl.Series(COLUMN),
        pl.DataFrame({"anything": COLUMN}),
        pa.array(COLUMN),
        pa.chunked_array([COLUMN[:1], COLUMN[1:]]),
        pa.table({"anything": COLUMN}),
        [" bug\u200b", float("nan"), "billing\ufeff"],
        ["bug", pd.NA, "billing"],
        ["bug", -1, "billing"],
        pd.DataFrame({"praise": [0, 0, 0], "bug": [1, 0, 0], "billing": [0, 0, 1]}),
        pd.DataFrame({"bug": [True, None, False], "billing": [None, None, True]}),
    ],
    ids=lambda y: type(y).__module__.split(".")[0] + "." + type(y).__name__,
)
def test_a_column_of_labels_is_read_whatever_holds_it(y: Any) -> None:
    """Lists, arrays, (n, 1), columns and tables of every library, and tables of marks with the labels as columns."""
    assert places(y, 3) == [1, -1, 0]


@pytest.mark.parametrize("dtype", [np.int8, np.float32, np.float64, bool, object, str])
def test_numbers_mean_the_same_in_every_type(dtype: Any) -> None:
    """0.0 and 1.0 are 0 and 1, and a file's texts are too."""
    assert places(np.array([0, 1, 0]).astype(dtype), 3, [0, 1]) == [0, 1, 0]
    assert places([NAN, 1.0, 0.0], 3, [0, 1]) == [-1, 1, 0]


@pytest.mark.parametrize(
    ("y", "what"),
    [
        ("bug", "got str"),
        ({"bug", "billing"}, "got set"),
        (7, "got int"),
        (pd.DataFrame({"bug": [1], "other": [0]}), "'other' is none of the labels"),
        (pd.DataFrame({"bug": [1], "billing": [1]}), "row 0 marks several labels"),
        (np.array([["bug", "billing"]]), r"shape \(1, 2\)"),
        (scipy.sparse.csr_matrix([[1, 0, 0]]), "got csr_matrix"),
        ([["bug"]], "none of the labels"),
        ([{"bug": 1}], "none of the labels"),
        ([b"bug"], "none of the labels"),
        (["half \ud83d"], "none of the labels"),
        ([np.array([1, 2])], "none of the labels"),
    ],
)
def test_what_is_no_column_of_labels_is_refused(y: Any, what: str) -> None:
    """Texts, sets, foreign columns, unhashable rows: a clear error, no traceback."""
    with pytest.raises(UserError, match=what):
        places(y, 1)


def test_none_of_these_and_what_is_never_seen() -> None:
    """The word for none of the labels has a place of its own, and so have labels that are no mistake where truth is compared."""
    assert places(["None of these", "bug"], 2) == [NONE_OF_THESE_INDEX, 1]
    found = encode_labels(["never", "bug"], 2, NAMES, minus_one_is_missing=False, allow_unknown=True)
    assert found.tolist() == [UNKNOWN_LABEL, 1]
    assert is_missing_label(" \u200b")


MARKS = [[1.0, 0.0, NAN], [0.0, 1.0, NAN]]


@pytest.mark.parametrize(
    "y",
    [
        np.array(MARKS),
        MARKS,
        np.array(MARKS, dtype=object),
        pd.DataFrame(MARKS),
        pd.DataFrame({"praise": [None, None], "bug": [0, 1], "billing": [True, False]}),
        pd.DataFrame({"bug": pd.array([0, 1], dtype="Int64"), "billing": [1.0, 0.0]}),
        pl.DataFrame({"bug": [0, 1], "billing": [1, 0], "praise": [None, None]}),
        pa.table({"bug": [False, True], "billing": [True, False]}),
        [{"bug": 0, "billing": 1}, {"billing": 0.0, "bug": np.True_}],
    ],
    ids=lambda y: type(y).__module__.split(".")[0] + "." + type(y).__name__,
)
def test_marks_are_read_by_the_names_of_their_columns(y: Any) -> None:
    """Columns in any order; those without names in the order of the labels; what is left out is not known."""
    assert np.array_equal(encode_indicators(y, 2, NAMES), np.array(MARKS), equal_nan=True)


@pytest.mark.parametrize(
    "y",
    [
        scipy.sparse.csr_matrix([[1, 0, 0], [0, 1, 1]]),
        scipy.sparse.coo_array(np.array([[1.0, 0, 0], [0, 1, 1]])),
        np.array([[True, False, False], [False, True, True]]),
        [("billing",), ["praise", "bug"]],
        ["billing", {"praise", "bug"}],
        pd.Series([["billing"], ["bug", "praise"]]),
        pl.Series([["billing"], ["bug", "praise"]]),
        pa.array([["billing"], ["bug", "praise"]]),
        pd.DataFrame({"labels": [["billing"], ("bug", "praise")]}),
        [["billing"], np.array(["bug", "praise"])],
    ],
    ids=lambda y: type(y).__module__.split(".")[0] + "." + type(y).__name__,
)
def test_marks_and_collections_of_names_say_the_same(y: Any) -> None:
    """Sparse matrices, bools, and collections of names in every kind of column."""
    assert encode_indicators(y, 2, NAMES).tolist() == [[1, 0, 0], [0, 1, 1]]


@pytest.mark.parametrize(
    ("y", "what"),
    [
        (pd.DataFrame({"bug": [1], "foreign": [0]}), "'foreign' is none of the labels"),
        (pd.DataFrame([[1, 0]]), "2 marks for each text, but there are 3 labels"),
        (pd.DataFrame([[1, 0]], columns=["bug", " bug"]), "are the same label"),
        (pd.DataFrame([[1, 0]], columns=["bug", "bug"]), "two columns 'bug'"),
        (pd.DataFrame({"bug": ["yes"], "praise": [0]}), "hold 'yes'"),
        (pd.DataFrame({"bug": [2], "praise": [0]}), "numbers other than 0 and 1"),
        ([["bug", "none of these"]], "beside a label"),
        (scipy.sparse.csr_matrix([[1, 0]]), "2 marks for each text, but there are 3 labels"),
        ([{"foreign": 1}], "none of the labels"),
    ],
)
def test_marks_that_name_no_label_are_refused(y: Any, what: str) -> None:
    """Foreign names, another number of columns, words for marks: told, not guessed."""
    with pytest.raises(UserError, match=what):
        encode_indicators(y, 1, NAMES)


def test_lists_of_numbers_are_names_or_marks_never_a_guess() -> None:
    """With the labels 0 and 1, [0, 1] may be both labels or one mark: that is asked, not assumed."""
    assert encode_indicators([{0, 1}, {1}], 2, [0, 1]).tolist() == [[1, 1], [0, 1]]
    assert encode_indicators([[0, 0], [0, 1]], 2, [0, 1]).tolist() == [[0, 0], [0, 1]]
    assert encode_indicators(np.array([[0, 1], [1, 0]]), 2, [0, 1]).tolist() == [[0, 1], [1, 0]]
    assert encode_indicators([(3,), (3, 7)], 2, [3, 7]).tolist() == [[1, 0], [1, 1]]
    with pytest.raises(UserError, match="as labels and as marks"):
        encode_indicators([[0, 1], [1, 0]], 2, [0, 1])


@given(
    order=st.permutations(range(4)),
    marks=st.lists(st.lists(st.sampled_from([0, 1, None]), min_size=4, max_size=4), min_size=1),
)
def test_the_order_of_columns_plays_no_part(order: list[int], marks: list[list[int | None]]) -> None:
    """A table of marks says the same in any order of its columns."""
    names = ["a", "b", "c", 4]
    table = pd.DataFrame(marks, columns=names, dtype=object)
    shuffled = table[[names[i] for i in order]]
    expected = np.array(marks, dtype=float)
    assert np.array_equal(encode_indicators(shuffled, len(marks), names), expected, equal_nan=True)


X = pd.Series(["one", "two", "three", "four"], index=[10, 11, 12, 13])


def test_labels_of_some_rows_are_found_by_the_index() -> None:
    """A pandas y with a part of X's index labels these rows; their numbers keep their type."""
    assert label_column(align_to_rows(X, pd.Series(["bug"], index=[12])))[2] == "bug"
    aligned = label_column(align_to_rows(X, pd.Series([7, 8], index=[13, 10])))
    assert [aligned[0], aligned[3]] == [8, 7]
    assert type(aligned[0]) is int
    assert is_missing_label(aligned[1])


def test_rows_in_another_order_are_refused() -> None:
    """Where the index says one thing and the order another, a person is asked; equal and unrelated indexes go by place."""
    y = pd.Series(list("abcd"), index=[13, 12, 11, 10])
    with pytest.raises(UserError, match=r"another order.*\n.*y.loc\[X.index\]"):
        align_to_rows(X, y)
    for each in (y[X.index], pd.Series(list("dcba")), list("dcba"), np.array(list("dcba"))):
        assert label_column(align_to_rows(X, each), 4) == list("dcba")
    with pytest.raises(UserError, match="2 labels for 4 texts"):
        label_column(align_to_rows(X, pd.Series(["a", "b"])), 4)


def test_a_mapping_goes_from_text_to_label() -> None:
    """{text: label} labels the texts it names, wherever they stand, and no others."""
    assert align_to_rows(["one", "two", "one"], {"one": "bug"}) == ["bug", None, "bug"]
    assert places(align_to_rows(X, {"four": "bug"}), 4) == [-1, -1, -1, 1]
    with pytest.raises(UserError, match="'five', which is none of the texts"):
        align_to_rows(X, {"five": "bug"})


@pytest.mark.parametrize(
    "shares", [{"0": np.float32(0.25)}, {0: 0.25, 1: None}, pd.Series({0: 0.25}), pd.Series([0.25])]
)
def test_shares_are_read_by_name(shares: Any) -> None:
    """Mappings and Series, such as value_counts(normalize=True) gives, with NumPy's numbers."""
    assert named_shares(shares, [0, 1]) == {0: 0.25}


@pytest.mark.parametrize(
    ("shares", "what"),
    [
        ([0.1, 0.9], "names no label"),
        ({"spam": 0.1}, "'spam' is none of the labels"),
        ({0: 0.1, "0": 0.2}, "given twice"),
        ({0: "much"}, "the share 'much'"),
        ({0: True}, "the share True"),
    ],
)
def test_shares_that_name_nothing_are_refused(shares: Any, what: str) -> None:
    """Lists, foreign names, names given twice, and words."""
    with pytest.raises(UserError, match=what):
        named_shares(shares, [0, 1])
