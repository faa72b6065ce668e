"""Labels out of a table: a row a label, with its description, words, examples and the label above it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from rung.errors import UserError, did_you_mean
from rung.labels.containers import Columns, column_values, index_names, is_missing, table_columns
from rung.labels.label import Label, in_order, parse_label
from rung.labels.normal_form import LabelValue
from rung.labels.order import LabelIndex
from rung.messages import tr

Found = Iterator[tuple[Label, str]]  # a label, and where it stands

COLUMNS = ("name", "label", "description", "words", "examples", "parent")
_LISTS = ("words", "examples")


def labels_of_table(table: Any) -> Found:
    """The labels at the top of a pandas or polars DataFrame or an Arrow table, each with its place.

    Names stand in the column name (or label), else in the index of a pandas frame if that holds texts.
    Raises UserError for a table without names, and for an unknown column.
    """
    columns = {str(name).strip().lower(): values for name, values in table_columns(table, "labels").items()}
    names = _names(columns, index_names(table))
    _refuse_unknown(list(columns))
    rows = [{key: values[i] for key, values in columns.items()} for i in range(len(names))]
    placed = [
        (parse_label(name, row_details(row)), f"row {i}", row.get("parent"))
        for i, (name, row) in enumerate(zip(names, rows, strict=True))
    ]
    return grow_tree(placed)


def _names(columns: Columns, index: list[str] | None) -> list[Any]:
    named = next((each for each in ("name", "label") if each in columns), None)
    if named is not None:
        return columns[named]
    if index is None:
        raise UserError(
            "labels: the table has no column 'name' (columns: {columns}).",
            'Rename the column of names to  name  , or pass it alone:  labels=table["..."]',
            columns=", ".join(map(str, columns)),
        )
    return list(index)


def _refuse_unknown(columns: list[str]) -> None:
    for name in columns:
        if name not in COLUMNS:
            others = tr("Leave it out; the columns are {columns}.", columns=", ".join(COLUMNS))
            raise UserError(
                "labels: the table has an unknown column {name!r}.", did_you_mean(name, COLUMNS, others), name=name
            )


def row_details(row: Mapping[str, Any]) -> dict[str, Any]:
    """Description, words and examples of one row; several of them stand in one cell, separated by |, or are a list."""
    lists = {key: _cell_list(row.get(key)) for key in _LISTS}
    return {"description": row.get("description"), **lists}


def _cell_list(cell: Any) -> list[Any]:
    if is_missing(cell):
        return []
    return cell.split("|") if isinstance(cell, str) else column_values(cell)


def grow_tree(rows: list[tuple[Label, str, Any]]) -> Found:
    """The labels at the top with all that lies under them, from rows that name each label's parent, or none.

    A parent that has no row of its own is a label without any details. A name given twice stays twice and is refused later.
    """
    rows = [(label, place, None if _is_empty(parent) else parent) for label, place, parent in rows]
    index = LabelIndex(label.value for label, _, _ in rows)
    implied: dict[LabelValue, str] = {}
    for _, place, parent in reversed(rows):
        if parent is not None and parent not in index:
            implied[Label(parent).value] = place
    rows = [*rows, *((Label(value), place, None) for value, place in implied.items())]
    index = LabelIndex(label.value for label, _, _ in rows)
    parents = [None if parent is None else index.find(parent) for _, _, parent in rows]
    _refuse_circles(rows, parents)
    under: dict[int, list[Label]] = {}
    for (label, _, _), parent in zip(rows, parents, strict=True):
        if parent is not None:
            under.setdefault(parent, []).append(label)

    def with_children(label: Label) -> Label:
        own = index.find(label.value)
        return replace(label, children=in_order(map(with_children, under.get(-1 if own is None else own, ()))))

    return ((with_children(label), place) for label, place, parent in rows if parent is None)


def _is_empty(cell: Any) -> bool:
    return is_missing(cell) or (isinstance(cell, str) and not cell.strip())


def _refuse_circles(rows: list[tuple[Label, str, Any]], parents: list[int | None]) -> None:
    for start, (label, place, _) in enumerate(rows):
        above, up = parents[start], 0
        while above is not None and up <= len(parents):
            above, up = parents[above], up + 1
        if above is not None:
            raise UserError(
                "labels: {name!r} is its own ancestor ({place}).",
                "Leave the column  parent  empty for labels at the top.",
                name=label.name,
                place=place,
            )
