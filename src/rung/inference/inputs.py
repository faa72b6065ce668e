"""What people pass as X and y: lists, arrays and columns of texts, embeddings they already have, labels with gaps."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from rung.errors import UserError, nearest
from rung.evidence import Array, Backbone, reads_images, unit
from rung.evidence.images import Picture, is_image, names_image
from rung.evidence.text_faults import is_missing
from rung.labels.none_of_these import NONE_OF_THESE, is_none_of_these
from rung.messages import tr

Indices = npt.NDArray[np.intp]
NO_LABEL = -2  # the place of "none of these"; −1 is that of a text of which nothing is known


class LabelWarning(UserWarning):
    """Labels that a person should look at again."""


class ContradictionWarning(LabelWarning):
    """The same text carries two labels."""


def is_matrix(X: Any) -> bool:
    """Whether X is a 2-D array of numbers: embeddings (n, d) instead of texts."""
    shape = getattr(X, "shape", None)
    return shape is not None and len(shape) == 2 and np.issubdtype(np.asarray(X).dtype, np.number)


def holds_texts(X: Any) -> bool:
    """Whether X is made of texts or images, as far as its first rows tell; numbers, nested or not, are none."""
    if isinstance(X, str | bytes | Iterator):
        return True
    try:
        first = [X[i] if not hasattr(X, "iloc") else X.iloc[i] for i in range(min(len(X), 20))]
    except (TypeError, KeyError, IndexError, ValueError):
        return False
    said = any(isinstance(each, str | bytes) or is_image(each) for each in first)
    return said or (bool(first) and all(map(is_missing, first)))


def as_texts(X: Any) -> list[Any]:
    """The texts in X, one a row, whatever holds them: list, tuple, NumPy, pandas, polars or pyarrow.

    Raises UserError for a single text, bytes, a generator (it can be read once only), a mapping or a table.
    """
    if isinstance(X, str):
        raise UserError("texts: got the single text {X!r}.", "Pass a list:  predict([text])", X=X[:40])
    if isinstance(X, Iterator):
        raise UserError("texts: got a {name}, which can be read only once.", "Pass  list(texts)", name=type(X).__name__)
    if isinstance(X, bytes | bytearray | dict | set | frozenset) or not hasattr(X, "__len__"):
        raise UserError("texts: got {name}.", "Pass a list of texts, or one column of a table.", name=type(X).__name__)
    if len(getattr(X, "shape", (0,))) > 1:
        raise UserError(
            "texts: got a table of shape {shape}.", 'Pass one column of it, such as  table["text"]', shape=X.shape
        )
    texts = _plain(X)
    for i, text in enumerate(texts):
        if isinstance(text, bytes):
            raise UserError("texts: row {i} holds bytes.", 'Decode them first:  text.decode("utf-8")', i=i)
    return texts


def as_items(X: Any, backbone: Backbone) -> list[Any]:
    """What X holds for this backbone, one a row: texts, or images by their content, for which strings are paths.

    Raises UserError for images where the backbone reads texts, and for texts where it reads images: strings of which not one
    ends as images do or is a file. One such string among images is a fault of its row.
    """
    items = as_texts(X)
    if reads_images(backbone):
        given = [each for each in items if not isinstance(each, str) or each.strip()]
        if given and all(isinstance(each, str) and not is_image(each) and not names_image(each) for each in given):
            raise UserError(
                "images: got {given!r}, which is no file, and backbone {backbone_name!r} reads images.",
                'Pass paths of images or PIL images; texts need another backbone, such as  backbone="minilm"',
                given=given[0][:40],
                backbone_name=backbone.name,
            )
        return [Picture.of(item) for item in items]
    for i, item in enumerate(items):
        if is_image(item):
            raise UserError(
                "texts: row {i} holds an image ({name}), and backbone {backbone_name!r} reads texts.",
                'Take one that reads images:  backbone="siglip-base"   (rung models lists them)',
                i=i,
                name=type(item).__name__,
                backbone_name=backbone.name,
            )
    return items


def _plain(column: Any) -> list[Any]:
    """A column as a list, whatever library made it."""
    return list(
        next((getattr(column, to)() for to in ("to_pylist", "to_list", "tolist") if hasattr(column, to)), column)
    )


def as_features(X: Any, dimensions: int) -> Array:
    """Embeddings (n, d) as unit rows. Raises UserError when d is not that of the anchors, or a value is not finite."""
    rows = np.asarray(X, dtype=np.float32)
    if rows.shape[1] != dimensions:
        raise UserError(
            "embeddings: X has {shape} columns, the backbone's embeddings have {dimensions}.",
            "Make X with the same backbone:  rung.load(name).embed(texts)",
            shape=rows.shape[1],
            dimensions=dimensions,
        )
    if not np.isfinite(rows).all():
        raise UserError("embeddings: X holds NaN or infinity.", "Take those rows out.")
    return unit(rows)


def known_places(y: Any, n: int, names: Sequence[Any], *, minus_one_is_none: bool) -> Indices:
    """For each of n texts the place of its label in `names`, −1 where y holds None, NaN or pandas.NA.

    `NO_LABEL` stands for "none of these", unless a label is called so.
    Raises UserError if y is of another length, or holds a label that is not among `names`.
    """
    if y is None:
        return np.full(n, -1, dtype=np.intp)
    given = _plain(y)
    if len(given) != n:
        raise UserError(
            "y: got {n_given} labels for {n} texts.",
            "Give one a text, None where there is no label.",
            n_given=len(given),
            n=n,
        )
    places = {str(name): i for i, name in enumerate(names)}
    none = {"-1"} if minus_one_is_none and "-1" not in places else set()
    return np.array([_place(each, i, places, none) for i, each in enumerate(given)], dtype=np.intp)


def known_marks(y: Any, n: int, names: Sequence[str]) -> npt.NDArray[np.float64]:
    """Which labels (n, k) each of n texts is known to carry: 1 or 0, NaN where that is not known.

    y holds a collection of names a text (one string is one name; an empty collection, or "none of these", says that no label
    applies; None, NaN or pandas.NA that nothing is known), or is an (n, k) array of 0, 1 and NaN, columns in the order of `names`.
    Raises UserError if y is of another shape, or holds what is neither.
    """
    if y is None:
        return np.full((n, len(names)), np.nan)
    given = _plain(y) if getattr(y, "ndim", 1) == 1 else np.asarray(y, dtype=np.float64)
    if len(given) != n:
        raise UserError(
            "y: got {n_given} rows for {n} texts.",
            "Give one a text, None where nothing is known.",
            n_given=len(given),
            n=n,
        )
    if isinstance(given, np.ndarray) or (given and all(_is_numbers(each) for each in given)):
        return _checked_marks(np.asarray(given, dtype=np.float64), len(names))
    places = {str(name): i for i, name in enumerate(names)}
    marks = np.full((n, len(names)), np.nan)
    for i, each in enumerate(given):
        if not _is_collection(each) and is_missing(each):
            continue
        marks[i] = 0.0
        told = [_place(name, i, places, set()) for name in (each if _is_collection(each) else [each])]
        if NO_LABEL in told and max(told) >= 0:
            raise UserError(
                "known labels: row {row} holds {word!r} beside a label.",
                "Give that text either labels or that word.",
                row=i,
                word=NONE_OF_THESE,
            )
        marks[i, [place for place in told if place >= 0]] = 1.0
    return marks


def _checked_marks(marks: npt.NDArray[np.float64], k: int) -> npt.NDArray[np.float64]:
    if marks.shape[1:] != (k,):
        raise UserError(
            "y: got {shape} marks a text for {k} labels.",
            "Give a column for each of  classes_",
            shape=marks.shape[1:],
            k=k,
        )
    if not np.isin(marks[~np.isnan(marks)], (0.0, 1.0)).all():
        raise UserError(
            "y: its columns hold other numbers than 0 and 1.", "Write 1 for yes, 0 for no, NaN for not known."
        )
    return marks


def _is_collection(each: Any) -> bool:
    return isinstance(each, list | tuple | set | frozenset | np.ndarray)


def _is_numbers(each: Any) -> bool:
    return _is_collection(each) and len(each) > 0 and all(isinstance(one, int | float | np.number) for one in each)


def _place(label: Any, row: int, places: dict[str, int], none: set[str]) -> int:
    if is_missing(label) or str(label) in none or str(label).strip() == "":
        return -1
    name = str(label) if str(label) in places else str(label).strip()
    if name not in places and is_none_of_these(name):
        return NO_LABEL
    if name not in places:
        meant = nearest(name, places)
        hint = (
            tr("Did you mean {meant!r}?", meant=meant)
            if meant
            else tr("The labels are {labels}.", labels=", ".join(list(places)[:10]))
        )
        raise UserError(
            "known labels: row {row} holds {label!r}, which is none of the labels.", hint, row=row, label=label
        )
    return places[name]


def warn_of_contradictions(texts: Sequence[Any], known: Indices, names: Sequence[Any]) -> None:
    """Say so where the same text carries two labels; both are kept as they were given."""
    first: dict[Any, int] = {}
    twice = []
    said = {NO_LABEL: NONE_OF_THESE, **dict(enumerate(names))}
    for i in np.flatnonzero(known != -1).tolist():
        j = first.setdefault(texts[i], i)
        if known[j] != known[i]:
            twice.append(f"rows {j} and {i}: {said[known[j]]} and {said[known[i]]}")
    if twice:
        what = "image" if isinstance(texts[0], Picture) else "text"
        more = f" (and {len(twice) - 3} more)" if len(twice) > 3 else ""
        warnings.warn(
            f"the same {what} carries two labels: {'; '.join(twice[:3])}{more}; both are kept as given",
            ContradictionWarning,
            stacklevel=4,
        )
