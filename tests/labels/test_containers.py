"""Labels out of tables, columns and mappings of any library, read by the names that they carry."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import scipy.sparse

from rung import UserError
from rung.labels import Labels
from rung.labels.containers import is_missing

DESCRIBED = {"billing": "invoices, refunds", "bug": "it crashes"}
COLUMNS = {"Name": ["bug", "billing"], "description": ["it crashes", "invoices, refunds"]}


@pytest.mark.parametrize(
    "given",
    [
        pd.DataFrame(COLUMNS),
        pd.DataFrame(COLUMNS)[["description", "Name"]],
        pd.DataFrame({"label": ["bug", "billing"], "Description ": COLUMNS["description"]}),
        pd.DataFrame({"description": COLUMNS["description"]}, index=["bug", "billing"]),
        pl.DataFrame(COLUMNS),
        pa.table(COLUMNS),
        pa.RecordBatch.from_pydict(COLUMNS),
        pd.Series(DESCRIBED),
        pd.Series({"bug": {"description": "it crashes"}, "billing": "invoices, refunds"}),
        DESCRIBED,
        [{"name": "bug", "description": "it crashes"}, {"name": "billing", "description": "invoices, refunds"}],
    ],
    ids=lambda y: type(y).__module__.split(".")[0] + "." + type(y).__name__,
)
def test_names_and_descriptions_are_read_from_every_container(given: Any) -> None:
    """A table of labels is no list of its columns, and a Series with names as its index is a mapping."""
    assert Labels.parse(given) == Labels.parse(DESCRIBED)


@pytest.mark.parametrize(
    "given",
    [
        ("b", "a"),
        {"b", "a"},
        frozenset("ab"),
        {"a": None, "b": float("nan")},
        dict.fromkeys("ba", "").keys(),
        np.array(["b", "a"]),
        np.array([["b"], ["a"]]),
        pd.Series(["b", "a"]),
        pd.Series(["b", "a"], index=[7, 3]),
        pd.Index(["b", "a"]),
        pd.Categorical(["b", "a"]),
        pl.Series(["b", "a"]),
        pa.array(["b", "a"]),
        pa.array(["b", "a"]).dictionary_encode(),
        pd.DataFrame({"name": ["b", "a"]}),
    ],
    ids=lambda y: type(y).__module__.split(".")[0] + "." + type(y).__name__,
)
def test_names_alone_are_read_from_every_container(given: Any) -> None:
    """Sets, views, arrays, columns and tables of one column hold names."""
    assert Labels.parse(given) == Labels.parse(["a", "b"])


def test_words_examples_and_parents_are_read_from_tables() -> None:
    """Several words stand in one cell with | between them or are a list; parents, numbers with gaps too, make a tree."""
    rows = {"name": [1, 2, 3, 4], "parent": [None, 1.0, 1.0, None], "words": ["", "x|y", ["z"], None]}
    given = Labels.parse(pd.DataFrame({key: pd.Series(values, dtype=object) for key, values in rows.items()}))
    words = {2: {"words": ["x", "y"]}, 3: {"words": ["z"]}}
    assert given == Labels.parse({1: {"children": words}, 4: ""})
    assert given.values == [2, 3, 4]


@pytest.mark.parametrize(
    ("given", "what"),
    [
        (pd.DataFrame({"text": ["a", "b"]}), "no column 'name'"),
        (pd.DataFrame({"name": ["a", "b"], "desc": ["", ""]}), "an unknown column 'desc'"),
        (pd.DataFrame([["a", "b"]], columns=["name", "name"]), "two columns 'name'"),
        (pd.DataFrame({"name": ["a", "b"], "parent": ["b", "a"]}), "is its own ancestor"),
        (pd.DataFrame({"name": ["a", None]}), "is not a name"),
        (pd.Series({"a": 3, "b": 5}), "the description of 'a' is 3"),
        (scipy.sparse.eye(2), "not names"),
        (np.array([["a", "b"], ["c", "d"]]), "not names"),
        (iter(["a", "b"]), "read only once"),
        (b"ab", "bytes, not names"),
    ],
)
def test_what_names_no_labels_is_refused(given: Any, what: str) -> None:
    """A table without names, a column that says nothing of labels, a generator, a matrix: told, not guessed."""
    with pytest.raises(UserError, match=what):
        Labels.parse(given)


def test_what_is_missing() -> None:
    """None, NaN, NaT and pandas.NA are missing; collections and texts never are, whatever they hold."""
    assert all(map(is_missing, [None, float("nan"), np.float32("nan"), pd.NA, pd.NaT, np.datetime64("NaT")]))
    assert not any(map(is_missing, ["", [], np.array([np.nan]), pl.Series([None]), pd.Series([None]), 0, False]))
