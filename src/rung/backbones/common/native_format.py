"""Backbones in rung's own format: config.json and safetensors, read with NumPy alone; a row depends on its text only."""

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
    from scipy.sparse import csr_array

    from rung.evidence import Array, Role

CONFIG, MODEL = "config.json", "model.safetensors"


class NativeFormatBackbone:
    """What backbones in one native format share: how a folder is recognized, opened and named.

    A subclass defines its format, the version that it reads, the message for a folder of another format, and the files that
    its fingerprint covers. The constructor reads nothing; files are read at first use, and are neither pickled nor copied
    with the object.
    """

    format: ClassVar[str]
    version: ClassVar[int]
    not_this_format: ClassVar[str]  # the message for another folder, with the field {folder}
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
        """Whether the config.json in `folder` names this format."""
        try:
            config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return False
        return isinstance(config, dict) and config.get("format") == cls.format

    @classmethod
    def open(cls, folder: Path, name: str, entry: Entry | None = None) -> Self:  # noqa: ARG003 - a backbone's signature
        """The backbone in `folder`.

        Raises UserError if `folder` holds something else, or a version of the format that this rung cannot read.
        """
        if not cls.recognizes(folder):
            raise UserError(
                cls.not_this_format,
                'Give a folder whose config.json says "format": "{format}".',
                folder=folder,
                format=cls.format,
            )
        backbone = cls(folder, name)
        version = backbone._config.get("version")
        if version != cls.version:
            raise UserError(
                "{folder} has format version {version}; this rung reads version {supported}.",
                "pip install --upgrade rung",
                folder=folder,
                version=version,
                supported=cls.version,
            )
        return backbone

    @property
    def dimensions(self) -> int:
        """Length d of every row."""
        return int(self._config["dimensions"])

    @cached_property
    def fingerprint(self) -> str:
        """A hash of the weights and settings: equal files have an equal fingerprint, wherever they are."""
        parts = [hashlib.sha256((self.folder / file).read_bytes()).digest() for file in self.files]
        return f"{self.format.removeprefix('rung-')}-{hashlib.sha256(b''.join(parts)).hexdigest()}"

    def windows(self, text: str) -> list[str]:
        """The text itself, since there is no maximum length."""
        return [text]

    def cut(self, texts: Sequence[str]) -> int:  # noqa: ARG002 - a backbone's signature
        """0, since there is no maximum length."""
        return 0

    def has_known_tokens(self, texts: Sequence[str], rows: Array | None = None) -> npt.NDArray[np.bool_]:
        """Which texts (n,) hold a known token; given their embeddings as `rows`, they are not computed again."""
        found = self.embed(texts) if rows is None else rows
        return np.asarray((found != self.embed([""])).any(axis=1))

    @abstractmethod
    def embed(self, texts: Sequence[str], role: Role = "text") -> Array:
        """Unit rows (n, d), float32; a text without a known token gets the row of the empty text."""

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
        """Write config.json and the model file of a folder that `open` reads."""
        from safetensors.numpy import save_file

        folder.mkdir(parents=True, exist_ok=True)
        save_file(tensors, folder / MODEL)
        (folder / MODEL).chmod(
            0o644
        )  # safetensors makes it readable for the owner only; a package is read by all users
        settings = {"format": cls.format, "version": cls.version, **config}
        (folder / CONFIG).write_text(json.dumps(settings, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")

    def __getstate__(self) -> dict[str, Any]:
        return {"folder": self.folder, "name": self.name}

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self  # it never changes, so it can be shared

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self.folder)!r}, name={self.name!r})"


def to_int8(vectors: Array) -> tuple[npt.NDArray[np.int8], Array]:
    """Rows as integers from -127 to 127 and a scale (rows,) for each; a component changes by at most 1/254 of the row's largest."""
    scales = np.abs(vectors).max(axis=1) / np.float32(127)
    quantized = np.rint(vectors / np.where(scales > 0, scales, 1)[:, None])
    return quantized.astype(np.int8), scales.astype(np.float32)


def occurrences(columns: npt.NDArray[Any], lengths: npt.NDArray[Any], width: int) -> csr_array:
    """A sparse matrix (n, width) with a 1 for each of `columns`, which are given row by row; row i has `lengths[i]` of them.

    A repeated column is stored repeatedly, so that a product sums in reading order.
    """
    from scipy.sparse import csr_array

    starts = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
    ones = np.ones(len(columns), dtype=np.float32)
    return csr_array((ones, columns.astype(np.int64), starts), shape=(len(lengths), width))
