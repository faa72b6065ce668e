"""Sentence encoders in PyTorch: any folder that sentence-transformers can read."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from rung.backbones.pretrained import Pretrained, quiet
from rung.encoding import encodable
from rung.evidence import Array, Role

# An encoder's own prompts, by what they are called in its config, for the two sides that rung has.
_PROMPTS = {"text": ("text", "document", "passage"), "label": ("label", "query")}


class EncoderBackbone(Pretrained):
    """A sentence encoder, frozen, in float32; weights are read at the first `embed`.

    `fingerprint` covers weights, tokenizer, pooling, prompts and maximum tokens.
    """

    abilities = frozenset({"embed"})
    needs = ("torch", "sentence_transformers")

    @classmethod
    def recognizes(cls, folder: Path) -> bool:
        """Whether `folder` is laid out as sentence-transformers saves it."""
        return (folder / "modules.json").is_file()

    @property
    def made_of(self) -> object:
        """Its files and its prompts."""
        files = {name: digest for name, digest in self.hashes.items() if Path(name).name != "data_config.json"}
        return [files, self.prompts]

    @cached_property
    def prompts(self) -> dict[str, str]:
        """What is put before a text and before a label: the catalog's word, else the model's own config."""
        if self.entry and self.entry.prompts:
            return self.entry.prompts
        config = self.folder / "config_sentence_transformers.json"
        own = json.loads(config.read_text("utf-8")).get("prompts", {}) if config.is_file() else {}
        return {side: next((own[n] for n in names if own.get(n)), "") for side, names in _PROMPTS.items()}

    @cached_property
    def _encoder(self) -> Any:
        from sentence_transformers import SentenceTransformer

        with quiet():
            encoder = SentenceTransformer(
                str(self.folder), model_kwargs={"use_safetensors": True, "dtype": "float32"}, local_files_only=True
            )
        return encoder.eval()

    @cached_property
    def dimensions(self) -> int:
        """Length of an embedding; the catalog's word spares loading torch where all embeddings are in the cache."""
        known = self.entry.dimensions if self.entry else None
        return known or int(self._encoder.get_embedding_dimension())

    @cached_property
    def max_tokens(self) -> int | None:
        """Tokens of a text that are read, special tokens included; what comes after is cut."""
        known = self.entry.max_tokens if self.entry else None
        limit = known or self._encoder.max_seq_length
        return int(limit) if limit else None

    @cached_property
    def _tokenizer(self) -> Any:
        """The model's tokenizer as the library `tokenizers` runs it, without torch; cutting and padding are off."""
        from tokenizers import Tokenizer

        file = self.folder / "tokenizer.json"
        if file.is_file():
            tokenizer = Tokenizer.from_file(str(file))
        else:
            tokenizer = Tokenizer.from_str(self._encoder.tokenizer.backend_tokenizer.to_str())
        tokenizer.no_truncation()
        tokenizer.no_padding()
        return tokenizer

    def embed(self, texts: Sequence[str], role: Role = "text") -> Array:
        """Unit rows (n, d), float32; computed every time."""
        if not texts:
            return np.zeros((0, self.dimensions), dtype=np.float32)
        said = [self.prompts.get(role, "") + encodable(text) for text in texts]
        rows = self._encoder.encode(said, batch_size=32, normalize_embeddings=True, show_progress_bar=False, prompt="")
        return np.asarray(rows, dtype=np.float32)

    def cut(self, texts: Sequence[str]) -> int:
        """How many of `texts` are longer than `max_tokens`, so that their end is not read."""
        limit = self.max_tokens
        if limit is None:
            return 0
        # a token is at least one character: shorter texts need no counting
        long = [text for text in texts if len(text) + self._marks > limit]
        return sum(len(each.ids) + self._marks > limit for each in self._encode(long))

    def unknown_share(self, texts: Sequence[str]) -> float:
        """The share of tokens that the model does not know, over all `texts`."""
        marks = {mark for mark in ("[UNK]", "<unk>") if self._tokenizer.token_to_id(mark) is not None}
        counts = [(sum(token in marks for token in each.tokens), len(each.ids)) for each in self._encode(texts)]
        return float(sum(u for u, _ in counts) / max(1, sum(n for _, n in counts)))

    def windows(self, text: str) -> list[str]:
        """The pieces of `text`, each within `max_tokens`, cut between tokens."""
        prompt = self._encode([self.prompts.get("text", "")])[0]
        room = (self.max_tokens or 0) - self._marks - len(prompt.ids)
        if room < 1 or len(text) <= room:
            return [text]
        spans = self._encode([text])[0].offsets
        starts = [0, *(spans[i][0] for i in range(room, len(spans), room))]
        pieces = [text[a:b] for a, b in zip(starts, [*starts[1:], len(text)], strict=True)]
        return [piece for piece in pieces if piece.strip()] or [text]

    @property
    def _marks(self) -> int:
        """Special tokens that are put around a text."""
        return int(self._tokenizer.num_special_tokens_to_add(is_pair=False))

    def _encode(self, texts: Sequence[str]) -> list[Any]:
        return list(self._tokenizer.encode_batch([encodable(text) for text in texts], add_special_tokens=False))


BACKBONE = EncoderBackbone
