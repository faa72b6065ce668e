"""What a frozen backbone says about texts and labels, as arrays: the costly part, computed once.

Left of this nothing is ever fitted; right of it (rungs, decisions) nothing needs torch. Evidence knows backbones only by
what they can do (`Backbone`), and rungs know evidence only as arrays.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from importlib import resources
from typing import TYPE_CHECKING, Literal, Protocol, Self

import numpy as np
import numpy.typing as npt

from rung import images
from rung.images import Picture

if TYPE_CHECKING:
    from rung.cache import Cache
    from rung.labels import Labels

Array = npt.NDArray[np.float32]
Role = Literal["text", "label"]
Long = Literal["cut", "mean"]
Progress = Callable[[int], object]  # called with the number of texts that have just been embedded

_AT_ONCE = 1024  # texts between two writes to the cache and two steps of a progress bar
_AT_ONCE_CHEAP = 8192  # the same for a backbone that is fast: larger parts share more words
_AT_ONCE_IMAGES = 64  # and for images, which take longer than texts


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


def about_labels(labels: Labels, backbone: Backbone, *, cache: Cache | None = None) -> Evidence:
    """Evidence about labels, with no texts yet: `of_texts` adds them."""
    anchors = np.stack([_anchor(groups, vectors) for groups, vectors in _phrasings(labels, backbone, cache)])
    return Evidence(
        features=np.zeros((0, backbone.dimensions), dtype=np.float32),
        anchors=anchors,
        # no images come with the package that would be to images what general texts are to texts
        general=embed(() if reads_images(backbone) else _general_texts(), backbone, cache=cache),
        ok=np.zeros(0, dtype=bool),
        recipe=Evidence.recipe_of(backbone),
        temperature=temperature_of(backbone),
    )


def about_texts(
    texts: Sequence[object],
    backbone: Backbone,
    *,
    cache: Cache | None = None,
    long: Long = "cut",
    progress: Progress | None = None,
) -> tuple[Array, list[str | None]]:
    """Features (n, d) of `texts`, and for each text the reason why it could not be read, or None.

    Where the backbone reads images, that is what `texts` are: `Picture`s, paths or PIL images.
    """
    items = [Picture.of(each) for each in texts] if reads_images(backbone) else list(texts)
    reasons = [fault(item) for item in items]
    good = [i for i, reason in enumerate(reasons) if reason is None]
    features = np.zeros((len(texts), backbone.dimensions), dtype=np.float32)
    embedded = embed if long == "cut" or backbone.max_tokens is None else _embed_windows
    read = [each for each in (items[i] for i in good) if isinstance(each, str)]  # all of them: else there is a fault
    features[good] = embedded(read, backbone, cache=cache, progress=progress)
    for i in np.flatnonzero(np.isnan(features).any(axis=1)).tolist():  # what shows only when it is opened
        reasons[i], features[i] = images.fault(items[i]) or "the image could not be read", 0
    if progress is not None:
        progress(len(texts) - len(good))
    return features, reasons


def fault(text: object) -> str | None:
    """Why a text cannot be read, or None; of an image, as far as it is known before it is opened.

    >>> fault("  ")
    'the text is empty'
    """
    if isinstance(text, Picture):
        return text.fault
    if isinstance(text, str):
        return None if text.strip() else "the text is empty"
    return "the text is missing" if is_missing(text) else f"not a text but {type(text).__name__}"


def reads_images(backbone: Backbone) -> bool:
    """Whether what a backbone classifies are images; texts, where it does not say."""
    return getattr(backbone, "input", "text") == "image"


def temperature_of(backbone: Backbone) -> float | None:
    """The difference of cosines that a backbone was trained to take as one nat, where it says so."""
    return getattr(backbone, "temperature", None)


def is_missing(value: object) -> bool:
    """Whether a value is None, NaN, NaT or pandas.NA: nothing, or not equal to itself, or unable to say."""
    try:
        return value is None or bool(value != value)  # only NaN differs from itself
    except TypeError:
        return True
    except ValueError:  # an array: something, though not a text
        return False


def embed(
    texts: Sequence[str],
    backbone: Backbone,
    role: Role = "text",
    *,
    cache: Cache | None = None,
    progress: Progress | None = None,
) -> Array:
    """Unit rows (n, d), float32: each distinct text is looked up first and computed once.

    Long texts go last, so that a batch holds texts of like length; the order does not change the answer.
    """
    distinct, inverse, counts = _distinct(texts)
    rows = np.zeros((len(distinct), backbone.dimensions), dtype=np.float32)
    kept = cache if backbone.costly else None
    space = f"{backbone.fingerprint}/{backbone.numerics}/{role}"
    step = _AT_ONCE_IMAGES if reads_images(backbone) else _AT_ONCE if backbone.costly else _AT_ONCE_CHEAP
    for start in range(0, len(distinct), step):
        part = distinct[start : start + step]
        rows[start : start + len(part)] = _looked_up(part, backbone, role, kept, space)
        if progress is not None:
            progress(int(counts[start : start + len(part)].sum()))
    return rows[inverse]


def _distinct(texts: Sequence[str]) -> tuple[list[str], npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """The distinct texts by length, where each text stands among them, and how often each occurs."""
    distinct = sorted(set(texts), key=lambda text: (len(text), text))
    place = {text: i for i, text in enumerate(distinct)}
    inverse = np.fromiter((place[text] for text in texts), dtype=np.intp, count=len(texts))
    return distinct, inverse, np.bincount(inverse, minlength=len(distinct))


def _looked_up(texts: list[str], backbone: Backbone, role: Role, cache: Cache | None, space: str) -> Array:
    if cache is None:
        return backbone.embed(texts, role)
    rows = np.zeros((len(texts), backbone.dimensions), dtype=np.float32)
    known = cache.get(space, texts)
    for i, vector in known.items():
        rows[i] = vector
    new = [i for i in range(len(texts)) if i not in known]
    if new:
        rows[new] = backbone.embed([texts[i] for i in new], role)
        new = [i for i in new if not np.isnan(rows[i, 0])]  # next time it may be readable
        cache.put(space, [texts[i] for i in new], rows[new], backbone=backbone.name)
    return rows


def _embed_windows(
    texts: Sequence[str], backbone: Backbone, *, cache: Cache | None = None, progress: Progress | None = None
) -> Array:
    """Unit rows (n, d): the mean over a text's windows, so that nothing of a long text is left out."""
    pieces = [backbone.windows(text) for text in texts]
    rows = embed([piece for each in pieces for piece in each], backbone, cache=cache)
    starts = np.cumsum([0, *(len(each) for each in pieces)])[:-1]
    if progress is not None:
        progress(len(texts))
    return unit(np.add.reduceat(rows, starts, axis=0)) if len(texts) else rows


def unit(rows: Array) -> Array:
    """Rows of length 1; a zero row stays zero."""
    norms = np.linalg.norm(rows, axis=-1, keepdims=True)
    return np.asarray(rows / np.where(norms > 0, norms, 1), dtype=np.float32)


def _phrasings(labels: Labels, backbone: Backbone, cache: Cache | None) -> Iterable[tuple[list[list[str]], Array]]:
    """Each label's groups of sentences with their embeddings, all embedded in one go."""
    groups = [label.phrasings("image" if reads_images(backbone) else "text") for label in labels]
    said = [text for label in groups for group in label for text in group]
    vectors = embed(said, backbone, "label", cache=cache)
    start = 0
    for label in groups:
        end = start + sum(len(group) for group in label)
        yield label, vectors[start:end]
        start = end


def _anchor(groups: list[list[str]], vectors: Array) -> Array:
    """The unit mean over groups of the mean within each: twenty seed words weigh no more than the name."""
    ends = np.cumsum([len(group) for group in groups])[:-1]
    return unit(np.mean([part.mean(axis=0) for part in np.split(vectors, ends)], axis=0))


@lru_cache(maxsize=1)
def _general_texts() -> tuple[str, ...]:
    file = resources.files("rung.backbones") / "background.txt"
    return tuple(line for line in file.read_text("utf-8").splitlines() if line.strip())
