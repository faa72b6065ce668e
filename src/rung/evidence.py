"""What a frozen backbone says about texts and labels, as arrays: the costly part, computed once."""

from __future__ import annotations

from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]
Role = Literal["text", "label"]


class Backbone(Protocol):
    """A frozen pretrained model, as far as evidence needs it. Nothing here may ever change its weights."""

    name: str
    abilities: frozenset[str]  # out of {"embed", "score", "generate"}
    fingerprint: str  # weights, tokenizer, pooling, prompts, maximum tokens
    numerics: str  # engine and precision: they move the last digits, so the cache is keyed by both
    dimensions: int

    def embed(self, texts: list[str], role: Role = "text") -> Array:
        """Unit rows (n, d), float32; computed every time."""
