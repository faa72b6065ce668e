"""Keyed hashes of features, so that an order of rows depends on their content and not on their position."""

from __future__ import annotations

from hashlib import blake2b

import numpy as np
import numpy.typing as npt

Rows = npt.NDArray[np.float32]
Indices = npt.NDArray[np.intp]

# Values are rounded to 1/256 before hashing, since embedding the same text in another batch changes the sixth digit.
_LEVELS = 256


def by_hash(features: Rows) -> Indices:
    """The order (n,) of the rows by their keyed hashes: it does not depend on the order in which they came."""
    return np.argsort(hashes(features), kind="stable")


def hashes(features: Rows) -> npt.NDArray[np.uint64]:
    """A keyed hash of each row (n,)."""
    coarse = np.rint(features * _LEVELS).astype(np.int16)
    digests = b"".join(blake2b(row.tobytes(), digest_size=8, key=b"rung").digest() for row in coarse)
    return np.frombuffer(digests, dtype=">u8").astype(np.uint64)
