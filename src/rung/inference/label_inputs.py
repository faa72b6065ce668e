"""What people pass as y and as shares: labels with gaps, marks, tables and mappings, each read by the names that it carries."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from numbers import Real
from typing import Any

import numpy as np
import numpy.typing as npt

from rung.decide.correctness import NONE_OF_THESE_INDEX
from rung.errors import UserError
from rung.evidence.images import Picture
from rung.labels.containers import (
    Columns,
    column_values,
    has_default_names,
    is_column,
    is_missing,
    is_series,
    is_sparse,
    is_table,
    shape_of,
    table_columns,
)
from rung.labels.none_of_these import NONE_OF_THESE, is_none_of_these
from rung.labels.normal_form import LabelValue, normal_text
from rung.labels.order import LabelIndex
from rung.messages import tr

Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.intp]


UNKNOWN_LABEL = -3  # the place of a label that is none of the labels, where that is no mistake
_SHOWN = 3  # contradictions that a warning lists


class LabelWarning(UserWarning):
    """Labels that should be checked."""


class ContradictionWarning(LabelWarning):
    """The same text carries two labels."""


def align_to_rows(X: Any, y: Any) -> Any:
    """y with one entry for each row of X, in X's order, where y says by names which row it means; else y as it is.

    A mapping goes from text to label. A pandas y whose index holds some of the rows of X's index is brought to all of them, None
    where it says nothing; that needs an index of names or of chosen rows, not 0, 1, … counted anew.
    Raises UserError for a text that X lacks, and for an index with the same rows as X's in another order: then it cannot be told
    whether the names or the places are meant.
    """
    if isinstance(y, Mapping):
        return _of_texts(y, column_values(X))
    if not (hasattr(y, "iloc") and hasattr(X, "iloc")) or y.index.equals(X.index):
        return y
    rows, labelled = X.index, y.index
    if len(labelled) == len(rows):
        if rows.is_unique and labelled.is_unique and labelled.isin(rows).all():
            raise UserError(
                "y: its index holds the same rows as that of X, in another order.",
                "Choose one:  y.loc[X.index]  matches by the index,  y.to_numpy()  by the order.",
            )
        return y
    if rows.is_unique and labelled.is_unique and labelled.isin(rows).all() and not has_default_names(list(labelled)):
        return y.astype(object).reindex(rows)  # as objects, so that gaps do not make numbers of another type
    return y


def _of_texts(y: Mapping[Any, Any], texts: list[Any]) -> list[Any]:
    known = {text for text in texts if isinstance(text, str)}
    for text in y:
        if text not in known:
            raise UserError(
                "y: the mapping holds {text!r}, which is none of the texts.",
                "Map texts to labels, or give a list with one label a text.",
                text=text,
            )
    return [y.get(text) if isinstance(text, str) else None for text in texts]


def is_missing_label(label: Any) -> bool:
    """Whether it says that there is no label: None, NaN, pandas.NA, or an empty text."""
    return is_missing(label) or (isinstance(label, str) and not normal_text(label))


def label_column(y: Any, n: int | None = None) -> list[Any]:
    """The labels in y, one a text. Raises UserError for what is no column, and if it has not n of them."""
    listed = is_table(y) or (hasattr(y, "__iter__") and not is_sparse(y))
    if not listed or isinstance(y, str | bytes | set | frozenset | Mapping):
        raise UserError(
            "y: got {name}, not a column of labels.",
            "Give a list with one label a text, None where there is no label.",
            name=type(y).__name__,
        )
    if is_table(y):
        columns = table_columns(y, "y")
        if len(columns) != 1:
            raise UserError(
                "y: got a table with the columns {names}.",
                'Pass the one that holds the labels:  table["{first}"]',
                names=", ".join(map(str, columns)),
                first=next(iter(columns), "label"),
            )
        found = next(iter(columns.values()))
    else:
        _refuse_matrix(y)
        found = column_values(y)
    if n is not None and len(found) != n:
        raise UserError(
            "y: got {labels} labels for {texts} texts.",
            "Give one for each text, None where there is no label.",
            labels=len(found),
            texts=n,
        )
    return found


def _refuse_matrix(y: Any) -> None:
    if not is_column(y):
        raise UserError(
            "y: got an array of shape {shape}, but one label for each text is needed.",
            "Give a column of labels; for several labels a text use  Classifier(…, multi_label=True)",
            shape=shape_of(y),
        )


def encode_labels(
    y: Any, n: int, names: Sequence[Any], *, minus_one_is_missing: bool, allow_unknown: bool = False
) -> Indices:
    """For each of n texts the place of its label in `names`, −1 where y holds None, NaN or pandas.NA.

    A table with a column for each label holds marks, in any order of columns: 1 at the label of the text, no 1 where it has none.
    `NONE_OF_THESE_INDEX` stands for "none of these", unless a label is called so.
    Raises UserError if y is of another length, or holds a label that is not among `names`, which with `allow_unknown` is
    `UNKNOWN_LABEL` instead.
    """
    if y is None:
        return np.full(n, -1, dtype=np.intp)
    if _is_indicator_table(y):
        return _one_of_each(encode_indicators(y, n, names))
    index = LabelIndex(names)
    none = minus_one_is_missing and index.find(-1) is None
    rows = label_column(y, n)
    places = [_find(each, index, none) for each in rows]
    if not allow_unknown:
        _refuse_unknown(rows, places, index)
    return np.array(places, dtype=np.intp)


def _is_indicator_table(y: Any) -> bool:
    return is_table(y) and len(getattr(y, "columns", ())) > 1


def _one_of_each(marks: Floats) -> Indices:
    """The marked label (n,) of each row, −1 where none is marked."""
    marked = np.nan_to_num(marks) == 1
    several = np.flatnonzero(marked.sum(axis=1) > 1)
    if len(several):
        raise UserError(
            "y: row {row} marks several labels.",
            "Mark one label for each text; for several use  Classifier(…, multi_label=True)",
            row=int(several[0]),
        )
    return np.where(marked.any(axis=1), marked.argmax(axis=1), -1).astype(np.intp)


def encode_indicators(y: Any, n: int, names: Sequence[Any]) -> Floats:
    """Which labels (n, k) each of n texts is known to carry: 1 or 0, NaN where that is not known.

    y holds one of these:
    - a collection of names a text (one string is one name; an empty collection, or "none of these", says that no label
      applies; None, NaN or pandas.NA that nothing is known), or a mapping from names to marks a text;
    - a table whose columns are labels, in any order, marks in them; what it leaves out is not known;
    - an (n, k) array or sparse matrix of 0, 1 and NaN, columns in the order of `names`.
    Raises UserError if y is of another shape, names what is no label, or holds other marks.
    """
    index = LabelIndex(names)
    if y is None:
        return np.full((n, len(names)), np.nan)
    if is_table(y):
        columns = table_columns(y, "y")
        if len(columns) > 1 or next(iter(columns), None) in index:
            return _marks_of_table(columns, n, index)
        y = next(iter(columns.values()))
    y = y.toarray() if is_sparse(y) else y
    if getattr(y, "ndim", 1) == 2 and y.dtype.kind in "biuf":
        return _marks_of_array(y, n, len(names))
    rows = [list(row) for row in y] if not is_column(y) else label_column(y)
    _check_rows(len(rows), n)
    if rows and all(_is_numbers(each) for each in rows) and not _are_names(rows, index):
        return _marks_of_array(rows, n, len(names))
    return np.array([_marks_of_row(each, i, index) for i, each in enumerate(rows)]).reshape(n, len(names))


def _check_rows(found: int, n: int) -> None:
    if found != n:
        raise UserError(
            "y: got {rows} rows for {texts} texts.",
            "Give one for each text, None where nothing is known.",
            rows=found,
            texts=n,
        )


def _marks_of_table(columns: Columns, n: int, index: LabelIndex) -> Floats:
    """Marks from columns that are named by labels, or by nothing but their places."""
    if has_default_names(list(columns)) and not all(name in index for name in columns):
        return _marks_of_array(list(zip(*columns.values(), strict=True)), n, len(index.labels))
    marks = np.full((n, len(index.labels)), np.nan)
    taken: dict[int, Any] = {}
    for name, column in columns.items():
        place = index.find(name)
        if place is None:
            raise UserError("y: its column {name!r} is none of the labels.", index.hint(name), name=name)
        if place in taken:
            raise UserError(
                "y: its columns {first!r} and {second!r} are the same label.",
                "Leave one of them out.",
                first=taken[place],
                second=name,
            )
        taken[place] = name
        _check_rows(len(column), n)
        marks[:, place] = _as_marks(column)
    return marks


def _marks_of_array(rows: Any, n: int, k: int) -> Floats:
    """Marks from an array (n, k), columns in the order of the labels."""
    _check_rows(len(rows), n)
    widths = {len(row) for row in rows}
    if not widths <= {k}:
        raise UserError(
            "y: got {marks} marks for each text, but there are {labels} labels.",
            "Give a column for each of  classes_",
            marks=next(iter(widths - {k})),
            labels=k,
        )
    return np.array([_as_marks(column) for column in zip(*rows, strict=True)]).T.reshape(n, k)


def _as_marks(column: Iterable[Any]) -> Floats:
    """A column of 0, 1, True, False and what is missing as 0, 1 and NaN."""
    cells = list(column)
    if np.asarray(cells).dtype.kind not in "biuf":
        cells = [np.nan if is_missing(each) else _as_number(each) for each in cells]
    marks = np.array(cells, dtype=np.float64)
    if not np.isin(marks[~np.isnan(marks)], (0.0, 1.0)).all():
        raise UserError(
            "y: its columns hold numbers other than 0 and 1.", "Write 1 for yes, 0 for no, NaN for unknown."
        )
    return marks


def _as_number(mark: Any) -> float:
    try:
        return float(mark)
    except (TypeError, ValueError):
        raise UserError(
            "y: its columns hold {mark!r}.", "Write 1 for yes, 0 for no, NaN for unknown.", mark=mark
        ) from None


def _marks_of_row(each: Any, row: int, index: LabelIndex) -> Floats:
    """Marks (k,) of one text, from its names."""
    marks = np.full(len(index.labels), np.nan)
    if isinstance(each, Mapping):
        marks[_places_of(each, row, index)] = _as_marks(each.values())
    elif _is_collection(each) or not is_missing(each):
        marks[:] = 0.0
        places = _places_of(each if _is_collection(each) else [each], row, index)
        if NONE_OF_THESE_INDEX in places and max(places) >= 0:
            raise UserError(
                "known labels: row {row} holds {word!r} beside a label.",
                "Give that text either labels or that word.",
                row=row,
                word=NONE_OF_THESE,
            )
        marks[[place for place in places if place >= 0]] = 1.0
    return marks


def _is_collection(each: Any) -> bool:
    return isinstance(each, list | tuple | set | frozenset | np.ndarray)


def _is_numbers(each: Any) -> bool:
    """Whether a row is a list of numbers, some of which may be missing."""
    if not isinstance(each, list | tuple | np.ndarray):
        return False
    present = [one for one in each if not is_missing(one)]
    return bool(present) and all(isinstance(one, Real | np.bool_) for one in present)


def _are_names(rows: list[Any], index: LabelIndex) -> bool:
    """Whether lists of numbers name labels that are numbers themselves, instead of marking each label with 0 or 1.

    Raises UserError where both may be meant: with the labels 0 and 1, and two different numbers a text.
    """
    if not all(one in index for row in rows for one in row):
        return False
    if any(len(row) != len(index.labels) or not set(row) <= {0, 1} for row in rows):
        return True
    if all(len(set(row)) == len(row) for row in rows):
        raise UserError(
            "y: its rows, such as {row!r}, can be read as labels and as marks of 0 and 1.",
            "Write labels as sets:  {{0, 1}} , or marks as an array:  numpy.array(y)",
            row=rows[0],
        )
    return False


def _find(label: Any, index: LabelIndex, minus_one_is_missing: bool = False) -> int:
    """The place of a label, −1 where there is none, `NONE_OF_THESE_INDEX` or `UNKNOWN_LABEL`."""
    if is_missing_label(label):
        return -1
    found = index.find(label)
    if found is not None:
        return found
    if minus_one_is_missing and _is_minus_one(label):
        return -1
    return NONE_OF_THESE_INDEX if isinstance(label, str) and is_none_of_these(label) else UNKNOWN_LABEL


def _places_of(labels: Iterable[Any], row: int, index: LabelIndex) -> list[int]:
    """The places of several labels of one text. Raises UserError for what is no label."""
    named = list(labels)
    places = [_find(name, index) for name in named]
    _refuse_unknown(named, places, index, row)
    return places


def _refuse_unknown(labels: list[Any], places: list[int], index: LabelIndex, row: int | None = None) -> None:
    if UNKNOWN_LABEL not in places:
        return
    first = places.index(UNKNOWN_LABEL)
    label = labels[first]
    raise UserError(
        "known labels: row {row} holds {label!r}, which is none of the labels.",
        _hint_for_number(index) if isinstance(label, Real) else index.hint(label),
        row=first if row is None else row,
        label=label,
    )


def _is_minus_one(label: Any) -> bool:
    return LabelIndex([-1]).find(label) is not None


def _hint_for_number(index: LabelIndex) -> str:
    """The hint where scikit-learn has replaced labels by numbers."""
    return tr(
        "The labels are {labels}. Where scikit-learn numbers them itself (VotingClassifier, StackingClassifier, "
        "OneVsRestClassifier, cross_val_predict of probabilities), give numbers as labels:  "
        "Classifier({{0: {first!r}, 1: {second!r}, …}})",
        labels=", ".join(map(str, index.labels[:10])),
        first=str(index.labels[0]),
        second=str(index.labels[1]),
    )


def named_shares(shares: Any, labels: Sequence[LabelValue]) -> dict[LabelValue, float] | None:
    """The shares that a person knows, by label: from a mapping or a pandas Series, such as `value_counts(normalize=True)`.

    Raises UserError for what names no labels, for a label that is none, twice the same, and for shares that are no numbers.
    """
    if shares is None:
        return None
    if not isinstance(shares, Mapping) and not is_series(shares):
        raise UserError("shares: got {shares!r}, which names no label.", 'Write  shares={{"spam": 0.1}}', shares=shares)
    index, found = LabelIndex(labels), dict[LabelValue, float]()
    for name, share in shares.items():
        place = index.find(name)
        if place is None:
            raise UserError("shares: {name!r} is none of the labels.", index.hint(name), name=name)
        if index.labels[place] in found:
            raise UserError("shares: {name!r} is given twice.", "Give every label once.", name=name)
        if isinstance(share, bool) or not (is_missing(share) or isinstance(share, Real)):
            raise UserError(
                "shares: {name!r} has the share {share!r}.", "Give a number between 0 and 1.", name=name, share=share
            )
        if not is_missing(share):
            found[index.labels[place]] = float(share)
    return found


def warn_of_contradictions(texts: Sequence[Any], known: Indices, names: Sequence[Any]) -> None:
    """Warn where the same text carries two labels; both are kept as they were given."""
    first: dict[Any, int] = {}
    twice = []
    label_names = {NONE_OF_THESE_INDEX: NONE_OF_THESE, **dict(enumerate(names))}
    for i in np.flatnonzero(known != -1).tolist():
        if not isinstance(texts[i], str | Picture):
            continue  # it cannot be read, and may not even be hashed
        j = first.setdefault(texts[i], i)
        if known[j] != known[i]:
            places = {"first": j, "second": i, "one": label_names[known[j]], "other": label_names[known[i]]}
            twice.append(tr("rows {first} and {second}: {one} and {other}", **places))
    if not twice:
        return
    rows = "; ".join(twice[:_SHOWN])
    if len(twice) > _SHOWN:
        rows = tr("{rows} (and {count} more)", rows=rows, count=len(twice) - _SHOWN)
    if isinstance(texts[0], Picture):
        warning = tr("the same image carries two labels: {rows}; both are kept as given", rows=rows)
    else:
        warning = tr("the same text carries two labels: {rows}; both are kept as given", rows=rows)
    warnings.warn(warning, ContradictionWarning, stacklevel=4)
