"""The catalog of models with a short name (catalog.toml)."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

ANY = "*"


@dataclass(frozen=True)
class Entry:
    """What the catalog says about a model; nothing has to be loaded for it."""

    name: str
    source: str  # "hf:owner/name", or "package:module:folder" for weights that come with a Python package
    abilities: list[str]
    languages: list[str]  # ISO 639-1 codes of its training languages, and ANY where its card does not name them all
    license: str
    input: str = "text"  # the items it classifies: "text" or "image"
    hub: str | None = None  # the same weights on the hub, for when the package is not installed
    sha256: str | None = None  # of model.safetensors; other weights are refused
    megabytes: float | None = None
    dimensions: int | None = None
    max_tokens: int | None = None
    prompts: dict[str, str] = field(default_factory=dict)
    note: str = ""


@cache
def catalog() -> dict[str, Entry]:
    """All entries by name.

    >>> catalog()["minilm"].dimensions
    384
    """
    text = (resources.files("rung.backbones") / "catalog.toml").read_text("utf-8")
    return {name: Entry(name, **facts) for name, facts in tomllib.loads(text).items()}


def known_folder(folder: Path, config: Mapping[str, Any]) -> Entry | None:
    """The entry of the model in a folder, by the folder's name or the name in its config, where the width of embeddings fits.

    >>> known_folder(Path("models/multilingual-e5-small"), {"hidden_size": 384}).prompts["text"]
    'query: '
    """
    cached = folder.parent.parent.name.rpartition("--")[2]  # the hub's cache has models--owner--name/snapshots/…
    original = str(config.get("_name_or_path") or "").replace("\\", "/").rstrip("/").rpartition("/")[2]
    names = {each.casefold() for each in (folder.name, cached, original) if each}
    width = config.get("hidden_size") or config.get("dim")
    for entry in catalog().values():
        own = {entry.name, entry.source.rpartition("/")[2], (entry.hub or "").rpartition("/")[2]}
        if names & {each.casefold() for each in own} and (width is None or entry.dimensions in (None, width)):
            return entry
    return None


def knows(*languages: str) -> list[Entry]:
    """Entries of models that embed texts in all of these languages, by size; a model must name each language.

    >>> [entry.name for entry in knows("zh")][0]
    'bge-small-zh'
    """
    of_texts = [each for each in catalog().values() if each.input == "text" and "embed" in each.abilities]
    return sorted(
        (each for each in of_texts if {*languages} <= {*each.languages}), key=lambda entry: entry.megabytes or 0
    )


def entry_of(backbone: object) -> Entry | None:
    """The catalog's entry for a loaded backbone: the one that it was opened with, or by its name here or on the hub; else None.

    >>> from rung import load
    >>> entry_of(load("builtin")).languages
    ['en']
    """
    opened: Entry | None = getattr(backbone, "entry", None)
    name = getattr(backbone, "name", "")
    named = (each for each in catalog().values() if name in (each.name, each.source, f"hf:{each.hub}"))
    return opened or next(named, None)
