"""Models in rung's own format: config.json and safetensors, read by NumPy alone, whose rows hang on nothing but the text."""

from __future__ import annotations

import hashlib
import json
from abc import abstractmethod
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from rung.backbones.catalog import Entry
from rung.errors import UserError

if TYPE_CHECKING:
    from rung.evidence import Array, Role

CONFIG, MODEL = "config.json", "model.safetensors"


class OwnFormat:
    """What backbones of one format share: how a folder is known, opened and named.

    A subclass names its format, the version that it reads, what such a folder holds in words, and the files that its fingerprint
    is of. Constructing reads nothing; files are read at first use, and neither pickled nor copied with the object.
    """

    format: ClassVar[str]
    version: ClassVar[int]
    holds: ClassVar[str]
    files: ClassVar[tuple[str, ...]]

    abilities = frozenset({"embed"})
    costly = False
    input = "text"
    max_tokens: int | None = None
    needs: tuple[str, ...] = ()
    extra: str | None = None
    numerics = "numpy-float32"

    def __init__(self, folder: Path, name: str) -> None:
        self.folder = folder
        self.name = name

    @classmethod
    def recognizes(cls, folder: Path) -> bool:
        """Whether `folder` holds this format, by its config.json alone."""
        try:
            config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return False
        return isinstance(config, dict) and config.get("format") == cls.format

    @classmethod
    def open(cls, folder: Path, name: str, entry: Entry | None = None) -> Self:  # noqa: ARG003 - the folder says it all
        """The backbone that lies in `folder`.

        Raises UserError if `folder` holds something else, or a version of the format that this rung cannot read.
        """
        if not cls.recognizes(folder):
            raise UserError(
                "{folder} holds no {holds}.",
                'Give a folder whose config.json says "format": "{format}".',
                folder=folder,
                holds=cls.holds,
                format=cls.format,
            )
        backbone = cls(folder, name)
        version = backbone._config.get("version")
        if version != cls.version:
            raise UserError(
                "{folder} has format version {version}; this rung reads {version_2}.",
                "pip install --upgrade rung",
                folder=folder,
                version=version,
                version_2=cls.version,
            )
        return backbone

    @property
    def dimensions(self) -> int:
        """Length d of every row."""
        return int(self._config["dimensions"])

    @cached_property
    def fingerprint(self) -> str:
        """Name of exactly these weights and settings: equal bytes, equal fingerprint, wherever they lie."""
        parts = [hashlib.sha256((self.folder / file).read_bytes()).digest() for file in self.files]
        return f"{self.format.removeprefix('rung-')}-{hashlib.sha256(b''.join(parts)).hexdigest()}"

    def windows(self, text: str) -> list[str]:
        """The text itself: there is no maximum length."""
        return [text]

    def cut(self, texts: Sequence[str]) -> int:  # noqa: ARG002 - none is ever cut
        """None: there is no maximum length."""
        return 0

    def has_known_tokens(self, texts: Sequence[str], rows: Array | None = None) -> npt.NDArray[np.bool_]:
        """Which texts (n,) hold a token that says something; `rows`, their embeddings, spare computing them."""
        found = self.embed(texts) if rows is None else rows
        return np.asarray((found != self.embed([""])).any(axis=1))

    @abstractmethod
    def embed(self, texts: Sequence[str], role: Role = "text") -> Array:
        """Unit rows (n, d), float32; a text without any known token gets the row of the empty one."""

    @cached_property
    def _config(self) -> dict[str, Any]:
        config: dict[str, Any] = json.loads((self.folder / CONFIG).read_text(encoding="utf-8"))
        return config

    @cached_property
    def _tensors(self) -> dict[str, npt.NDArray[Any]]:
        from safetensors.numpy import load_file

        tensors: dict[str, npt.NDArray[Any]] = load_file(self.folder / MODEL)
        return tensors

    @classmethod
    def write(cls, folder: Path, tensors: dict[str, npt.NDArray[Any]], config: dict[str, Any]) -> None:
        """config.json and the model file of a folder that `open` reads."""
        from safetensors.numpy import save_file

        folder.mkdir(parents=True, exist_ok=True)
        save_file(tensors, folder / MODEL)
        (folder / MODEL).chmod(0o644)  # safetensors writes for the owner only; a package is read by everybody
        facts = {"format": cls.format, "version": cls.version, **config}
        (folder / CONFIG).write_text(json.dumps(facts, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")

    def __getstate__(self) -> dict[str, Any]:
        return {"folder": self.folder, "name": self.name}

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self  # frozen, so one copy serves everybody

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self.folder)!r}, name={self.name!r})"


def to_int8(vectors: Array) -> tuple[npt.NDArray[np.int8], Array]:
    """Rows as whole numbers from -127 to 127 and the scale (rows,) that undoes it; a component moves by 1/254 of the largest."""
    scales = np.abs(vectors).max(axis=1) / np.float32(127)
    whole = np.rint(vectors / np.where(scales > 0, scales, 1)[:, None])
    return whole.astype(np.int8), scales.astype(np.float32)
