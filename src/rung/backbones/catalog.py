"""The models we know by a short name, as data (catalog.toml)."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field
from functools import cache
from importlib import resources


@dataclass(frozen=True)
class Entry:
    """What is known of a model before anything is loaded."""

    name: str
    source: str  # "hf:owner/name", or "package:module:folder" for weights that come with a Python package
    abilities: list[str]
    languages: list[str]
    license: str
    input: str = "text"  # what it classifies: "text" or "image"
    hub: str | None = None  # where the same weights are, when the package is not installed
    sha256: str | None = None  # of model.safetensors; anything else is refused
    megabytes: float | None = None
    dimensions: int | None = None
    max_tokens: int | None = None
    prompts: dict[str, str] = field(default_factory=dict)
    note: str = ""


@cache
def catalog() -> dict[str, Entry]:
    """Every entry by its name.

    >>> catalog()["minilm"].dimensions
    384
    """
    text = (resources.files("rung.backbones") / "catalog.toml").read_text("utf-8")
    return {name: Entry(name, **facts) for name, facts in tomllib.loads(text).items()}


def knows(language: str) -> list[Entry]:
    """Entries that read texts in `language`, by size."""
    of_texts = [each for each in catalog().values() if each.input == "text" and "embed" in each.abilities]
    reads = [each for each in of_texts if language in each.languages or "multilingual" in each.languages]
    return sorted(reads, key=lambda entry: entry.megabytes or 0)
