"""What all models share that transformers can read from a folder: checked files, a fingerprint, weights read once and late."""

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
from rung.backbones.common.precision import DTYPES, usable
from rung.backbones.common.prompt_tokens import PromptIds, prompt_ids
from rung.backbones.prompt import Prompt
from rung.errors import UserError

if TYPE_CHECKING:
    from rung.evidence import Array

_PARTS = {".safetensors", ".json", ".txt", ".model", ".spm", ".jinja"}

_BESIDE = {"README.md", "record.json"}  # what a model came from is no part of what it says

# These count positions from the padding token's id on, as fairseq did: of RoBERTa's 514 positions a text can use 512.
_AFTER_PADDING = {
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


class Pretrained:
    """A frozen model in a folder, in float32 unless another precision is asked for; weights are read when they are first needed.

    Files are hashed, not trusted: `fingerprint` covers weights, config and tokenizer. No pickled weights are read, and no
    code that comes with a model is run.
    """

    abilities: frozenset[str] = frozenset()
    costly = True
    input = "text"
    needs: tuple[str, ...] = ("torch", "transformers")
    extra = "torch"
    model_class: ClassVar[str]  # of transformers, that reads the weights
    precision: str = "float32"  # what it computes in; another one moves the last digits, and is another `numerics`

    def __init__(self, folder: Path, name: str, entry: Entry | None = None) -> None:
        self.folder = folder
        self.name = name
        self.entry = entry  # what the catalog knows of it

    @classmethod
    def open(cls, folder: Path, name: str, entry: Entry | None = None) -> Self:
        """The backbone of `folder`; `entry` is what the catalog knows of it. Raises UserError for other weights than it names."""
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
        return self  # frozen and large: shared, never copied

    def __getstate__(self) -> dict[str, Any]:
        # weights are read again where it goes
        return {"folder": self.folder, "name": self.name, "entry": self.entry, "precision": self.precision}

    def _verify(self) -> None:
        wanted = self.entry.sha256 if self.entry else None
        if wanted is None:
            return
        found = self.hashes["model.safetensors"]
        if found != wanted:
            raise UserError(
                "backbone {name!r}: the weights in {folder} have sha256 {found}…, not {wanted}….",
                "They are not the model that this name stands for: install it anew, or name the folder "
                "itself as backbone.",
                name=self.name,
                folder=self.folder,
                found=found[:12],
                wanted=wanted[:12],
            )

    @cached_property
    def hashes(self) -> dict[str, str]:
        """sha256 of every file that the model is made of."""
        parts = [path for path in sorted(self.folder.rglob("*")) if path.suffix in _PARTS and path.name not in _BESIDE]
        return {str(path.relative_to(self.folder)): _sha256(path) for path in parts if path.is_file()}

    @property
    def made_of(self) -> object:
        """All that decides what the model says, as JSON can hold it."""
        return self.hashes

    @cached_property
    def fingerprint(self) -> str:
        """64 hexadecimal digits, the same on every machine for the same files and settings."""
        return hashlib.sha256(json.dumps(self.made_of, sort_keys=True).encode()).hexdigest()

    @property
    def numerics(self) -> str:
        """Engine and precision."""
        return f"torch-{self.precision}"

    def with_options(self, given: Mapping[str, str]) -> Pretrained:
        """The same model in another precision. Raises UserError for one that is none, or that this machine does not compute in."""
        return self.in_precision(given)

    def in_precision(self, given: Mapping[str, str]) -> Self:
        """The same model in the precision that is among the options `given`, all of which its name then says."""
        found = copy.copy(self)
        found.name = f"{self.name}?{'&'.join(f'{option}={value}' for option, value in sorted(given.items()))}"
        found.precision = usable(self.name, given.get("precision", self.precision))
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
        with quiet():
            dtype = getattr(torch, DTYPES[self.precision])
            how = {"dtype": dtype, "use_safetensors": True, "local_files_only": True}
            model, read = kind.from_pretrained(str(self.folder), **how, output_loading_info=True)
        missing = sorted({name for name, _ in model.named_parameters()} & set(read["missing_keys"]))
        if missing:
            raise UserError(
                "backbone {name!r}: the weights in {folder} lack {missing}, which would be random.",
                "Take a model that was saved whole, for this task.",
                name=self.name,
                folder=self.folder,
                missing=missing[0],
            )
        device = "cuda" if torch.cuda.is_available() else "cpu"
        return model.to(device).eval().requires_grad_(False)

    @cached_property
    def max_tokens(self) -> int | None:
        """Tokens of a text that are read, special tokens included; None where the model sets no limit."""
        known = self.entry.max_tokens if self.entry else None
        sizes = ("n_positions", "max_position_embeddings", "max_source_positions")
        found = known or next((self.config[each] for each in sizes if self.config.get(each)), None)
        if found and not known and self.config.get("model_type") in _AFTER_PADDING:
            pad = self.config.get("pad_token_id")
            found -= (1 if pad is None else int(pad)) + 1
        return int(found) if found else None

    @cached_property
    def control(self) -> ControlTokens:
        """The tokenizer's control tokens, and texts in which they are characters like all others."""
        return ControlTokens(self.tokenizer)

    def as_text(self, text: str) -> str:
        """The text with every control token that it spells taken apart: what may stand in a frame, such as a label's name."""
        return self.control.as_text(text)

    def prompt_ids(self, prompts: Sequence[str | Prompt]) -> list[PromptIds]:
        """Token ids of prompts in their parts, without what the tokenizer puts around a text."""
        return prompt_ids(self.tokenizer, self.control, prompts)

    def check_frames(self, rows: Sequence[PromptIds], room: int | None) -> None:
        """Raise UserError where a frame leaves no room for a text, of which there is one."""
        longest = max((row.frame + bool(row.text) for row in rows), default=0)
        if room is not None and longest > room:
            raise UserError(
                "backbone {name!r}: the question and the labels take {frame} tokens, and it reads {max_tokens} in all, with "
                "the answer: no room is left for a text.",
                "Give fewer or shorter labels and descriptions, or take a backbone that reads more.",
                name=self.name,
                frame=longest - 1,
                max_tokens=self.max_tokens,
            )

    def unknown_share(self, texts: list[str]) -> float:
        """The share of tokens that the model does not know, over all `texts`."""
        ids = [i for text in texts for i in self.tokenizer.encode(text, add_special_tokens=False)]
        unknown = self.tokenizer.unk_token_id
        return float(sum(i == unknown for i in ids) / max(1, len(ids)))

    def has_known_tokens(self, texts: Sequence[str], rows: Array | None = None) -> npt.NDArray[np.bool_]:  # noqa: ARG002 - not told by rows
        """Which texts (n,) hold a token that the model knows."""
        unknown, encode = self.tokenizer.unk_token_id, self.tokenizer.encode
        known = [[i for i in encode(text, add_special_tokens=False) if i != unknown] for text in texts]
        return np.array([says_something(self.tokenizer.convert_ids_to_tokens(ids)) for ids in known], dtype=bool)


def says_something(tokens: Sequence[str]) -> bool:
    """Whether there is a token besides marks of a space, as SentencePiece and byte-level BPE write it.

    >>> says_something(["▁"]), says_something(["▁", "a"])
    (False, True)
    """
    return any(token.strip("▁Ġ") for token in tokens)


def read_config(folder: Path) -> dict[str, Any]:
    """The config.json of a model's folder; empty where there is none that can be read."""
    try:
        found = json.loads((folder / "config.json").read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def architecture(folder: Path) -> str:
    """The class that the weights were saved from, such as "GPT2LMHeadModel"; "" for a sentence encoder and where none is named."""
    if (folder / "modules.json").is_file():  # laid out by sentence-transformers, whatever is inside
        return ""
    return next(iter(read_config(folder).get("architectures") or []), "")


def memory(model: Any) -> str:
    """What `model` calls its keys and values of what it has read, as argument and in its answer.

    Newer releases of transformers say `cache`, older ones `past_key_values`.
    """
    return "cache" if "cache" in inspect.signature(model.forward).parameters else "past_key_values"


def weight_names(folder: Path) -> set[str]:
    """The names of all weights in a folder, without reading the weights."""
    from safetensors import safe_open

    found: set[str] = set()
    for file in folder.glob("*.safetensors"):
        with safe_open(file, "numpy") as weights:
            found |= set(weights.keys())
    return found


@contextmanager
def quiet() -> Iterator[None]:
    """Without the bar that transformers shows while it reads weights, which would break ours, and its list of unused ones."""
    from transformers.utils import logging

    shown, told = logging.is_progress_bar_enabled(), logging.get_verbosity()
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(told)
        if shown:
            logging.enable_progress_bar()


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
