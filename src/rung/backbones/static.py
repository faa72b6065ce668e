"""Static embeddings: a text is the sum of its tokens' vectors; NumPy only, tens of thousands of texts per second."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property, partial
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from rung.backbones.common.native_format import NativeFormatBackbone, occurrences, to_int8
from rung.errors import UserError
from rung.messages import message
from rung.text_encoding import encodable

if TYPE_CHECKING:
    from scipy.sparse import csr_array
    from tokenizers import Tokenizer

    from rung.evidence import Array, Role

BUILTIN = Path(__file__).parent / "builtin"
UNKNOWN = "[UNK]"  # BERT's token for a word that it cannot split into known tokens
MAX_CACHED_WORDS = 200_000  # distinct words, about 30 MB
CHUNK = 2048  # texts that are split into words at a time, so that memory does not grow with the number of texts
_THREADS = 4  # more threads only wait for each other


class StaticBackbone(NativeFormatBackbone):
    """Embed a text as the direction of the sum of its tokens' vectors.

    x = unit( Σ_t u_t )     u_t (d,): the vector of token t, whose length is the token's weight; stored as int8 with a scale.

    Tokens are those of BERT's uncased tokenizer. Rows do not depend on the batch or on the order of the texts, to the
    last bit: each sum follows the order of the text's own words. A text without any known token gets the direction of
    `background`, the mean of general text.
    """

    format = "rung-static"
    version = 1
    not_this_format = message("{folder} holds no static token vectors.")
    files = ("config.json", "model.safetensors", "tokenizer.json")

    @cached_property
    def background(self) -> Array:
        """Mean embedding of general text (d,), for callers that center embeddings; not a unit vector."""
        return self.tensor("background")

    @cached_property
    def vectors(self) -> Array:
        """Token vectors (vocabulary, d) as they are summed; a row of zeros adds nothing."""
        return self.tensor("vectors") * self.tensor("scales")[:, None]

    def summed_arrays(self) -> dict[str, npt.NDArray[Any]]:
        """The arrays that `embed` sums, as they are stored: vectors (vocabulary, d) int8 and scales (vocabulary,)."""
        return {name: self._tensors[name] for name in ("vectors", "scales")}

    def tensor(self, name: str) -> Array:
        """A tensor of the model file, as float32."""
        return self._tensors[name].astype(np.float32)

    def embed(self, texts: Sequence[str], role: Role = "text") -> Array:  # noqa: ARG002 - one prompt for both roles
        """Unit rows (n, d), float32; the role makes no difference."""
        rows = np.empty((len(texts), self.dimensions), dtype=np.float32)
        for start, found in zip(count(step=CHUNK), self._by_chunks(texts, self.vectors), strict=False):
            rows[start : start + len(found)] = found
        return _unit_rows(rows, instead=self.background)

    def unknown_share(self, texts: Sequence[str]) -> float:
        """The share of unknown tokens in all `texts`; 0 if they hold no tokens at all."""
        known = np.ones((self.vectors.shape[0], 2), dtype=np.float32)
        known[self.tokenizer.token_to_id(UNKNOWN), 0] = 0.0
        counts = [found.sum(axis=0, dtype=np.float64) for found in self._by_chunks(texts, known)]
        known_tokens, all_tokens = np.broadcast_to(sum(counts), 2)
        return float(1.0 - known_tokens / all_tokens) if all_tokens else 0.0

    def _by_chunks(self, texts: Sequence[str], values: Array) -> Iterator[Array]:
        """For each chunk of texts the sums (n, c) over each text's tokens of their `values` (vocabulary, c).

        Chunks run in parallel threads: the slow steps (Arrow's kernels, the tokenizer, sparse products) release the GIL.
        """
        chunks = [texts[start : start + CHUNK] for start in range(0, len(texts), CHUNK)]
        if len(chunks) < 2:
            yield from (self._sums(chunk, values) for chunk in chunks)
            return
        with ThreadPoolExecutor(min(len(chunks), os.cpu_count() or 1, _THREADS)) as threads:
            yield from threads.map(partial(self._sums, values=values), chunks)

    def _sums(self, texts: Sequence[str], values: Array) -> Array:
        words, tokens = self._counts(texts)
        return np.asarray(words @ (tokens @ values))

    def _counts(self, texts: Sequence[str]) -> tuple[csr_array, csr_array]:
        """The texts as words (n, words), their distinct words as tokens (words, vocabulary)."""
        lengths, codes, words = _split(texts)
        ids = self._token_ids(words)
        tokens = np.fromiter((token for row in ids for token in row), dtype=np.int64)
        return occurrences(codes, lengths, len(words)), occurrences(
            tokens, np.array([len(row) for row in ids]), self.vectors.shape[0]
        )

    def _token_ids(self, words: list[str]) -> list[Sequence[int]]:
        """The token ids of each word; ids of earlier words are cached, up to a limit."""
        new = [word for word in words if word not in self._ids_by_word]
        encoded = self.tokenizer.encode_batch_fast(new, add_special_tokens=False)
        found: dict[str, Sequence[int]] = dict(zip(new, (encoding.ids for encoding in encoded), strict=True))
        ids = [found[word] if word in found else self._ids_by_word[word] for word in words]
        if len(self._ids_by_word) + len(found) <= MAX_CACHED_WORDS:
            self._ids_by_word.update(found)
        return ids

    @cached_property
    def _ids_by_word(self) -> dict[str, Sequence[int]]:
        """The cache of token ids by word. It begins with the words that are one token: about half of a text's words."""
        vocabulary = self.tokenizer.get_vocab()
        return {word: (token,) for word, token in vocabulary.items() if word.isascii() and word.isalnum()}

    @cached_property
    def tokenizer(self) -> Tokenizer:
        """The tokenizer of the model."""
        return read_tokenizer((self.folder / "tokenizer.json").read_text(encoding="utf-8"))


BACKBONE = StaticBackbone


def read_tokenizer(text: str) -> Tokenizer:
    """The tokenizer of a tokenizer.json, without truncation and padding; special tokens in a text ([SEP]) are plain text."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_str(text)
    tokenizer.no_truncation()
    tokenizer.no_padding()
    tokenizer.encode_special_tokens = True
    return tokenizer


def count_tokens(tokenizer: Tokenizer, texts: list[str]) -> csr_array:
    """The tokens of each text as a sparse matrix (n, vocabulary), in reading order, without special tokens."""
    ids = [encoding.ids for encoding in tokenizer.encode_batch_fast(texts, add_special_tokens=False)]
    tokens = np.fromiter((token for row in ids for token in row), dtype=np.int64)
    return occurrences(tokens, np.array([len(row) for row in ids]), tokenizer.get_vocab_size())


def reads_uncased(tokenizer: str) -> bool:
    """Whether a tokenizer.json (its text) is that of an uncased BERT, which is how texts are split here."""
    found = json.loads(tokenizer).get("normalizer") or {}
    return found.get("type") == "BertNormalizer" and bool(found.get("lowercase"))


def write_static(
    folder: Path,
    vectors: Array,
    tokenizer: str,
    *,
    tensors: dict[str, npt.NDArray[Any]],
    notes: dict[str, str],
) -> None:
    """Write a folder that `StaticBackbone.open` reads, from token vectors (vocabulary, d) and the text of a tokenizer.json.

    Vectors are rounded to int8 with one scale per token: a component changes by at most 1/254 of its row's largest.
    `tensors` go into the model file as they are and must contain `background` (d,); `notes` go into config.json.
    """
    assert reads_uncased(tokenizer), "texts are read with BERT's uncased tokenizer"
    quantized, scales = to_int8(vectors)
    config = {"dimensions": vectors.shape[1], **notes}
    StaticBackbone.write(folder, {**tensors, "scales": scales, "vectors": quantized}, config)
    (folder / "tokenizer.json").write_text(tokenizer, encoding="utf-8")


def copied(backbone: StaticBackbone, folder: Path, dimensions: int | None = None) -> StaticBackbone:
    """The same token vectors in another folder, or their first `dimensions`, which are sorted by importance.

    Raises UserError for more dimensions than there are.
    """
    available = backbone.dimensions
    if dimensions is not None and dimensions > available:
        raise UserError(
            "static: {backbone_name} has {available} dimensions, not {dimensions}.",
            "Give a smaller number of dimensions.",
            backbone_name=backbone.name,
            available=available,
            dimensions=dimensions,
        )
    if dimensions in (None, available):
        folder.mkdir(parents=True)
        for file in (*StaticBackbone.files, "NOTICE"):
            if (backbone.folder / file).is_file():
                shutil.copyfile(backbone.folder / file, folder / file)
    else:
        notes: dict[str, str] = {
            name: backbone._config[name] for name in ("license", "origin", "language") if name in backbone._config
        }
        tensors = {"background": backbone.background[:dimensions].copy()}
        tokenizer = (backbone.folder / "tokenizer.json").read_text("utf-8")
        write_static(folder, backbone.vectors[:, :dimensions], tokenizer, tensors=tensors, notes=notes)
    return StaticBackbone.open(folder, "static")


def _split(texts: Sequence[str]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int32], list[str]]:
    """Words per text (n,), every word as a code in reading order, and the distinct words of the codes.

    Splits as BERT's uncased tokenizer does, or less: ASCII letters in lower case, splits at space, tab, line breaks and
    around ASCII punctuation. The tokenizer splits further inside a word, so splitting less is no error; splitting more would
    be (a form feed, for example, is no space for BERT).
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    column = pc.ascii_lower(pa.array([encodable(text) for text in texts], type=pa.large_string()))
    column = pc.replace_substring_regex(column, r"([!-/:-@\[-`{-~])", r" \1 ")
    for blank in "\t\n\r":
        column = pc.replace_substring(column, blank, " ")
    words = pc.split_pattern(column, " ")
    coded = words.flatten().dictionary_encode()
    return np.diff(words.offsets.to_numpy()), coded.indices.to_numpy(), coded.dictionary.to_pylist()


def _unit_rows(rows: Array, *, instead: Array) -> Array:
    """Rows scaled to length one, in place; a row of zeros gets the direction of `instead`, or of all ones if that is zero too."""
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    empty = norms[:, 0] == 0
    if empty.any():
        filler = instead if instead.any() else np.ones_like(instead)
        rows[empty] = filler / np.linalg.norm(filler)
        norms[empty] = 1.0
    rows /= norms
    return rows
