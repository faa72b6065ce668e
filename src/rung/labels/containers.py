"""Columns, tables and mappings of any library, read by the names that they carry; no library is imported for it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rung.errors import UserError

Columns = dict[Any, list[Any]]


def is_missing(value: object) -> bool:
    """Whether a value is None, NaN, NaT or pandas.NA."""
    if hasattr(value, "__len__"):
        return False  # texts and collections are values, also when they are empty
    try:
        return value is None or bool(value != value)  # only NaN differs from itself
    except TypeError:
        return True  # pandas.NA has no truth value


def shape_of(given: Any) -> tuple[int, ...]:
    """The shape of an array or a table; for everything else (0,), the shape of one column whose length does not matter."""
    return tuple(getattr(given, "shape", (0,)))


def is_table(given: Any) -> bool:
    """Whether columns have names: a pandas or polars DataFrame, an Arrow table or record batch."""
    named = hasattr(given, "column_names") or hasattr(given, "columns")
    return named and len(shape_of(given)) == 2


def is_column(given: Any) -> bool:
    """Whether it has one dimension, or is (n, 1)."""
    shape = shape_of(given)
    return len(shape) == 1 or (len(shape) == 2 and shape[-1] == 1)


def is_series(given: Any) -> bool:
    """Whether it is a pandas Series: one column whose rows carry names, the index."""
    return hasattr(given, "index") and hasattr(given, "iloc") and len(shape_of(given)) == 1


def is_sparse(given: Any) -> bool:
    """Whether it is a matrix or array of scipy.sparse."""
    return hasattr(given, "toarray") and hasattr(given, "nnz")


def column_values(column: Any) -> list[Any]:
    """A column as a list of Python's own values, whatever library made it; (n, 1) is a column too."""
    if is_column(column) and hasattr(column, "ravel"):
        column = column.ravel()
    ways = ("to_pylist", "to_list", "tolist")
    return list(next((getattr(column, way)() for way in ways if hasattr(column, way)), column))


def table_columns(table: Any, what: str) -> Columns:
    """The columns of a table by their names. Raises UserError, which begins with `what`, for a name that is there twice."""
    if hasattr(table, "column_names"):  # Arrow
        names, column = list(table.column_names), table.column
    else:
        names, column = list(table.columns), table.__getitem__
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise UserError("{what}: the table has two columns {name!r}.", "Rename one of them.", what=what, name=twice)
    return {name: column_values(column(name)) for name in names}


def index_names(given: Any) -> list[str] | None:
    """The row names of a pandas object, if they are all texts; None for numbers, which only count rows."""
    names = column_values(getattr(given, "index", []))
    return names if names and all(isinstance(name, str) for name in names) else None


def has_default_names(names: list[Any]) -> bool:
    """Whether column names are the numbers 0, 1, … that pandas gives to an array, so that they carry no meaning."""
    return names == list(range(len(names))) and not any(isinstance(name, bool) for name in names)


def refuse_iterator(given: Any, what: str) -> None:
    """Raise UserError for an iterator: it would be empty when it is read again."""
    if isinstance(given, Iterator):
        raise UserError(
            "{what}: got a {name}, which can be read only once.",
            "Pass  list({what})",
            what=what,
            name=type(given).__name__,
        )


def as_mapping(given: Any) -> Mapping[Any, Any] | None:
    """A mapping, or a pandas Series with texts as its index, as a mapping; None for everything else."""
    if isinstance(given, Mapping):
        return given
    if is_series(given) and (names := index_names(given)) is not None:
        return dict(zip(names, column_values(given), strict=True)) if len(set(names)) == len(names) else None
    return None
