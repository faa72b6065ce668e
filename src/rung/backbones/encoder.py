"""Sentence encoders in PyTorch: any folder that sentence-transformers can read."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np

from rung.backbones.catalog import Entry
from rung.encoding import encodable
from rung.errors import UserError
from rung.evidence import Array, Role

# An encoder's own prompts, by what they are called in its config, for the two sides that rung has.
_PROMPTS = {"text": ("text", "document", "passage"), "label": ("label", "query")}


class EncoderBackbone:
    """A sentence encoder, frozen, in float32; weights are read at the first `embed`.

    Files are hashed, not trusted: `fingerprint` covers weights, tokenizer, pooling, prompts and maximum tokens.
    """

    abilities = frozenset({"embed"})
    costly = True
    input = "text"
    needs = ("torch", "sentence_transformers")
    extra = "torch"

    def __init__(
        self, folder: Path, name: str, *, prompts: dict[str, str] | None = None, sha256: str | None = None
    ) -> None:
        self.folder = folder
        self.name = name
        self.sha256 = sha256
        self._given_prompts = prompts or {}

    @classmethod
    def recognizes(cls, folder: Path) -> bool:
        """Whether `folder` is laid out as sentence-transformers saves it."""
        return (folder / "modules.json").is_file()

    @classmethod
    def open(cls, folder: Path, name: str, entry: Entry | None = None) -> Self:
        """The backbone of `folder`; `entry` adds what the catalog knows of it. Raises UserError for other weights than it names."""
        if not list(folder.rglob("*.safetensors")):
            raise UserError(
                f"backbone {name!r}: {folder} has no .safetensors weights.",
                "rung reads no pickled weights; convert them with  model.save_pretrained(folder, safe_serialization=True)",
            )
        opened = cls(folder, name, prompts=entry.prompts if entry else None, sha256=entry.sha256 if entry else None)
        opened._verify()
        return opened

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self  # frozen and large: shared, never copied

    def __reduce__(self) -> tuple[Any, ...]:
        return _reopened, (self.folder, self.name, self._given_prompts, self.sha256)

    def _verify(self) -> None:
        if self.sha256 is None:
            return
        found = self._hashes["model.safetensors"]
        if found != self.sha256:
            raise UserError(
                f"backbone {self.name!r}: the weights in {self.folder} have sha256 {found[:12]}…, not {self.sha256[:12]}….",
                "They are not the model that this name stands for: install it anew, or name the folder itself as backbone.",
            )

    @cached_property
    def _hashes(self) -> dict[str, str]:
        """sha256 of every file that the model is made of."""
        parts = [p for p in sorted(self.folder.rglob("*")) if p.suffix in {".safetensors", ".json", ".txt", ".model"}]
        return {str(p.relative_to(self.folder)): _sha256(p) for p in parts if p.is_file()}

    @cached_property
    def fingerprint(self) -> str:
        """64 hexadecimal digits, the same on every machine for the same files and prompts."""
        made_of = {k: v for k, v in self._hashes.items() if Path(k).name not in {"README.md", "data_config.json"}}
        return hashlib.sha256(json.dumps([made_of, self.prompts], sort_keys=True).encode()).hexdigest()

    @property
    def numerics(self) -> str:
        """Engine and precision."""
        return "torch-float32"

    @cached_property
    def prompts(self) -> dict[str, str]:
        """What is put before a text and before a label: the catalog's word, else the model's own config."""
        if self._given_prompts:
            return self._given_prompts
        config = self.folder / "config_sentence_transformers.json"
        own = json.loads(config.read_text("utf-8")).get("prompts", {}) if config.is_file() else {}
        return {side: next((own[n] for n in names if own.get(n)), "") for side, names in _PROMPTS.items()}

    @cached_property
    def _encoder(self) -> Any:
        from sentence_transformers import SentenceTransformer
        from transformers.utils import logging

        shown = logging.is_progress_bar_enabled()
        logging.disable_progress_bar()  # its bar for reading weights would break ours
        try:
            encoder = SentenceTransformer(
                str(self.folder), model_kwargs={"use_safetensors": True, "dtype": "float32"}, local_files_only=True
            )
        finally:
            if shown:
                logging.enable_progress_bar()
        encoder.eval()
        return encoder

    @cached_property
    def dimensions(self) -> int:
        """Length of an embedding."""
        return int(self._encoder.get_embedding_dimension())

    @cached_property
    def max_tokens(self) -> int | None:
        """Tokens of a text that are read, special tokens included; what comes after is cut."""
        limit = self._encoder.max_seq_length
        return int(limit) if limit else None

    def embed(self, texts: Sequence[str], role: Role = "text") -> Array:
        """Unit rows (n, d), float32; computed every time."""
        if not texts:
            return np.zeros((0, self.dimensions), dtype=np.float32)
        said = [self.prompts.get(role, "") + encodable(text) for text in texts]
        rows = self._encoder.encode(said, batch_size=32, normalize_embeddings=True, show_progress_bar=False, prompt="")
        return np.asarray(rows, dtype=np.float32)

    def cut(self, texts: Sequence[str]) -> int:
        """How many of `texts` are longer than `max_tokens`, so that their end is not read."""
        if self.max_tokens is None:
            return 0
        # a token is at least one character: shorter texts need no counting
        long = [text for text in texts if len(text) + 2 > self.max_tokens]
        return sum(len(ids) > self.max_tokens for ids in self._ids(long, special=True))

    def unknown_share(self, texts: Sequence[str]) -> float:
        """The share of tokens that the model does not know, over all `texts`."""
        unknown = self._encoder.tokenizer.unk_token_id
        counts = [(sum(i == unknown for i in ids), len(ids)) for ids in self._ids(texts, special=False)]
        return float(sum(u for u, _ in counts) / max(1, sum(n for _, n in counts)))

    def windows(self, text: str) -> list[str]:
        """The pieces of `text`, each within `max_tokens`, cut between tokens."""
        room = (self.max_tokens or 0) - 2 - len(self._ids([self.prompts.get("text", "")], special=False)[0])
        if self.max_tokens is None or len(text) <= room or room < 1:
            return [text]
        encoded = self._encoder.tokenizer([text], add_special_tokens=False, return_offsets_mapping=True, verbose=False)
        spans = encoded["offset_mapping"][0]
        starts = [spans[i][0] for i in range(0, len(spans), room)] or [0]
        pieces = [text[a:b] for a, b in zip(starts, [*starts[1:], len(text)], strict=True)]
        return [piece for piece in pieces if piece.strip()] or [text]

    def _ids(self, texts: Sequence[str], *, special: bool) -> list[list[int]]:
        if not texts:
            return []
        tokenizer = self._encoder.tokenizer
        said = [encodable(text) for text in texts]
        return list(tokenizer(said, add_special_tokens=special, truncation=False, verbose=False)["input_ids"])


BACKBONE = EncoderBackbone


def _reopened(folder: Path, name: str, prompts: dict[str, str], sha256: str | None) -> EncoderBackbone:
    return EncoderBackbone(folder, name, prompts=prompts, sha256=sha256)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
