"""Sentence encoders: any folder that sentence-transformers can read, run by PyTorch or OpenVINO.

Texts are sorted by length and batches are filled by tokens, so that there is little padding; the next part is tokenized while one
is computed. Each module of sentence-transformers (transformer, pooling, …) is called as the library itself calls it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property, partial
from pathlib import Path
from threading import Lock
from typing import Any, Self
from urllib.parse import quote

import numpy as np
import numpy.typing as npt

from rung.backbones.catalog import Entry, known_folder
from rung.backbones.common.batching import padded_batches
from rung.backbones.common.control_tokens import ControlTokens
from rung.backbones.common.engine_selection import choose_engine
from rung.backbones.common.engines import EngineConfig, EngineOptions, apply_engine
from rung.backbones.common.pretrained import Pretrained, has_content, quiet_loading
from rung.evidence import Array, Role
from rung.text_encoding import encodable

# The names of prompts in an encoder's config that serve for texts and for labels.
_PROMPTS = {"text": ("text", "document", "passage"), "label": ("label", "query")}

UNKNOWN = ("[UNK]", "<unk>")  # how tokenizers write an unknown token

_PART = 512  # texts that are tokenized together and sorted by their tokens
_TOKENS = 1024  # of one forward pass on a processor, padding included: its arrays fit into the caches
_TOKENS_GPU = 1 << 16
_TOKENIZING = Lock()  # transformers' tokenizers cannot be used by two threads at once


class EncoderBackbone(Pretrained):
    """A sentence encoder, frozen; weights are read at the first `embed`.

    `fingerprint` covers weights, tokenizer, pooling, prompts and maximum tokens; `numerics` gives engine and precision.
    """

    abilities = frozenset({"embed"})
    needs = ("torch", "sentence_transformers")
    options = ("engine", "precision", "threads", "prompt", "text_prompt", "label_prompt")

    def __init__(
        self,
        folder: Path,
        name: str,
        entry: Entry | None = None,
        options: EngineOptions | None = None,
        prompts: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(folder, name, entry)
        self.engine_options = options or EngineOptions()
        self._given_prompts = dict(prompts or {})

    def with_options(self, given: Mapping[str, object]) -> Self:
        """The same backbone with these `EngineOptions`, or another with other prompts. Raises UserError for an invalid value."""
        options = EngineOptions.of(self.name, given)
        prompt_options = {
            option: str(given[option]) for option in ("prompt", "text_prompt", "label_prompt") if option in given
        }
        both = prompt_options.get("prompt")
        prompts = {side: prompt_options.get(f"{side}_prompt", both) for side in _PROMPTS}
        own = {side: prompt for side, prompt in prompts.items() if prompt is not None}
        query = "&".join(f"{option}={quote(prompt, safe=': ')}" for option, prompt in sorted(prompt_options.items()))
        return type(self)(self.folder, f"{self.name}?{query}" if query else self.name, self.entry, options, own)

    def __getstate__(self) -> dict[str, Any]:
        return super().__getstate__() | {"engine_options": self.engine_options, "_given_prompts": self._given_prompts}

    @classmethod
    def recognizes(cls, folder: Path) -> bool:
        """Whether `folder` has the layout of sentence-transformers."""
        return (folder / "modules.json").is_file()

    @property
    def fingerprint_parts(self) -> object:
        """The files and the prompts."""
        files = {name: digest for name, digest in self.hashes.items() if Path(name).name != "data_config.json"}
        return [files, self.prompts]

    @cached_property
    def prompts(self) -> dict[str, str]:
        """What is put before a text and before a label.

        The first that exists of: the options, the catalog's entry, the model's own config, the entry of a known model's folder.
        """
        return self._usual_prompts | self._given_prompts

    @property
    def _usual_prompts(self) -> dict[str, str]:
        if self.entry and self.entry.prompts:
            return self.entry.prompts
        config = self.folder / "config_sentence_transformers.json"
        own = json.loads(config.read_text("utf-8")).get("prompts", {}) if config.is_file() else {}
        found = {side: next((own[n] for n in names if own.get(n)), "") for side, names in _PROMPTS.items()}
        known = None if any(found.values()) else known_folder(self.folder, self.config)
        return known.prompts if known and known.prompts else found

    @property
    def numerics(self) -> str:
        """Engine and precision; where a machine offers several, they are measured at the first call."""
        return str(self._engine_config)

    @cached_property
    def _engine_config(self) -> EngineConfig:
        return choose_engine(self.engine_options, self.fingerprint, self._embeds)

    def _embeds(self, config: EngineConfig) -> Callable[[list[str]], Array]:
        return partial(self._rows, self._opened(config), "")

    @cached_property
    def _encoder(self) -> Any:
        return self._opened(self._engine_config)

    def _opened(self, config: EngineConfig) -> Any:
        from sentence_transformers import SentenceTransformer

        with quiet_loading():
            encoder = SentenceTransformer(
                str(self.folder),
                model_kwargs={"use_safetensors": True, "dtype": "float32"},
                local_files_only=True,
                device="cpu" if config.engine == "openvino" else None,  # the first GPU where there is one
            )
        encoder.eval().requires_grad_(False)
        return apply_engine(encoder, config, fingerprint=self.fingerprint, threads=self.engine_options.threads)

    @cached_property
    def dimensions(self) -> int:
        """Length of an embedding; from the catalog where possible, so that torch is not imported for cached embeddings."""
        known = self.entry.dimensions if self.entry else None
        return known or int(self._encoder.get_embedding_dimension())

    @cached_property
    def max_tokens(self) -> int | None:
        """How many tokens of a text are read, special tokens included; the rest is cut."""
        known = self.entry.max_tokens if self.entry else None
        limit = known or self._encoder.max_seq_length
        return int(limit) if limit else None

    @cached_property
    def _tokenizer(self) -> Any:
        """The model's tokenizer in the library `tokenizers`, without torch; truncation and padding are off."""
        from tokenizers import Tokenizer

        file = self.folder / "tokenizer.json"
        if file.is_file():
            tokenizer = Tokenizer.from_file(str(file))
        else:
            tokenizer = Tokenizer.from_str(self._encoder.tokenizer.backend_tokenizer.to_str())
        tokenizer.no_truncation()
        tokenizer.no_padding()
        return tokenizer

    @cached_property
    def control(self) -> ControlTokens:
        """The tokenizer's control tokens."""
        return ControlTokens(self._tokenizer)

    def embed(self, texts: Sequence[str], role: Role = "text") -> Array:
        """Unit rows (n, d), float32; computed at every call."""
        if not texts:
            return np.zeros((0, self.dimensions), dtype=np.float32)
        return self._rows(self._encoder, self.prompts.get(role, ""), [encodable(text) for text in texts])

    def _rows(self, encoder: Any, prompt: str, texts: list[str]) -> Array:
        """Unit rows (n, d) of `texts`."""
        control = control_tokens(encoder)
        if not _reads_tokens(encoder):
            escaped = [prompt + control.as_text(text, prompt) for text in texts]
            return np.asarray(encoder.encode(escaped, prompt="", normalize_embeddings=True, show_progress_bar=False))
        order = sorted(range(len(texts)), key=lambda place: len(texts[place]))
        parts = [[texts[i] for i in order[start : start + _PART]] for start in range(0, len(order), _PART)]
        found = [
            _embedded(encoder, tokens) for tokens in _prefetched(partial(_tokenized, encoder, control, prompt), parts)
        ]
        rows = np.concatenate(found)
        rows[order] = rows.copy()
        return rows

    def cut(self, texts: Sequence[str]) -> int:
        """How many of `texts` are longer than `max_tokens`, so that their end is not read."""
        limit = self.max_tokens
        if limit is None:
            return 0
        room = limit - self._n_special_tokens - len(self._encode([self.prompts.get("text", "")])[0].ids)
        long = [
            text for text in texts if len(text) > room
        ]  # a token has at least one character, so the others are short enough
        return sum(len(each.ids) > room for each in self._encode(long))

    def unknown_share(self, texts: Sequence[str]) -> float:
        """The share of unknown tokens in all `texts`."""
        counts = [(sum(i in self._unknown_ids for i in each.ids), len(each.ids)) for each in self._encode(texts)]
        return float(sum(u for u, _ in counts) / max(1, sum(n for _, n in counts)))

    def has_known_tokens(self, texts: Sequence[str], rows: Array | None = None) -> npt.NDArray[np.bool_]:  # noqa: ARG002 - a backbone's signature
        """Which texts (n,) hold a known token."""
        return np.array([has_content(self._known_tokens(each)) for each in self._encode(texts)], dtype=bool)

    def _known_tokens(self, encoding: Any) -> list[str]:
        return [token for i, token in zip(encoding.ids, encoding.tokens, strict=True) if i not in self._unknown_ids]

    @cached_property
    def _unknown_ids(self) -> set[int | None]:
        """The unknown token, by its id: SentencePiece keeps the original text beside the id."""
        return {self._tokenizer.token_to_id(mark) for mark in UNKNOWN}

    def windows(self, text: str) -> list[str]:
        """The pieces of `text`, each within `max_tokens`, split between tokens; control tokens in it are broken up."""
        prompt = self._encode([self.prompts.get("text", "")])[0]
        room = (self.max_tokens or 0) - self._n_special_tokens - len(prompt.ids)
        if room < 1 or len(text) <= room:
            return [text]
        text = self.control.as_text(text)
        spans = self._encode([text])[0].offsets
        starts = [0, *(spans[i][0] for i in range(room, len(spans), room))]
        pieces = [text[a:b] for a, b in zip(starts, [*starts[1:], len(text)], strict=True)]
        return [piece for piece in pieces if piece.strip()] or [text]

    @cached_property
    def layers(self) -> int:
        """How many layers the transformer has."""
        return int(self._encoder[0].auto_model.config.num_hidden_layers)

    @property
    def _n_special_tokens(self) -> int:
        """How many special tokens are put around a text."""
        return int(self._tokenizer.num_special_tokens_to_add(is_pair=False))

    def _encode(self, texts: Sequence[str]) -> list[Any]:
        """The tokens of each text, none of them a control token."""
        said = [encodable(text) for text in texts]
        read = partial(self._tokenizer.encode_batch, add_special_tokens=False)
        found = list(read(said))
        plain = self.control.plain(said, [each.ids for each in found])
        return found if plain == said else list(read(plain))


def control_tokens(encoder: Any) -> ControlTokens:
    """The control tokens of a sentence-transformers encoder, which its tokenizer reads wherever a text contains them."""
    return ControlTokens(
        getattr(encoder.tokenizer, "tokenizer", encoder.tokenizer)
    )  # a multimodal processor contains one


def _reads_tokens(encoder: Any) -> bool:
    """Whether the first module is a transformer for plain texts, whose tokens this file can put into batches."""
    first = encoder[0]
    return type(first).__name__ == "Transformer" and list(first.modality_config) == ["text"]


def _prefetched(tokenize: Callable[[list[str]], dict[str, Any]], parts: list[list[str]]) -> Iterator[dict[str, Any]]:
    """The tokens of each part; the next part is tokenized in another thread while the caller works on one."""
    with ThreadPoolExecutor(1) as thread:
        coming = thread.submit(tokenize, parts[0])
        for following in [*parts[1:], None]:
            tokens = coming.result()
            if following is not None:
                coming = thread.submit(tokenize, following)
            yield tokens


def _tokenized(encoder: Any, control: ControlTokens, prompt: str, texts: list[str]) -> dict[str, Any]:
    """What sentence-transformers prepares for `texts` before its first module, without padding: lists of ids, and other values.

    A row with more control tokens than usual has some from its text, which are then broken up.
    """
    plain = {"text": {"padding": False}, "common": {"return_tensors": None}}
    with _TOKENIZING:
        read = partial(encoder.preprocess, prompt=prompt or None, processing_kwargs=plain)
        found = dict(read(texts))
        usual = control.count(read(["a"])["input_ids"][0])
        escaped = control.plain(texts, found["input_ids"], prompt, usual)
        return found if escaped == texts else dict(read(escaped))


def _embedded(encoder: Any, tokens: dict[str, Any]) -> Array:
    """Unit rows (n, d) of n tokenized texts."""
    import torch

    tokenizer = encoder.tokenizer
    rows = {name: value for name, value in tokens.items() if isinstance(value, list)}
    facts = {name: value for name, value in tokens.items() if name not in rows}
    budget = _TOKENS if encoder.device.type == "cpu" else _TOKENS_GPU
    left = tokenizer.padding_side == "left"
    places: list[int] = []
    found = []
    with torch.inference_mode():
        for part, tensors in padded_batches(rows, budget, pad=tokenizer.pad_token_id, device="cpu", left=left):
            places += part
            found.append(_pooled(encoder, _moved(tensors, encoder.device) | facts))
        return np.asarray(torch.cat(found).cpu().numpy()[np.argsort(places)])


def _moved(tensors: dict[str, Any], device: Any) -> dict[str, Any]:
    """The tensors on the device; they are pinned for a GPU, so that the copy does not block."""
    if device.type == "cpu":
        return tensors
    pinned = ((name, tensor.pin_memory() if device.type == "cuda" else tensor) for name, tensor in tensors.items())
    return {name: tensor.to(device, non_blocking=True) for name, tensor in pinned}


def _pooled(encoder: Any, features: dict[str, Any]) -> Any:
    """Unit rows of a batch: all modules in sequence, those after the transformer in float32."""
    import torch

    first, *others = encoder.children()
    features = first(features)
    features = {name: value.float() if _is_real(value) else value for name, value in features.items()}
    for module in others:
        features = module(features)
    return torch.nn.functional.normalize(features["sentence_embedding"].float(), dim=1)


def _is_real(value: Any) -> bool:
    return hasattr(value, "is_floating_point") and bool(value.is_floating_point())


BACKBONE = EncoderBackbone
