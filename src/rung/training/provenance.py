"""How a model came to be: parent, texts by their hashes, settings, seed, versions, results. One JSON file beside its weights."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any, Self

import rung
from rung.errors import UserError

FILE = "record.json"
_LIBRARIES = ("numpy", "scikit-learn", "torch", "transformers", "sentence-transformers", "peft", "accelerate")


@dataclass
class Record:
    """What has to be known to make a model again.

    by        the entry that made it: tune, multitask, pretrain, distill, export
    parent    name and fingerprint of the model that it started from, which is as it was; None when it began from nothing
    inputs    what it learned from: each part's number of rows and sha256
    settings  everything that was asked for, seeds included
    results   what was measured, each number with its interval or its recipe
    """

    by: str
    parent: dict[str, str] | None
    inputs: dict[str, dict[str, Any]]
    settings: dict[str, Any]
    results: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=lambda: versions())

    @property
    def key(self) -> str:
        """What the work is, whatever came of it: a checkpoint goes on only under the same key."""
        asked = {name: value for name, value in asdict(self).items() if name not in ("results", "versions")}
        return hashlib.sha256(json.dumps(asked, sort_keys=True, default=str).encode()).hexdigest()

    def write(self, folder: Path) -> None:
        """Write it into `folder`, whole or not at all."""
        fresh = folder / f".{FILE}"
        facts = {"format": "rung-training", "version": 1, "key": self.key, **asdict(self)}
        fresh.write_text(json.dumps(facts, indent=2, ensure_ascii=False, default=str) + "\n", "utf-8")
        os.replace(fresh, folder / FILE)  # noqa: PTH105

    @classmethod
    def read(cls, folder: Path) -> Self:
        """The record in `folder`. Raises UserError if there is none that can be read."""
        try:
            facts = json.loads((folder / FILE).read_text("utf-8"))
            return cls(**{name: facts[name] for name in cls.__dataclass_fields__})
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UserError(
                "{folder} holds no record of a training ({error}).",
                "Name a folder made by rung.",
                folder=folder,
                error=error,
            ) from None


def of_rows(rows: Iterable[object]) -> dict[str, Any]:
    """Number and sha256 of texts or labels, in their order; None where there is none."""
    digest, n = hashlib.sha256(), 0
    for row in rows:
        said = b"\x00" if row is None else b"\x01" + str(row).encode("utf-8", "surrogatepass")
        digest.update(len(said).to_bytes(8, "big") + said)
        n += 1
    return {"rows": n, "sha256": digest.hexdigest()}


def parent_of(backbone: Any) -> dict[str, str]:
    """Name and fingerprint of the backbone that a new one starts from."""
    return {"name": backbone.name, "fingerprint": backbone.fingerprint}


def versions(libraries: Iterable[str] = _LIBRARIES) -> dict[str, str]:
    """Versions of rung and of the libraries that are installed."""
    found: Mapping[str, str] = {name: version for name in libraries if (version := _version(name))}
    return {"rung": rung.__version__, **found}


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
