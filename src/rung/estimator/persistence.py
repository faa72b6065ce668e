"""A classifier on disk: one JSON file and one safetensors file, no pickle; of the backbone its name and hash, of a student all."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from dataclasses import is_dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import rung
from rung.backbones.loading import open_folder
from rung.errors import UserError
from rung.evidence import Backbone, Evidence, temperature_of

if TYPE_CHECKING:
    from rung.estimator.classifier import Classifier

FORMAT = "rung-classifier"
VERSION = 1
_SETTINGS = ("length", "shortlist", "long", "shares", "balanced", "multi_label", "reject", "confidence")
_INSIDE = "backbone"  # the folder, beside the files, of a classifier's own backbone
_OWN = ("ngram", "static", "shallow", "tuned")  # names of backbones that were made for one classifier
_TEXTS = "holds embeddings of texts it was fitted on, from which parts of these texts can be guessed"
_PRIVACY = {
    "names": "holds embeddings of the labels only",
    "student": "holds weights of words, or hashes of words, that occur in the texts it was distilled on, but no text of them",
}
_FACTS = "classifier.json"
_ARRAYS = "arrays.safetensors"


def save(classifier: Classifier, folder: Path, *, force: bool) -> None:
    """Write both files into a new folder beside the target and move it there whole: never a half-written classifier."""
    from safetensors.numpy import save_file

    check_free(folder, force=force)
    if classifier.knows_numbers_only:
        raise UserError(
            "save: it was fitted on a matrix without label names, so there is no backbone to hold it to.",
            "Give label names and texts, or a backbone's embeddings with labels=[...].",
        )
    meaning = classifier.meaning()
    arrays = {"anchors": meaning.anchors, "general": meaning.general}
    if meaning.neutral is not None:
        arrays["neutral"] = meaning.neutral
    facts = _facts(classifier) | {"learned": pack(classifier.learned, "learned", arrays)}
    fresh = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.absolute().parent))
    try:
        save_file({name: np.ascontiguousarray(rows) for name, rows in arrays.items()}, fresh / _ARRAYS)
        if classifier.loaded_backbone.name in _OWN:  # nobody else has it
            _copy_model(classifier.loaded_backbone, fresh / _INSIDE)
        (fresh / _FACTS).write_text(json.dumps(facts, indent=2, ensure_ascii=False) + "\n", "utf-8")
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
    facts, arrays = _read_facts(folder), _read_arrays(folder)
    chosen = _own(facts["backbone"], folder) if backbone is None else backbone
    classifier = cls(facts["labels"], backbone=chosen, geometry=facts["geometry"]["asked"], **facts["settings"])
    _hold_to(facts["backbone"], classifier.loaded_backbone, folder)
    _hold_to(facts["geometry"], classifier.geometry_backbone, folder)
    try:
        anchors, general = arrays["anchors"], arrays["general"]
        learned = unpack(facts["learned"], arrays)
    except (KeyError, TypeError, AttributeError) as error:
        raise UserError(f"classifier: {folder} is damaged ({error}).", "Save the classifier anew.") from None
    none, no = np.zeros((0, anchors.shape[1]), dtype=np.float32), np.zeros(0, dtype=bool)
    recipe = Evidence.recipe_of(classifier.geometry_backbone)
    own = temperature_of(classifier.geometry_backbone)
    meaning = Evidence(none, anchors, general, no, (), recipe, neutral=arrays.get("neutral"), temperature=own)
    classifier.keep_meaning(meaning)
    classifier.__dict__.update(learned)
    return classifier


def _own(made_with: dict[str, Any], folder: Path) -> str | Backbone:
    """The backbone that lies in the classifier's own folder, else the name of the one it was made with."""
    name: str = made_with["name"]
    return open_folder((folder / _INSIDE).resolve(), name) if (folder / _INSIDE).is_dir() else name


def _copy_model(backbone: Backbone, to: Path) -> None:
    """The files of a backbone that was made for one classifier."""
    shutil.copytree(backbone.folder, to)  # type: ignore[attr-defined]  # whoever makes a student keeps its files


def _hold_to(made_with: dict[str, Any], found: Backbone, folder: Path) -> None:
    """Raise UserError unless the backbone found is the one that the classifier was made with."""
    if found.fingerprint != made_with["fingerprint"]:
        raise UserError(
            f"classifier: {folder} was made with backbone {made_with['name']!r} "
            f"({made_with['fingerprint'][:12]}…), this is {found.name!r} ({found.fingerprint[:12]}…).",
            "Install the backbone it was made with, or make the classifier anew with this one.",
        )


def pack(value: Any, path: str, arrays: dict[str, Any]) -> Any:
    """A learned value as JSON; its arrays go to `arrays` under their path, dataclasses keep their name and fields."""
    if isinstance(value, np.ndarray):
        arrays[path] = value
        return {"array": path}
    if isinstance(value, np.generic):
        return value.item()
    if is_dataclass(value) and not isinstance(value, type):
        fields = {name: pack(each, f"{path}.{name}", arrays) for name, each in vars(value).items()}
        return {"kind": f"{type(value).__module__}:{type(value).__qualname__}", "fields": fields}
    if isinstance(value, tuple | list):
        return {type(value).__name__: [pack(each, f"{path}.{i}", arrays) for i, each in enumerate(value)]}
    if isinstance(value, dict):
        pairs = [
            (pack(k, f"{path}.{i}.key", arrays), pack(v, f"{path}.{i}", arrays))
            for i, (k, v) in enumerate(value.items())
        ]
        return {"pairs": pairs}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(f"{path}: a {type(value).__name__} cannot be saved")


def unpack(packed: Any, arrays: dict[str, Any]) -> Any:
    """What `pack` made JSON of. Only classes of rung's own rungs and decisions are made, so that loading runs no other code."""
    if not isinstance(packed, dict):
        return packed
    if "array" in packed:
        return arrays[packed["array"]]
    if "pairs" in packed:
        return {unpack(key, arrays): unpack(value, arrays) for key, value in packed["pairs"]}
    if "kind" not in packed:
        (name, items), *_ = packed.items()
        return {"tuple": tuple, "list": list}[name](unpack(each, arrays) for each in items)
    made: Any = object.__new__(_class(packed["kind"]))
    made.__dict__.update({name: unpack(each, arrays) for name, each in packed["fields"].items()})
    return made


def _class(kind: str) -> type:
    module, _, name = kind.partition(":")
    found = getattr(import_module(module), name) if module.startswith(("rung.rungs.", "rung.decide.")) else None
    if not isinstance(found, type) or not is_dataclass(found) or found.__module__ != module:
        raise TypeError(f"{kind} is no class that a classifier is made of")
    return found


def _facts(classifier: Classifier) -> dict[str, Any]:
    backbone, geometry = classifier.loaded_backbone, classifier.geometry_backbone
    parameters = classifier.get_params(deep=False)
    settings = {name: parameters[name] for name in _SETTINGS}
    return {
        "format": FORMAT,
        "version": VERSION,
        "made_with": f"rung {rung.__version__}",
        "rung": classifier.rung_,
        "privacy": _PRIVACY.get(classifier.rung_, _TEXTS),
        "labels": classifier.parsed_labels().as_dict(),
        "settings": settings,
        "backbone": _of(backbone),
        "geometry": {"asked": None if classifier.geometry is None else geometry.name, **_of(geometry)},
    }


def _of(backbone: Backbone) -> dict[str, str]:
    return {"name": backbone.name, "fingerprint": backbone.fingerprint, "numerics": backbone.numerics}


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


def _read_arrays(folder: Path) -> dict[str, Any]:
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        return dict(load_file(folder / _ARRAYS))
    except (OSError, SafetensorError) as error:
        raise UserError(f"classifier: {folder / _ARRAYS} is damaged ({error}).", "Save the classifier anew.") from None


def _umask() -> int:
    """The process's file mask; it can only be read by setting it."""
    mask = os.umask(0o022)
    os.umask(mask)
    return mask
