"""Embed texts by hashed n-grams: words, pairs of words and character n-grams; NumPy only, no vocabulary, fast.

Such a backbone is a student model: `rung.distill` fits it to a teacher.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from rung.backbones.common.native_format import NativeFormatBackbone, occurrences, to_int8
from rung.messages import message
from rung.text_encoding import encodable

if TYPE_CHECKING:
    from scipy.sparse import csr_array

    from rung.evidence import Array, Role

BUCKETS = 1 << 18
LENGTHS = (3, 4, 5)  # of character n-grams, the marks at a word's ends included
CHUNK = 4096  # texts that are split into words at a time, so that memory does not grow with the number of texts

Letters = npt.NDArray[np.uint32]  # code points
Counts = npt.NDArray[np.int64]
Hashes = npt.NDArray[np.uint64]

# ASCII characters other than letters, digits and the apostrophe separate words; every other byte belongs to a word.
_SEPARATORS_TO_SPACES = bytes(b if chr(b).isalnum() or b in b"'\n" or b >= 128 else 32 for b in range(256))
# In scripts without spaces every character is a word, so that pairs of words are pairs of characters.
_UNSPACED = re.compile("([\u0e00-\u0eff\u1000-\u109f\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff])")
_OPEN, _CLOSE = 2, 3  # marks at a word's ends: code points that occur in no text
_ODD_CONSTANTS = tuple(np.uint64(each) for each in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB))


class NgramBackbone(NativeFormatBackbone):
    """Embed a text as the sum of learned vectors of its n-grams, mapped to a unit sphere without loss.

    e = Σ_g P[h(g)] / √m,   x = ( e / s, √(1 − |e / s|²) )     g the m words, pairs of words and pieces of words of a text

    Words are split at blanks and ASCII punctuation, in lower case; pieces are 3 to 5 characters of a word with marks at its
    ends. h hashes an n-gram to one of 2¹⁸ buckets. P (buckets, r) holds the buckets of the training texts, as int8 with a scale
    each. s is the greatest length of e in training, and a longer sum is cut to it. A linear function of e is one of x, so a
    linear rung reads exactly what was learned; the last of the r + 1 dimensions only makes rows of length 1.
    Rows do not depend on the batch or on the order of the texts, to the last bit.
    """

    format = "rung-ngram"
    version = 1
    not_this_format = message("{folder} holds no n-gram model of rung.")
    files = ("config.json", "model.safetensors")

    def embed(self, texts: Sequence[str], role: Role = "text") -> Array:  # noqa: ARG002 - one prompt for both roles
        """Unit rows (n, d), float32; the role makes no difference."""
        rows = np.empty((len(texts), self.dimensions), dtype=np.float32)
        for start in range(0, len(texts), CHUNK):
            grams = read_grams(texts[start : start + CHUNK], self._places, len(self._weights))
            sums = grams.words @ (grams.pieces @ self._weights) + grams.pairs @ self._weights
            rows[start : start + len(sums), :-1] = sums * grams.scales[:, None]
        return on_sphere(rows, float(self._config["radius"]))

    def unknown_share(self, texts: Sequence[str]) -> float:
        """The share of words without any n-gram from training, over all `texts`; 0 if they hold no words at all."""
        unknown = words = 0.0
        for start in range(0, len(texts), CHUNK):
            grams = read_grams(texts[start : start + CHUNK], self._places, len(self._weights))
            unknown_words = grams.pieces[:, [len(self._weights) - 1]].toarray()[:, 0] == np.diff(grams.pieces.indptr)
            unknown += float((grams.words @ unknown_words.astype(np.float64)).sum())
            words += float(grams.words.nnz)
        return unknown / words if words else 0.0

    def summed_arrays(self) -> dict[str, npt.NDArray[Any]]:
        """What `embed` sums, as stored: vectors (kept + 1, r) int8, scales (kept + 1,), places (2¹⁸,) by bucket, radius."""
        whole, scales = self._tensors["weights"], self._tensors["scales"]
        none = np.zeros((1, whole.shape[1]), dtype=whole.dtype)
        vectors, scales = np.vstack([whole, none]), np.append(scales, np.float32(0))
        radius = np.float32(self._config["radius"])
        return {"vectors": vectors, "scales": scales, "places": self._places, "radius": np.asarray(radius)}

    @cached_property
    def _weights(self) -> Array:
        """The vectors to sum (kept + 1, r); the last row, of zeros, is for all buckets without training texts."""
        arrays = self.summed_arrays()
        return np.asarray(arrays["vectors"] * arrays["scales"][:, None])

    @cached_property
    def _places(self) -> npt.NDArray[np.int32]:
        """The row of `_weights` for each bucket (2¹⁸,)."""
        return places_of(self._tensors["buckets"])


BACKBONE = NgramBackbone


def write_ngram(
    folder: Path, buckets: npt.NDArray[np.int32], weights: Array, radius: float, notes: dict[str, str]
) -> None:
    """Write a folder that `NgramBackbone.open` reads: `weights` (kept, r) of the `buckets` (kept,), and the sphere's radius."""
    whole, scales = to_int8(weights)
    tensors: dict[str, npt.NDArray[Any]] = {"buckets": buckets, "scales": scales, "weights": whole}
    NgramBackbone.write(folder, tensors, {"dimensions": weights.shape[1] + 1, "radius": radius, **notes})


def places_of(buckets: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
    """The row (2¹⁸,) of each bucket among those that are kept; the others get the row after the last."""
    places = np.full(BUCKETS, len(buckets), dtype=np.int32)
    places[buckets] = np.arange(len(buckets), dtype=np.int32)
    return places


def on_sphere(rows: Array, radius: float) -> Array:
    """Rows (n, r + 1), in place: all but the last column are divided by the radius, and the last one makes the length 1."""
    inner = rows[:, :-1]
    inner /= np.float32(radius)
    lengths = np.linalg.norm(inner, axis=1)
    inner /= np.maximum(lengths, 1)[:, None]
    rows[:, -1] = np.sqrt(np.maximum(1 - np.minimum(lengths, 1) ** 2, 0))
    return rows


class Grams(NamedTuple):
    """The n-grams of n texts, as sparse matrices.

    words (n, w): the words of each text in reading order; pieces (w, rows): the n-grams of the w distinct words; pairs (n,
    rows): the pairs of words; scales (n,): 1 / √m for m n-grams in a text, or 0.
    """

    words: csr_array
    pieces: csr_array
    pairs: csr_array
    scales: Array

    def counts(self) -> csr_array:
        """The weight of each row of vectors in each text (n, rows): the sums that `embed` computes, as one matrix."""
        from scipy.sparse import csr_array, diags_array

        return csr_array(diags_array(self.scales) @ (self.words @ self.pieces + self.pairs))


def read_grams(texts: Sequence[str], places: npt.NDArray[np.int32], width: int) -> Grams:
    """The n-grams of texts; `places` (2¹⁸,) gives the column of each bucket, below `width`."""
    lengths, codes, letters, sizes = split(texts)
    hashes, grams, per_word = hash_words(letters, sizes)
    pairs, per_text = _pairs(lengths, codes, hashes)
    m = np.add.reduceat(np.append(per_word[codes], 0), _starts(lengths)[:-1]) * (lengths > 0) + per_text
    return Grams(
        occurrences(codes, lengths, len(sizes)),
        occurrences(places[_bucket(grams)], per_word, width),
        occurrences(places[_bucket(pairs)], per_text, width),
        np.where(m > 0, 1 / np.sqrt(np.maximum(m, 1)), 0).astype(np.float32),
    )


def split(texts: Sequence[str]) -> tuple[Counts, Counts, Letters, Counts]:
    """Words per text (n,), each word as a code in reading order, the letters of the distinct words, and the length of each."""
    import pyarrow as pa

    joined = "\n".join(encodable(text).replace("\n", " ") for text in texts).lower()
    if not joined.isascii():
        joined = _UNSPACED.sub(r" \1 ", joined)
    raw = np.frombuffer(joined.encode("utf-8").translate(_SEPARATORS_TO_SPACES), dtype=np.uint8)
    inside = raw > 32
    edges = np.flatnonzero(np.diff(inside, prepend=False, append=False))
    starts, ends = edges[::2], edges[1::2]
    lengths = np.diff(np.searchsorted(starts, np.flatnonzero(raw == 10)), prepend=0, append=len(starts))
    offsets = np.concatenate([[0], np.cumsum(ends - starts)]).astype(np.int64)
    words = pa.LargeStringArray.from_buffers(len(starts), pa.py_buffer(offsets), pa.py_buffer(raw[inside].tobytes()))
    coded = words.dictionary_encode()
    distinct = coded.dictionary.to_pylist()
    letters = np.frombuffer("".join(distinct).encode("utf-32-le"), dtype=np.uint32)
    return (
        lengths[: len(texts)],
        coded.indices.to_numpy(),
        letters,
        np.array([len(word) for word in distinct], dtype=np.int64),
    )


def hash_words(letters: Letters, sizes: Counts) -> tuple[Hashes, Hashes, Counts]:
    """A hash of each word (w,), the hashes of all its n-grams (word by word, the word itself first), and how many each word has."""
    bounds = _starts(sizes + 2)
    marked = np.empty(bounds[-1], dtype=np.uint64)
    owner = np.repeat(np.arange(len(sizes)), sizes + 2)
    at = np.arange(len(marked)) - bounds[owner]
    marked[at == 0], marked[at == sizes[owner] + 1] = _OPEN, _CLOSE
    marked[(at > 0) & (at <= sizes[owner])] = letters
    whole = (
        _mix_bits(
            np.add.reduceat(
                _mix_bits(marked * _ODD_CONSTANTS[0] + at.astype(np.uint64) * _ODD_CONSTANTS[1]), bounds[:-1]
            )
        )
        if len(sizes)
        else marked
    )
    found, owners = [whole], [np.arange(len(sizes))]
    rolling = np.zeros_like(marked)
    for n in range(1, LENGTHS[-1] + 1):
        rolling = rolling[: len(marked) - n + 1] * _ODD_CONSTANTS[0] + marked[n - 1 :]
        if n in LENGTHS:
            fits = np.flatnonzero((at + n <= sizes[owner] + 2)[: len(rolling)])
            found.append(_mix_bits(rolling[fits] ^ np.uint64(n)))
            owners.append(owner[fits])
    order = np.argsort(np.concatenate(owners), kind="stable")
    return whole, np.concatenate(found)[order], np.bincount(np.concatenate(owners), minlength=len(sizes))


def _pairs(lengths: Counts, codes: Counts, hashes: Hashes) -> tuple[Hashes, Counts]:
    """Hashes of all pairs of neighboring words, text by text, and how many each text has."""
    of_words = hashes[codes]
    last = _starts(lengths)[1:][lengths > 0] - 1  # the last word of a text begins no pair
    within = np.ones(max(len(codes) - 1, 0), dtype=bool)
    within[last[:-1]] = False
    pairs = of_words[:-1][within] * _ODD_CONSTANTS[1] + of_words[1:][within] * _ODD_CONSTANTS[2]
    return _mix_bits(pairs), np.maximum(lengths - 1, 0)


def _mix_bits(hashes: Hashes) -> Hashes:
    """Hashes in which every bit depends on every bit of the input. Source: Stafford's variant 13 of MurmurHash3's finalizer."""
    for shift, odd in ((30, _ODD_CONSTANTS[1]), (27, _ODD_CONSTANTS[2])):
        hashes = (hashes ^ (hashes >> np.uint64(shift))) * odd
    return hashes ^ (hashes >> np.uint64(31))


def _bucket(hashes: Hashes) -> npt.NDArray[np.int64]:
    return (hashes >> np.uint64(64 - 18)).astype(np.int64)


def _starts(lengths: Counts) -> Counts:
    return np.concatenate([[0], np.cumsum(lengths)])
