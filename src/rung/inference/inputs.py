"""What people pass as X: lists, arrays and columns of texts or images, and embeddings they already have."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from rung.errors import UserError
from rung.evidence import Array, Backbone, reads_images, unit
from rung.evidence.images import Picture, is_image, names_image
from rung.labels.containers import column_values, is_column, is_missing, is_table, shape_of, table_columns

_FIRST = 20  # rows that are looked at to see what X holds


def is_matrix(X: Any) -> bool:
    """Whether X is a 2-D array of numbers: embeddings (n, d) instead of texts."""
    shape = getattr(X, "shape", None)
    return shape is not None and len(shape) == 2 and np.issubdtype(np.asarray(X).dtype, np.number)


def holds_texts(X: Any) -> bool:
    """Whether X holds texts or images, by its first rows; numbers, nested or not, are neither."""
    if isinstance(X, str | bytes | Iterator):
        return True
    if is_matrix(X):
        return False
    try:
        first = _first_rows(X)
    except (TypeError, KeyError, IndexError, ValueError):
        return False
    found = any(isinstance(each, str | bytes) or is_image(each) for each in first)
    return found or (bool(first) and all(map(is_missing, first)))


def _first_rows(X: Any) -> list[Any]:
    """Some of what X holds; a table of one column, and an array (n, 1), hold what is in that column."""
    if is_table(X) and X.shape[1] == 1:
        return next(iter(table_columns(X, "texts").values()))[:_FIRST]
    if len(shape_of(X)) == 2 and is_column(X):
        return column_values(X[:_FIRST])
    return [X[i] if not hasattr(X, "iloc") else X.iloc[i] for i in range(min(len(X), _FIRST))]


def as_texts(X: Any) -> list[Any]:
    """The texts in X, one a row, whatever holds them: list, tuple, NumPy, pandas, polars or pyarrow.

    A table of one column, and an array (n, 1), are that column.
    Raises UserError for a single text, bytes, a generator (it can be read once only), a mapping or a table.
    """
    if isinstance(X, str):
        raise UserError("texts: got the single text {text!r}.", "Pass a list:  predict([text])", text=X[:40])
    if isinstance(X, Iterator):
        raise UserError("texts: got a {kind}, which can be read only once.", "Pass  list(texts)", kind=type(X).__name__)
    if isinstance(X, bytes | bytearray | dict | set | frozenset) or not hasattr(X, "__len__"):
        raise UserError("texts: got {kind}.", "Pass a list of texts, or one column of a table.", kind=type(X).__name__)
    if not is_column(X):
        raise UserError(
            "texts: got a table of shape {shape}.", 'Pass one column of it, such as  table["text"]', shape=X.shape
        )
    texts = next(iter(table_columns(X, "texts").values())) if is_table(X) else column_values(X)
    for i, text in enumerate(texts):
        if isinstance(text, bytes):
            raise UserError("texts: row {row} holds bytes.", 'Decode them first:  text.decode("utf-8")', row=i)
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
                "images: {given!r} is not a file, and backbone {backbone_name!r} reads images.",
                'Pass paths of images or PIL images; texts need another backbone, such as  backbone="minilm"',
                given=given[0][:40],
                backbone_name=backbone.name,
            )
        return [Picture.of(item) for item in items]
    for i, item in enumerate(items):
        if is_image(item):
            raise UserError(
                "texts: row {row} holds an image ({kind}), and backbone {backbone_name!r} reads texts.",
                'Choose one that reads images:  backbone="siglip-base"   (rung models lists them)',
                row=i,
                kind=type(item).__name__,
                backbone_name=backbone.name,
            )
    return items


def as_features(X: Any, dimensions: int) -> Array:
    """Embeddings (n, d) as unit rows. Raises UserError when d is not that of the anchors, or a value is not finite."""
    rows = np.asarray(X, dtype=np.float32)
    if rows.shape[1] != dimensions:
        raise UserError(
            "embeddings: X has {columns} columns, but the backbone's embeddings have {dimensions}.",
            "Make X with the same backbone:  rung.load(name).embed(texts)",
            columns=rows.shape[1],
            dimensions=dimensions,
        )
    if not np.isfinite(rows).all():
        raise UserError("embeddings: X holds NaN or infinity.", "Remove those rows.")
    return unit(rows)
