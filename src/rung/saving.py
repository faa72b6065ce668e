"""A classifier on disk: one JSON file and one safetensors file, no pickle, nothing of the backbone but its name and hash."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import rung
from rung.errors import UserError
from rung.evidence import Backbone, Evidence

if TYPE_CHECKING:
    from rung.classifier import Classifier

FORMAT = "rung-classifier"
VERSION = 1
_FACTS = "classifier.json"
_ARRAYS = "arrays.safetensors"


def save(classifier: Classifier, folder: Path, *, force: bool) -> None:
    """Write both files into a new folder beside the target and move it there whole: never a half-written classifier."""
    from safetensors.numpy import save_file

    check_free(folder, force=force)
    meaning = classifier.meaning()
    fresh = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        save_file({"anchors": meaning.anchors, "general": meaning.general}, fresh / _ARRAYS)
        (fresh / _FACTS).write_text(json.dumps(_facts(classifier), indent=2, ensure_ascii=False) + "\n", "utf-8")
        fresh.chmod(0o777 & ~_umask())
        if folder.exists():
            shutil.rmtree(folder)
        fresh.replace(folder)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def check_free(folder: Path, *, force: bool) -> None:
    """Raise UserError unless a classifier can be saved as `folder`; only a saved classifier is ever replaced."""
    if not folder.absolute().parent.is_dir():
        raise UserError(f"save: there is no folder {folder.absolute().parent}.", f"mkdir -p {folder.absolute().parent}")
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return
    if not (folder / _FACTS).is_file():
        raise UserError(f"save: {folder} is there already and holds other files.", "Name a new folder.")
    if not force:
        raise UserError(f"save: {folder} holds a classifier already.", "Name a new folder, or replace it with --force")


def load(cls: type[Classifier], folder: Path, *, backbone: str | Backbone | None) -> Any:
    """The classifier saved in `folder`, held to the fingerprint of the backbone it was made with."""
    facts = _read_facts(folder)
    chosen = facts["backbone"]["name"] if backbone is None else backbone
    classifier = cls(facts["labels"], backbone=chosen, long=facts["long"])
    found = classifier.loaded_backbone
    if found.fingerprint != facts["backbone"]["fingerprint"]:
        raise UserError(
            f"classifier: {folder} was made with backbone {facts['backbone']['name']!r} "
            f"({facts['backbone']['fingerprint'][:12]}…), this is {found.name!r} ({found.fingerprint[:12]}…).",
            "Install the backbone it was made with, or make the classifier anew with this one.",
        )
    classifier.keep_meaning(_meaning(folder, found))
    return classifier


def _facts(classifier: Classifier) -> dict[str, Any]:
    backbone = classifier.loaded_backbone
    return {
        "format": FORMAT,
        "version": VERSION,
        "made_with": f"rung {rung.__version__}",
        "rung": classifier.rung_,
        "labels": classifier.parsed_labels().as_dict(),
        "long": classifier.long,
        "backbone": {"name": backbone.name, "fingerprint": backbone.fingerprint, "numerics": backbone.numerics},
    }


def _read_facts(folder: Path) -> dict[str, Any]:
    file = folder / _FACTS
    if not file.is_file():
        raise UserError(
            f"classifier: {folder} holds no saved classifier.",
            f"It should hold {_FACTS}; save one with --save {folder}",
        )
    try:
        facts: dict[str, Any] = json.loads(file.read_text("utf-8"))
    except ValueError as error:
        raise UserError(f"classifier: {file} is damaged ({error}).", "Save the classifier anew.") from None
    if facts.get("format") != FORMAT or facts.get("version") != VERSION:
        raise UserError(
            f"classifier: {file} is of format {facts.get('format')} {facts.get('version')}, not {FORMAT} {VERSION}.",
            "Save the classifier anew, or install the rung that made it: " + str(facts.get("made_with", "unknown")),
        )
    return facts


def _meaning(folder: Path, backbone: Backbone) -> Evidence:
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        arrays = load_file(folder / _ARRAYS)
        anchors, general = arrays["anchors"], arrays["general"]
    except (OSError, KeyError, SafetensorError) as error:
        raise UserError(f"classifier: {folder / _ARRAYS} is damaged ({error}).", "Save the classifier anew.") from None
    none = np.zeros((0, anchors.shape[1]), dtype=np.float32)
    return Evidence(none, anchors, general, np.zeros(0, dtype=bool), (), Evidence.recipe_of(backbone))


def _umask() -> int:
    """The process's file mask; it can only be read by setting it."""
    mask = os.umask(0o022)
    os.umask(mask)
    return mask
