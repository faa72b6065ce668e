"""What all models that transformers reads from a folder share: file checks, a fingerprint, weights loaded at first use."""

from __future__ import annotations

import copy
import hashlib
import inspect
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from rung.backbones.catalog import Entry
from rung.backbones.common.control_tokens import ControlTokens
from rung.backbones.common.precision import DTYPES, checked_precision
from rung.backbones.common.prompt_tokens import PromptIds, prompt_ids
from rung.backbones.prompt import Prompt
from rung.errors import UserError

if TYPE_CHECKING:
    from rung.evidence import Array

_HASHED_SUFFIXES = {".safetensors", ".json", ".txt", ".model", ".spm", ".jinja"}

_NOT_HASHED = {"README.md", "record.json"}  # they describe the model and do not change its answers

# These count positions from the padding token's id, as fairseq did: a text can use 512 of RoBERTa's 514 positions.
_POSITIONS_AFTER_PADDING = {
    "roberta",
    "xlm-roberta",
    "xlm-roberta-xl",
    "roberta-prelayernorm",
    "camembert",
    "longformer",
    "mpnet",
    "data2vec-text",
    "ibert",
    "luke",
    "xmod",
    "esm",
}

# What a model raises when it is given a mask, positions or a cache that it does not support.
UNSUPPORTED_CALL = (AttributeError, IndexError, KeyError, RuntimeError, TypeError, ValueError)


class Pretrained:
    """A frozen model in a folder, in float32 unless another precision is requested; weights are read at first use.

    Files are hashed: `fingerprint` covers weights, config and tokenizer. No pickled weights are read, and no code that comes
    with a model is run.
    """

    abilities: frozenset[str] = frozenset()
    costly = True
    input = "text"
    needs: tuple[str, ...] = ("torch", "transformers")
    extra = "torch"
    model_class: ClassVar[str]  # the class of transformers that reads the weights
    precision: str = "float32"  # another precision changes the last digits, and so `numerics`

    def __init__(self, folder: Path, name: str, entry: Entry | None = None) -> None:
        self.folder = folder
        self.name = name
        self.entry = entry  # the model's entry in the catalog

    @classmethod
    def open(cls, folder: Path, name: str, entry: Entry | None = None) -> Self:
        """The backbone in `folder`; `entry` is its entry in the catalog.

        Raises UserError for a folder without safetensors, and for weights other than those that the entry names.
        """
        if not list(folder.rglob("*.safetensors")):
            raise UserError(
                "backbone {name!r}: {folder} has no .safetensors weights.",
                "rung reads no pickled weights; convert them with  model.save_pretrained(folder, "
                "safe_serialization=True)",
                name=name,
                folder=folder,
            )
        opened = cls(folder, name, entry)
        opened._verify()
        return opened

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self  # it is frozen and large: shared, never copied

    def __getstate__(self) -> dict[str, Any]:
        # without the weights, which are read again after unpickling
        return {"folder": self.folder, "name": self.name, "entry": self.entry, "precision": self.precision}

    def _verify(self) -> None:
        wanted = self.entry.sha256 if self.entry else None
        if wanted is None:
            return
        found = self.hashes["model.safetensors"]
        if found != wanted:
            raise UserError(
                "backbone {name!r}: the weights in {folder} have sha256 {found}…, not {wanted}….",
                "They are not the model of this name: install it again, or give the folder itself as backbone.",
                name=self.name,
                folder=self.folder,
                found=found[:12],
                wanted=wanted[:12],
            )

    @cached_property
    def hashes(self) -> dict[str, str]:
        """The sha256 of every file that the model consists of."""
        parts = [
            path
            for path in sorted(self.folder.rglob("*"))
            if path.suffix in _HASHED_SUFFIXES and path.name not in _NOT_HASHED
        ]
        return {str(path.relative_to(self.folder)): _sha256(path) for path in parts if path.is_file()}

    @property
    def fingerprint_parts(self) -> object:
        """All that decides the model's answers, as a value that JSON can hold."""
        return self.hashes

    @cached_property
    def fingerprint(self) -> str:
        """64 hexadecimal digits, the same on every machine for the same files and settings."""
        return hashlib.sha256(json.dumps(self.fingerprint_parts, sort_keys=True).encode()).hexdigest()

    @property
    def numerics(self) -> str:
        """Engine and precision."""
        return f"torch-{self.precision}"

    def with_options(self, given: Mapping[str, str]) -> Pretrained:
        """The same model in another precision. Raises UserError for one that is unknown or that this machine does not support."""
        return self.with_precision(given)

    def with_precision(self, given: Mapping[str, str]) -> Self:
        """The same model in the precision that is among the options `given`, all of which its name then says."""
        found = copy.copy(self)
        found.name = f"{self.name}?{'&'.join(f'{option}={value}' for option, value in sorted(given.items()))}"
        found.precision = checked_precision(self.name, given.get("precision", self.precision))
        return found

    @cached_property
    def config(self) -> dict[str, Any]:
        """The model's own config.json."""
        return read_config(self.folder)

    @cached_property
    def tokenizer(self) -> Any:
        """The model's tokenizer, as transformers reads it."""
        from transformers import AutoTokenizer

        return AutoTokenizer.from_pretrained(str(self.folder), local_files_only=True)

    @cached_property
    def model(self) -> Any:
        """The model itself, frozen, on the first GPU where there is one."""
        import torch
        import transformers

        kind = getattr(transformers, self.model_class)
        with quiet_loading():
            dtype = getattr(torch, DTYPES[self.precision])
            options = {"dtype": dtype, "use_safetensors": True, "local_files_only": True}
            model, loading_info = kind.from_pretrained(str(self.folder), **options, output_loading_info=True)
        missing = sorted({name for name, _ in model.named_parameters()} & set(loading_info["missing_keys"]))
        if missing:
            raise UserError(
                "backbone {name!r}: the weights in {folder} lack {missing}, which would be random numbers.",
                "Take a model that was saved with all weights for this task.",
                name=self.name,
                folder=self.folder,
                missing=missing[0],
            )
        device = "cuda" if torch.cuda.is_available() else "cpu"
        return model.to(device).eval().requires_grad_(False)

    @cached_property
    def max_tokens(self) -> int | None:
        """How many tokens of a text are read, special tokens included; None where the model has no limit."""
        known = self.entry.max_tokens if self.entry else None
        sizes = ("n_positions", "max_position_embeddings", "max_source_positions")
        found = known or next((self.config[each] for each in sizes if self.config.get(each)), None)
        if found and not known and self.config.get("model_type") in _POSITIONS_AFTER_PADDING:
            pad = self.config.get("pad_token_id")
            found -= (1 if pad is None else int(pad)) + 1
        return int(found) if found else None

    @cached_property
    def control(self) -> ControlTokens:
        """The tokenizer's control tokens."""
        return ControlTokens(self.tokenizer)

    def as_text(self, text: str) -> str:
        """The text with every control token in it broken up, so that it may stand in a frame, as a label's name does."""
        return self.control.as_text(text)

    def prompt_ids(self, prompts: Sequence[str | Prompt]) -> list[PromptIds]:
        """Token ids of each prompt in three parts, without special tokens around them."""
        return prompt_ids(self.tokenizer, self.control, prompts)

    def check_frames(self, rows: Sequence[PromptIds], room: int | None) -> None:
        """Raise UserError where a frame leaves no room for its text, unless the text is empty."""
        longest = max((row.frame + bool(row.text) for row in rows), default=0)
        if room is not None and longest > room:
            raise UserError(
                "backbone {name!r}: the question and the labels take {frame} tokens, and the model reads {max_tokens} in all, "
                "the answer included: no room is left for a text.",
                "Give fewer or shorter labels and descriptions, or take a backbone that reads more.",
                name=self.name,
                frame=longest - 1,
                max_tokens=self.max_tokens,
            )

    def unknown_share(self, texts: list[str]) -> float:
        """The share of unknown tokens in all `texts`."""
        ids = [i for row in self.control.text_ids(texts) for i in row]
        unknown = self.tokenizer.unk_token_id
        return float(sum(i == unknown for i in ids) / max(1, len(ids)))

    def has_known_tokens(self, texts: Sequence[str], rows: Array | None = None) -> npt.NDArray[np.bool_]:  # noqa: ARG002 - a backbone's signature
        """Which texts (n,) hold a known token."""
        unknown = self.tokenizer.unk_token_id
        known = [[i for i in ids if i != unknown] for ids in self.control.text_ids(texts)]
        return np.array([has_content(self.tokenizer.convert_ids_to_tokens(ids)) for ids in known], dtype=bool)


def has_content(tokens: Sequence[str]) -> bool:
    """Whether a token is more than a mark for a space, as SentencePiece ("▁") and byte-level BPE ("Ġ") write it.

    >>> has_content(["▁"]), has_content(["▁", "a"])
    (False, True)
    """
    return any(token.strip("▁Ġ") for token in tokens)


def read_config(folder: Path) -> dict[str, Any]:
    """The config.json of a model's folder; an empty dict where it is missing or cannot be read."""
    try:
        found = json.loads((folder / "config.json").read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def architecture(folder: Path) -> str:
    """The class that saved the weights, such as "GPT2LMHeadModel"; "" for a sentence encoder and where the config names none."""
    if (folder / "modules.json").is_file():  # laid out by sentence-transformers, whatever is inside
        return ""
    return next(iter(read_config(folder).get("architectures") or []), "")


def cache_argument(model: Any) -> str:
    """The name of the argument and of the output with which `model` takes and gives its cache of keys and values.

    Newer releases of transformers call it `cache`, older ones `past_key_values`.
    """
    return "cache" if "cache" in inspect.signature(model.forward).parameters else "past_key_values"


def weight_names(folder: Path) -> set[str]:
    """The names of all weights in a folder; the weights themselves are not read."""
    from safetensors import safe_open

    found: set[str] = set()
    for file in folder.glob("*.safetensors"):
        with safe_open(file, "numpy") as weights:
            found |= set(weights.keys())
    return found


@contextmanager
def quiet_loading() -> Iterator[None]:
    """Hides the progress bar that transformers shows while it reads weights, and its list of unused weights."""
    from transformers.utils import logging

    shown, verbosity = logging.is_progress_bar_enabled(), logging.get_verbosity()
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if shown:
            logging.enable_progress_bar()


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
