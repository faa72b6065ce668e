"""Embed texts and labels by a backbone: each distinct text is looked up in the cache, and computed once if it is not there."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from importlib import resources
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from rung.evidence import images
from rung.evidence.evidence import Array, Backbone, Evidence, Long, Progress, Role, reads_images, temperature_of, unit
from rung.evidence.images import Picture
from rung.evidence.text_faults import fault, without_punctuation
from rung.messages import tr

if TYPE_CHECKING:
    from rung.evidence.cache import Cache
    from rung.labels import Labels

_ASCII = re.compile("[A-Za-z0-9]")
_CHUNK = 1024  # texts between two writes to the cache and two steps of a progress bar
_CHUNK_FAST = 8192  # the same for a fast backbone: larger chunks share more words
_CHUNK_IMAGES = 64  # the same for images, which take longer than texts


def label_evidence(labels: Labels, backbone: Backbone, *, cache: Cache | None = None) -> Evidence:
    """The evidence of labels, without texts: `Evidence.of_texts` adds those."""
    anchors = np.stack([_anchor(groups, vectors) for groups, vectors in _phrasings(labels, backbone, cache)])
    return Evidence(
        features=np.zeros((0, backbone.dimensions), dtype=np.float32),
        anchors=anchors,
        # the package ships general texts, but no general images
        general=embed(() if reads_images(backbone) else _general_texts(), backbone, cache=cache),
        ok=np.zeros(0, dtype=bool),
        recipe=Evidence.recipe_of(backbone),
        temperature=temperature_of(backbone),
    )


def embed_texts(
    texts: Sequence[object],
    backbone: Backbone,
    *,
    cache: Cache | None = None,
    long: Long = "cut",
    reader: Backbone | None = None,
    progress: Progress | None = None,
) -> tuple[Array, list[str | None]]:
    """Features (n, d) of `texts`, and for each text the reason why it could not be read, or None.

    Where the backbone reads images, `texts` are `Picture`s, paths or PIL images. A text of which `reader` knows no token cannot
    be read; `reader` is the backbone that says what labels mean, which is this one unless another is given.
    """
    items = [Picture.of(each) for each in texts] if reads_images(backbone) else list(texts)
    reasons = [fault(item) for item in items]
    good = [i for i, reason in enumerate(reasons) if reason is None]
    features = np.zeros((len(texts), backbone.dimensions), dtype=np.float32)
    embedded = embed if long == "cut" or backbone.max_tokens is None else _embed_windows
    read = [each for each in (items[i] for i in good) if isinstance(each, str)]  # what is no string has a fault
    features[good] = embedded(read, backbone, cache=cache, progress=progress)
    for i in np.flatnonzero(np.isnan(features).any(axis=1)).tolist():  # faults that show only when an image is opened
        reasons[i], features[i] = images.fault(items[i]) or tr("the image could not be read"), 0
    told = features[good] if reader in (None, backbone) else None
    for i, unknown in zip(good, _unknown(read, reader or backbone, told), strict=False):  # images are no strings
        if unknown:
            reasons[i], features[i] = unknown, 0
    if progress is not None:
        progress(len(texts) - len(good))
    return features, reasons


def _unknown(texts: list[str], reader: Backbone, rows: Array | None) -> list[str | None]:
    """Why a text says nothing to a backbone, or None; where a backbone cannot tell, it is taken to know all texts.

    A full stop behind words that are unknown does not make them known. Models know the letters and digits of ASCII, so that only
    other texts are read a second time, without their punctuation.
    """
    if not texts or not hasattr(reader, "has_known_tokens"):
        return [None] * len(texts)
    known = np.asarray(reader.has_known_tokens(texts, rows))
    doubtful = [i for i in np.flatnonzero(known).tolist() if not _ASCII.search(texts[i])]
    known[doubtful] = reader.has_known_tokens([without_punctuation(texts[i]) for i in doubtful])
    why = tr("the text says nothing to {name}, which knows none of its words", name=reader.name)
    return [None if each else why for each in known]


def embed(
    texts: Sequence[str],
    backbone: Backbone,
    role: Role = "text",
    *,
    cache: Cache | None = None,
    progress: Progress | None = None,
) -> Array:
    """Unit rows (n, d), float32; each distinct text is computed once, or taken from the cache.

    Texts are sorted by length, so that a batch holds texts of similar length; the order does not change the result.
    """
    distinct, inverse, counts = _distinct(texts)
    rows = np.zeros((len(distinct), backbone.dimensions), dtype=np.float32)
    kept = cache if backbone.costly else None
    space = f"{backbone.fingerprint}/{backbone.numerics}/{role}"
    step = _CHUNK_IMAGES if reads_images(backbone) else _CHUNK if backbone.costly else _CHUNK_FAST
    for start in range(0, len(distinct), step):
        part = distinct[start : start + step]
        rows[start : start + len(part)] = _embed_cached(part, backbone, role, kept, space)
        if progress is not None:
            progress(int(counts[start : start + len(part)].sum()))
    return rows[inverse]


def _distinct(texts: Sequence[str]) -> tuple[list[str], npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """The distinct texts sorted by length, the place of each text among them, and how often each occurs."""
    distinct = sorted(set(texts), key=lambda text: (len(text), text))
    place = {text: i for i, text in enumerate(distinct)}
    inverse = np.fromiter((place[text] for text in texts), dtype=np.intp, count=len(texts))
    return distinct, inverse, np.bincount(inverse, minlength=len(distinct))


def _embed_cached(texts: list[str], backbone: Backbone, role: Role, cache: Cache | None, space: str) -> Array:
    if cache is None:
        return backbone.embed(texts, role)
    rows = np.zeros((len(texts), backbone.dimensions), dtype=np.float32)
    known = cache.get(space, texts)
    for i, vector in known.items():
        rows[i] = vector
    new = [i for i in range(len(texts)) if i not in known]
    if new:
        rows[new] = backbone.embed([texts[i] for i in new], role)
        new = [i for i in new if not np.isnan(rows[i, 0])]  # an image that could not be read may be readable next time
        cache.put(space, [texts[i] for i in new], rows[new], backbone=backbone.name)
    return rows


def _embed_windows(
    texts: Sequence[str], backbone: Backbone, *, cache: Cache | None = None, progress: Progress | None = None
) -> Array:
    """Unit rows (n, d): the mean over the windows of each text, so that no part of a long text is ignored."""
    pieces = [backbone.windows(text) for text in texts]
    rows = embed([piece for each in pieces for piece in each], backbone, cache=cache)
    starts = np.cumsum([0, *(len(each) for each in pieces)])[:-1]
    if progress is not None:
        progress(len(texts))
    return unit(np.add.reduceat(rows, starts, axis=0)) if len(texts) else rows


def _phrasings(labels: Labels, backbone: Backbone, cache: Cache | None) -> Iterable[tuple[list[list[str]], Array]]:
    """Each label's groups of phrases with their embeddings; all labels are embedded in one call."""
    groups = [label.phrasings("image" if reads_images(backbone) else "text") for label in labels]
    phrases = [text for label in groups for group in label for text in group]
    vectors = embed(phrases, backbone, "label", cache=cache)
    start = 0
    for label in groups:
        end = start + sum(len(group) for group in label)
        yield label, vectors[start:end]
        start = end


def _anchor(groups: list[list[str]], vectors: Array) -> Array:
    """The unit mean of the groups' means, so that twenty seed words weigh no more than the name."""
    ends = np.cumsum([len(group) for group in groups])[:-1]
    return unit(np.mean([part.mean(axis=0) for part in np.split(vectors, ends)], axis=0))


@lru_cache(maxsize=1)
def _general_texts() -> tuple[str, ...]:
    file = resources.files("rung.backbones") / "background.txt"
    return tuple(line for line in file.read_text("utf-8").splitlines() if line.strip())
