"""Embed texts as sums of token vectors: NumPy only, tens of thousands of texts a second. The built-in model is one."""

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
UNKNOWN = "[UNK]"  # what BERT's tokenizer calls a word that it cannot spell
REMEMBERED = 200_000  # distinct words, about 30 MB
CHUNK = 2048  # texts held as words at a time: memory stays flat however many texts come
_THREADS = 4  # chunks side by side; beyond, they wait for each other


class StaticBackbone(NativeFormatBackbone):
    """Embed a text as the direction of the sum of its tokens' vectors.

    x = unit( Σ_t u_t )     u_t (d,) one vector a token, its length being the token's weight; kept as int8 with a scale.

    Tokens are those of BERT's uncased tokenizer. Rows do not depend on the batch or on the order of the texts, to the
    last bit: each is summed in the order of its own words. A text without any known token gets the direction of
    `background`, which is what an average text says.
    """

    format = "rung-static"
    version = 1
    not_this_format = message("{folder} holds no static token vectors.")
    files = ("config.json", "model.safetensors", "tokenizer.json")

    @cached_property
    def background(self) -> Array:
        """Mean embedding of general text (d,), to be subtracted by whoever centers; not a unit vector."""
        return self.tensor("background")

    @cached_property
    def vectors(self) -> Array:
        """Token vectors (vocabulary, d) as they are summed; zero rows say nothing."""
        return self.tensor("vectors") * self.tensor("scales")[:, None]

    def summed_arrays(self) -> dict[str, npt.NDArray[Any]]:
        """What `embed` sums, as it is kept: vectors (vocabulary, d) int8 and scales (vocabulary,)."""
        return {name: self._tensors[name] for name in ("vectors", "scales")}

    def tensor(self, name: str) -> Array:
        """One of the tensors that came with the vectors, as float32."""
        return self._tensors[name].astype(np.float32)

    def embed(self, texts: Sequence[str], role: Role = "text") -> Array:  # noqa: ARG002 - one prompt for both roles
        """Unit rows (n, d), float32: the same for a text and for a label."""
        rows = np.empty((len(texts), self.dimensions), dtype=np.float32)
        for start, found in zip(count(step=CHUNK), self._by_chunks(texts, self.vectors), strict=False):
            rows[start : start + len(found)] = found
        return _unit_rows(rows, instead=self.background)

    def unknown_share(self, texts: Sequence[str]) -> float:
        """The share of tokens that the model does not know, over all `texts`; 0 if they hold no tokens at all."""
        known = np.ones((self.vectors.shape[0], 2), dtype=np.float32)
        known[self.tokenizer.token_to_id(UNKNOWN), 0] = 0.0
        counts = [found.sum(axis=0, dtype=np.float64) for found in self._by_chunks(texts, known)]
        known_tokens, all_tokens = np.broadcast_to(sum(counts), 2)
        return float(1.0 - known_tokens / all_tokens) if all_tokens else 0.0

    def _by_chunks(self, texts: Sequence[str], values: Array) -> Iterator[Array]:
        """For each chunk of texts the sums (n, c) over each text's tokens of their `values` (vocabulary, c); chunks side by side.

        What takes time (Arrow's kernels, the tokenizer, sparse products) leaves other threads free to go on.
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
        ids = self._spelled(words)
        tokens = np.fromiter((token for row in ids for token in row), dtype=np.int64)
        return occurrences(codes, lengths, len(words)), occurrences(
            tokens, np.array([len(row) for row in ids]), self.vectors.shape[0]
        )

    def _spelled(self, words: list[str]) -> list[Sequence[int]]:
        """The tokens of each word; words met before are remembered, up to a bound."""
        new = [word for word in words if word not in self._known]
        encoded = self.tokenizer.encode_batch_fast(new, add_special_tokens=False)
        found: dict[str, Sequence[int]] = dict(zip(new, (encoding.ids for encoding in encoded), strict=True))
        ids = [found[word] if word in found else self._known[word] for word in words]
        if len(self._known) + len(found) <= REMEMBERED:
            self._known.update(found)
        return ids

    @cached_property
    def _known(self) -> dict[str, Sequence[int]]:
        """Tokens by word, to begin with those words that are a token each: half of a text's, and no work for a tokenizer."""
        vocabulary = self.tokenizer.get_vocab()
        return {word: (token,) for word, token in vocabulary.items() if word.isascii() and word.isalnum()}

    @cached_property
    def tokenizer(self) -> Tokenizer:
        """The tokenizer that goes with `vectors`."""
        return read_tokenizer((self.folder / "tokenizer.json").read_text(encoding="utf-8"))


BACKBONE = StaticBackbone


def read_tokenizer(text: str) -> Tokenizer:
    """The tokenizer of a tokenizer.json: nothing cut or padded, and marks such as [SEP] in a text are plain text."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_str(text)
    tokenizer.no_truncation()
    tokenizer.no_padding()
    tokenizer.encode_special_tokens = True
    return tokenizer


def count_tokens(tokenizer: Tokenizer, texts: list[str]) -> csr_array:
    """Which tokens each text holds (n, vocabulary), in reading order, without an encoder's marks around the text."""
    ids = [encoding.ids for encoding in tokenizer.encode_batch_fast(texts, add_special_tokens=False)]
    tokens = np.fromiter((token for row in ids for token in row), dtype=np.int64)
    return occurrences(tokens, np.array([len(row) for row in ids]), tokenizer.get_vocab_size())


def reads_uncased(tokenizer: str) -> bool:
    """Whether the text of a tokenizer.json is that of a BERT that reads small letters, which is how texts are cut here."""
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
    """A folder that `StaticBackbone.open` reads, from token vectors (vocabulary, d) and the text of a tokenizer.json.

    Vectors are rounded to int8 with one scale a token: a component moves by at most 1/254 of its row's largest.
    `tensors` go into the model file as they are and must hold `background` (d,); `notes` go into config.json.
    """
    assert reads_uncased(tokenizer), "texts are read with BERT's uncased tokenizer"
    whole, scales = to_int8(vectors)
    config = {"dimensions": vectors.shape[1], **notes}
    StaticBackbone.write(folder, {**tensors, "scales": scales, "vectors": whole}, config)
    (folder / "tokenizer.json").write_text(tokenizer, encoding="utf-8")


def copied(backbone: StaticBackbone, folder: Path, dimensions: int | None = None) -> StaticBackbone:
    """The same token vectors in another folder, or their first `dimensions`: they are in the order of what they say.

    Raises UserError for more dimensions than there are.
    """
    given = backbone.dimensions
    if dimensions is not None and dimensions > given:
        raise UserError(
            "static: {backbone_name} has {given} dimensions, asked for {dimensions}.",
            "Ask for fewer.",
            backbone_name=backbone.name,
            given=given,
            dimensions=dimensions,
        )
    if dimensions in (None, given):
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
    """Words a text (n,), every word as a code in reading order, and the distinct words that the codes stand for.

    Done as BERT's uncased tokenizer would, though less: small ASCII letters, cuts at space, tab, line breaks and around
    ASCII punctuation. What is left inside a word is cut by the tokenizer itself, so doing less is no error; doing more
    would be (a form feed, say, is no space to BERT).
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
    """Rows at length one, in place; a row of zeros takes the direction of `instead`, or of all ones if that is zero."""
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    empty = norms[:, 0] == 0
    if empty.any():
        filler = instead if instead.any() else np.ones_like(instead)
        rows[empty] = filler / np.linalg.norm(filler)
        norms[empty] = 1.0
    rows /= norms
    return rows
