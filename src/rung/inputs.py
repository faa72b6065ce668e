"""What people pass as X: lists, arrays and columns of texts, or a matrix of embeddings they already have."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from rung.errors import UserError
from rung.evidence import Array, unit


def is_matrix(X: Any) -> bool:
    """Whether X is a 2-D array of numbers: embeddings (n, d) instead of texts."""
    shape = getattr(X, "shape", None)
    return shape is not None and len(shape) == 2 and np.issubdtype(np.asarray(X).dtype, np.number)


def as_texts(X: Any) -> list[Any]:
    """The texts in X, one a row, whatever holds them: list, tuple, NumPy, pandas, polars or pyarrow.

    Raises UserError for a single text, bytes, a generator (it can be read once only), a mapping or a table.
    """
    if isinstance(X, str):
        raise UserError(f"texts: got the single text {X[:40]!r}.", "Pass a list:  predict([text])")
    if isinstance(X, Iterator):
        raise UserError(f"texts: got a {type(X).__name__}, which can be read only once.", "Pass  list(texts)")
    if isinstance(X, bytes | bytearray | dict | set | frozenset) or not hasattr(X, "__len__"):
        raise UserError(f"texts: got {type(X).__name__}.", "Pass a list of texts, or one column of a table.")
    if len(getattr(X, "shape", (0,))) > 1:
        raise UserError(f"texts: got a table of shape {X.shape}.", 'Pass one column of it, such as  table["text"]')
    texts = next((getattr(X, each)() for each in ("to_pylist", "to_list", "tolist") if hasattr(X, each)), X)
    _refuse_bytes(texts)
    return list(texts)


def _refuse_bytes(texts: Any) -> None:
    for i, text in enumerate(texts):
        if isinstance(text, bytes):
            raise UserError(f"texts: row {i} holds bytes.", 'Decode them first:  text.decode("utf-8")')


def as_features(X: Any, dimensions: int) -> Array:
    """Embeddings (n, d) as unit rows. Raises UserError when d is not that of the anchors, or a value is not finite."""
    rows = np.asarray(X, dtype=np.float32)
    if rows.shape[1] != dimensions:
        raise UserError(
            f"embeddings: X has {rows.shape[1]} columns, the backbone's embeddings have {dimensions}.",
            "Make X with the same backbone:  rung.load(name).embed(texts)",
        )
    if not np.isfinite(rows).all():
        raise UserError("embeddings: X holds NaN or infinity.", "Take those rows out.")
    return unit(rows)
