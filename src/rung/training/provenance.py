"""Provenance of a model: parent, hashes of its texts, settings, seed, versions and results, in one JSON file beside the weights."""

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

RECORD_FILE = "record.json"
_LIBRARIES = ("numpy", "scikit-learn", "torch", "transformers", "sentence-transformers", "peft", "accelerate")


@dataclass
class Record:
    """Everything that is needed to make a model again.

    by        the function that made it: tune, multitask, pretrain, distill, export
    parent    name and fingerprint of the model that the training started from; None if it started from random weights
    inputs    what the model learned from: for each part the number of rows and the sha256
    settings  all settings, seeds included
    results   what was measured; each number has its interval, or says how it was computed
    """

    by: str
    parent: dict[str, str] | None
    inputs: dict[str, dict[str, Any]]
    settings: dict[str, Any]
    results: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=lambda: versions())

    @property
    def key(self) -> str:
        """A hash of everything but results and versions. A training resumes from a checkpoint only if the keys are equal."""
        asked = {name: value for name, value in asdict(self).items() if name not in ("results", "versions")}
        return hashlib.sha256(json.dumps(asked, sort_keys=True, default=str).encode()).hexdigest()

    def write(self, folder: Path) -> None:
        """Write the record into `folder`, atomically."""
        fresh = folder / f".{RECORD_FILE}"
        facts = {"format": "rung-training", "version": 1, "key": self.key, **asdict(self)}
        fresh.write_text(json.dumps(facts, indent=2, ensure_ascii=False, default=str) + "\n", "utf-8")
        os.replace(fresh, folder / RECORD_FILE)  # noqa: PTH105

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read the record in `folder`. Raises UserError if there is none, or if it cannot be read."""
        try:
            facts = json.loads((folder / RECORD_FILE).read_text("utf-8"))
            return cls(**{name: facts[name] for name in cls.__dataclass_fields__})
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UserError(
                "{folder} holds no record of a training ({error}).",
                "Name a folder made by rung.",
                folder=folder,
                error=error,
            ) from None


def rows_digest(rows: Iterable[object]) -> dict[str, Any]:
    """The number of rows and the sha256 of texts or labels, in their order. A missing row is None."""
    digest, n = hashlib.sha256(), 0
    for row in rows:
        encoded = b"\x00" if row is None else b"\x01" + str(row).encode("utf-8", "surrogatepass")
        digest.update(len(encoded).to_bytes(8, "big") + encoded)
        n += 1
    return {"rows": n, "sha256": digest.hexdigest()}


def parent_of(backbone: Any) -> dict[str, str]:
    """The name and the fingerprint of the backbone that a training starts from."""
    return {"name": backbone.name, "fingerprint": backbone.fingerprint}


def versions(libraries: Iterable[str] = _LIBRARIES) -> dict[str, str]:
    """The versions of rung and of those of the libraries that are installed."""
    found: Mapping[str, str] = {name: version for name in libraries if (version := _version(name))}
    return {"rung": rung.__version__, **found}


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
