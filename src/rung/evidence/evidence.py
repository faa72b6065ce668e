"""What a frozen backbone says about texts and labels, as arrays: the costly part, computed once.

Backbones, which come before evidence, are never fitted. Rungs and decisions, which come after it, never need torch. Evidence
knows backbones only through the protocol `Backbone`, and rungs know evidence only as arrays.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, Protocol, Self

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]
Role = Literal["text", "label"]
Long = Literal["cut", "mean"]
Progress = Callable[[int], object]  # called with the number of texts that have just been embedded


class Backbone(Protocol):
    """A frozen pretrained model, as far as evidence needs it. Nothing here may ever change its weights."""

    name: str
    abilities: frozenset[str]  # out of {"embed", "score", "generate"}
    costly: bool  # whether keeping an embedding on disk is cheaper than computing it again

    @property
    def dimensions(self) -> int:
        """Length of an embedding."""

    @property
    def max_tokens(self) -> int | None:
        """A longer text is cut; None: no limit."""

    @property
    def fingerprint(self) -> str:
        """Weights, tokenizer, pooling, prompts and maximum tokens: another fingerprint is another backbone."""

    @property
    def numerics(self) -> str:
        """Engine and precision: they move the last digits, so the cache is keyed by them too."""

    def embed(self, texts: Sequence[str], role: Role = "text") -> Array:
        """Unit rows (n, d), float32, computed at every call. A row of NaN is an image that could not be read."""

    def windows(self, text: str) -> list[str]:
        """The pieces of a text, each within `max_tokens`."""

    def cut(self, texts: Sequence[str]) -> int:
        """How many of `texts` are longer than `max_tokens`."""

    def unknown_share(self, texts: Sequence[str]) -> float:
        """The share of tokens that the model does not know, over all `texts`."""


@dataclass(frozen=True)
class Evidence:
    """What one backbone says about n texts and k labels.

    features    (n, d) unit rows, one a text; a row that could not be read is zero
    anchors     (k, d) unit rows, one a label: the mean of its phrasings
    general     (g, d) unit rows of general texts of many kinds, which ship with the package: their cosines with an
                anchor say how near it is to any text at all
    ok          (n,) bool, which texts could be read; `reasons` says of each why not, or None
    recipe      how it was made: backbone, fingerprint, phrasings
    scores      (n, k) log p(label | text), natural, where a backbone was asked for them (rows need not sum to 1 in exp); or None.
                Scores then say what the labels mean, and features only where the texts lie
    neutral     (g, k) the same for neutral texts: the score that a label gets whatever the text says
    second      evidence of the same texts and labels by another backbone, which a fit may consult as a second opinion; or None
    temperature the difference of cosines that the backbone was trained to take as one nat; None where it was not trained with one
    """

    features: Array
    anchors: Array
    general: Array
    ok: npt.NDArray[np.bool_]
    reasons: tuple[str | None, ...] = ()
    recipe: dict[str, str] = field(default_factory=dict)
    scores: Array | None = None
    neutral: Array | None = None
    second: Self | None = None
    temperature: float | None = None

    @staticmethod
    def recipe_of(backbone: Backbone) -> dict[str, str]:
        """What a result made from this evidence must state as its origin."""
        return {"backbone": backbone.name, "fingerprint": backbone.fingerprint, "numerics": backbone.numerics}

    def of_texts(self, features: Array, reasons: Iterable[str | None]) -> Self:
        """The same labels with other texts, without scores and without a second opinion."""
        why = tuple(reasons)
        ok = np.array([each is None for each in why], dtype=bool)
        return replace(self, features=features, ok=ok, reasons=why, scores=None, second=None)

    def part(self, rows: npt.NDArray[np.intp]) -> Self:
        """The evidence of some of the texts, by their places (m,)."""
        reasons = tuple(self.reasons[i] for i in rows) if self.reasons else ()
        scores = None if self.scores is None else self.scores[rows]
        second = None if self.second is None else self.second.part(rows)
        features, ok = self.features[rows], self.ok[rows]
        return replace(self, features=features, ok=ok, reasons=reasons, scores=scores, second=second)

    def readable(self) -> Self:
        """The evidence of the texts that could be read."""
        return self.part(np.flatnonzero(self.ok))


def unit(rows: Array) -> Array:
    """Rows of length 1; a zero row stays zero."""
    norms = np.linalg.norm(rows, axis=-1, keepdims=True)
    return np.asarray(rows / np.where(norms > 0, norms, 1), dtype=np.float32)


def reads_images(backbone: Backbone) -> bool:
    """Whether a backbone reads images; without the attribute `input` it reads texts."""
    return getattr(backbone, "input", "text") == "image"


def temperature_of(backbone: Backbone) -> float | None:
    """The difference of cosines that a backbone was trained to take as one nat, or None."""
    return getattr(backbone, "temperature", None)
