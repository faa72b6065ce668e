"""What a frozen backbone says about texts and labels, as arrays: the costly part, computed once.

Left of this nothing is ever fitted; right of it (rungs, decisions) nothing needs torch. Evidence knows backbones only by
what they can do (`Backbone`), and rungs know evidence only as arrays.
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
        """Unit rows (n, d), float32; computed every time. A row of NaN could not be read: only images are known then."""

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
    general     (g, d) unit rows of general texts of many kinds, which ship with the package: what a label's anchor is near
                without cause
    ok          (n,) bool, which texts could be read; `reasons` says of each why not, or None
    recipe      how it was made: backbone, fingerprint, phrasings
    scores      (n, k) log p(label | text), natural, where a backbone was asked for them (rows need not sum to 1 in exp); or None.
                They then stand for what the labels mean, and features only for where the texts lie
    neutral     (g, k) the same of texts that say nothing: what is said of a label whatever the text
    second      the same texts and labels as another backbone sees them: a second opinion that a fit may ask; or None
    temperature the difference of cosines that the backbone itself takes as one nat, where it says so
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
        """What a number made from this evidence must say of its origin."""
        return {"backbone": backbone.name, "fingerprint": backbone.fingerprint, "numerics": backbone.numerics}

    def of_texts(self, features: Array, reasons: Iterable[str | None]) -> Self:
        """The same labels with other texts, of which there are neither scores nor a second opinion."""
        why = tuple(reasons)
        ok = np.array([each is None for each in why], dtype=bool)
        return replace(self, features=features, ok=ok, reasons=why, scores=None, second=None)

    def part(self, rows: npt.NDArray[np.intp]) -> Self:
        """Some of the texts, by their places (m,)."""
        reasons = tuple(self.reasons[i] for i in rows) if self.reasons else ()
        scores = None if self.scores is None else self.scores[rows]
        second = None if self.second is None else self.second.part(rows)
        features, ok = self.features[rows], self.ok[rows]
        return replace(self, features=features, ok=ok, reasons=reasons, scores=scores, second=second)

    def readable(self) -> Self:
        """The texts that could be read."""
        return self.part(np.flatnonzero(self.ok))


def unit(rows: Array) -> Array:
    """Rows of length 1; a zero row stays zero."""
    norms = np.linalg.norm(rows, axis=-1, keepdims=True)
    return np.asarray(rows / np.where(norms > 0, norms, 1), dtype=np.float32)


def reads_images(backbone: Backbone) -> bool:
    """Whether what a backbone classifies are images; texts, where it does not say."""
    return getattr(backbone, "input", "text") == "image"


def temperature_of(backbone: Backbone) -> float | None:
    """The difference of cosines that a backbone was trained to take as one nat, where it says so."""
    return getattr(backbone, "temperature", None)
