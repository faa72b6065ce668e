"""A classifier on disk: one JSON file and one safetensors file, no pickle; of the backbone its name and hash, of a student all.

What is saved is plain data (`Saved`): this file does not know the estimator.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, is_dataclass
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import Any, Self

import numpy as np

import rung
from rung.backbones.loading import open_folder, spelled
from rung.errors import UserError
from rung.evidence import Array, Backbone, Evidence, temperature_of

FORMAT = "rung-classifier"
VERSION = 2
_MODEL = "backbone"  # the folder, beside the files, of a classifier's own backbone
_MADE_FOR_ONE = ("ngram", "static", "shallow", "tuned")  # names of backbones that were made for one classifier
_TEXTS = "holds embeddings of texts it was fitted on, from which parts of these texts can be guessed"
_PRIVACY = {
    "names": "holds embeddings of the labels only",
    "student": "holds weights of words, or hashes of words, that occur in the texts it was distilled on, but no text of them",
}
_FACTS = "classifier.json"
_ARRAYS = "arrays.safetensors"
_LEARNED_IN = ("rung.rungs", "rung.decide")  # the packages whose dataclasses a fit leaves


@dataclass(frozen=True)
class BackboneIdentity:
    """Which backbone a classifier was made with: its name, and the fingerprint that a loaded one is held to."""

    name: str
    fingerprint: str
    numerics: str
    spelled: str = ""  # the name with the options that a person gave; a classifier of an older rung has none

    @classmethod
    def of(cls, backbone: Backbone) -> Self:
        """That of a loaded backbone."""
        return cls(backbone.name, backbone.fingerprint, backbone.numerics, spelled(backbone))

    def check(self, found: Backbone, folder: Path) -> None:
        """Raise UserError unless the backbone found is the one that the classifier was made with."""
        if found.fingerprint != self.fingerprint:
            raise UserError(
                "classifier: {folder} was made with backbone {name!r} ({fingerprint}…), but this is "
                "{found_name!r} ({found_fingerprint}…).",
                "Install the backbone it was made with, or make the classifier again with this one.",
                folder=folder,
                name=self.name,
                fingerprint=self.fingerprint[:12],
                found_name=found.name,
                found_fingerprint=found.fingerprint[:12],
            )


@dataclass(frozen=True)
class Saved:
    """All that is kept of a classifier.

    rung        where its answers stand; settings: parameters by name
    labels      what `Labels.parse` reads back, each with its type
    backbone    the backbone that reads the texts; geometry: the one whose features say where texts lie, asked for by name or not
    label_arrays  anchors (k, d), general (g, d) and, where the backbone scores, neutral (g, k): the evidence of the labels
    learned     what a fit left, by the names of attributes
    """

    rung: str
    labels: list[dict[str, Any]]
    settings: dict[str, Any]
    backbone: BackboneIdentity
    geometry: BackboneIdentity
    geometry_asked: str | None
    label_arrays: dict[str, Array]
    learned: dict[str, Any]

    def label_evidence(self, geometry: Backbone) -> Evidence:
        """Evidence of the labels alone, as it was when the classifier was saved."""
        anchors, general = self.label_arrays["anchors"], self.label_arrays["general"]
        return Evidence(
            features=np.zeros((0, anchors.shape[1]), dtype=np.float32),
            anchors=anchors,
            general=general,
            ok=np.zeros(0, dtype=bool),
            recipe=Evidence.recipe_of(geometry),
            neutral=self.label_arrays.get("neutral"),
            temperature=temperature_of(geometry),
        )


def label_arrays(evidence: Evidence) -> dict[str, Array]:
    """The arrays of the evidence of labels, by name."""
    arrays = {"anchors": evidence.anchors, "general": evidence.general, "neutral": evidence.neutral}
    return {name: rows for name, rows in arrays.items() if rows is not None}


def write(saved: Saved, folder: Path, *, model: Backbone, force: bool) -> None:
    """Write both files into a new folder beside the target and move it there whole: never a half-written classifier.

    model: the backbone itself; its files are copied where it was made for this classifier alone.
    Raises UserError if the folder is in use, or cannot be written; what stood there then stays.
    """
    from safetensors import SafetensorError

    check_free(folder, force=force)
    try:
        _write(saved, folder, model)
    except (OSError, SafetensorError) as error:
        raise UserError(
            "save: {folder} cannot be written: {fault}.",
            "Free some disk space, or name another folder.",
            folder=folder,
            fault=getattr(error, "strerror", None) or error,
        ) from None


def _write(saved: Saved, folder: Path, model: Backbone) -> None:
    from safetensors.numpy import save_file

    arrays = dict(saved.label_arrays)
    facts = _facts(saved) | {"learned": pack(saved.learned, "learned", arrays)}
    fresh = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.absolute().parent))
    try:
        save_file({name: np.ascontiguousarray(rows) for name, rows in arrays.items()}, fresh / _ARRAYS)
        if model.name in _MADE_FOR_ONE:  # nobody else has it
            _copy_model(model, fresh / _MODEL)
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
        raise UserError("save: there is no folder {parent}.", "mkdir -p {parent}", parent=folder.absolute().parent)
    if not os.access(folder.absolute().parent, os.W_OK):
        raise UserError(
            "save: the folder {parent} cannot be written to.",
            "Name another folder, or look at its permissions:  ls -ld {parent}",
            parent=folder.absolute().parent,
        )
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return
    if not (folder / _FACTS).is_file():
        raise UserError("save: {folder} exists already and holds other files.", "Name a new folder.", folder=folder)
    if not force:
        raise UserError(
            "save: {folder} holds a classifier already.",
            "Name a new folder, or replace it:  --force  (in Python:  force=True)",
            folder=folder,
        )


def read(folder: Path) -> Saved:
    """What `write` kept. Raises UserError for a folder that holds no classifier, or a damaged one."""
    facts, arrays = _read_facts(folder), _read_arrays(folder)
    try:
        return Saved(
            rung=facts["rung"],
            labels=facts["labels"],
            settings=unpack(facts["settings"], {}),
            backbone=BackboneIdentity(**facts["backbone"]),
            geometry=BackboneIdentity(**facts["geometry"]),
            geometry_asked=facts["geometry_asked"],
            label_arrays={name: arrays[name] for name in ("anchors", "general", "neutral") if name in arrays},
            learned=unpack(facts["learned"], arrays),
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise UserError(
            "classifier: {folder} is damaged ({error}).", "Save the classifier again.", folder=folder, error=error
        ) from None


def own_model(saved: Saved, folder: Path) -> str | Backbone:
    """The backbone that lies in the classifier's own folder, else the name of the one it was made with."""
    inside = folder / _MODEL
    return (
        open_folder(inside.resolve(), saved.backbone.name)
        if inside.is_dir()
        else saved.backbone.spelled or saved.backbone.name
    )


def _copy_model(backbone: Backbone, to: Path) -> None:
    """The files of a backbone that was made for one classifier."""
    shutil.copytree(backbone.folder, to)  # type: ignore[attr-defined]  # whoever makes a student keeps its files


def pack(value: Any, path: str, arrays: dict[str, Any]) -> Any:
    """A learned value as JSON; its arrays go to `arrays` under their path, dataclasses keep their name and fields."""
    if isinstance(value, np.ndarray):
        arrays[path] = value
        return {"array": path}
    if isinstance(value, np.generic):
        return value.item()
    if is_dataclass(value) and not isinstance(value, type):
        fields = {name: pack(each, f"{path}.{name}", arrays) for name, each in vars(value).items()}
        return {"kind": type(value).__qualname__, "fields": fields}
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
    """The dataclass of that name; it is known by its name alone, so that files may move between versions."""
    if kind not in _learned_classes():
        raise TypeError(f"{kind} is no class that a classifier is made of")
    return _learned_classes()[kind]


@lru_cache(maxsize=1)
def _learned_classes() -> dict[str, type]:
    """The dataclasses of rungs and decisions, by name."""
    return {found.__qualname__: found for module in _learned_modules() for found in _dataclasses_of(module)}


def _learned_modules() -> Iterator[Any]:
    for package in map(import_module, _LEARNED_IN):
        yield from (import_module(f"{package.__name__}.{module.name}") for module in iter_modules(package.__path__))


def _dataclasses_of(module: Any) -> Iterator[type]:
    for value in vars(module).values():
        if isinstance(value, type) and is_dataclass(value) and value.__module__ == module.__name__:
            yield value


def _facts(saved: Saved) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "version": VERSION,
        "made_with": f"rung {rung.__version__}",
        "rung": saved.rung,
        "privacy": _PRIVACY.get(saved.rung, _TEXTS),
        "labels": saved.labels,
        "settings": pack(saved.settings, "settings", {}),
        "backbone": vars(saved.backbone),
        "geometry": vars(saved.geometry),
        "geometry_asked": saved.geometry_asked,
    }


def _read_facts(folder: Path) -> dict[str, Any]:
    file = folder / _FACTS
    if not file.is_file():
        raise UserError(
            "classifier: {folder} holds no saved classifier.",
            "It should hold {file}; save one with  --save {folder}  (in Python:  clf.save(folder))",
            folder=folder,
            file=_FACTS,
        )
    try:
        facts: dict[str, Any] = json.loads(file.read_text("utf-8"))
    except ValueError as error:
        raise UserError(
            "classifier: {file} is damaged ({error}).", "Save the classifier again.", file=file, error=error
        ) from None
    if not isinstance(facts, dict):
        raise UserError(
            "classifier: {file} is damaged: it holds no JSON object.", "Save the classifier anew.", file=file
        )
    if facts.get("format") != FORMAT or facts.get("version") != VERSION:
        raise UserError(
            "classifier: {file} has the format {format} {version}, not {expected} {expected_version}.",
            "Save the classifier again, or install the rung that made it: {made_with}",
            made_with=facts.get("made_with", "unknown"),
            file=file,
            format=facts.get("format"),
            version=facts.get("version"),
            expected=FORMAT,
            expected_version=VERSION,
        )
    return facts


def _read_arrays(folder: Path) -> dict[str, Any]:
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        return dict(load_file(folder / _ARRAYS))
    except (OSError, SafetensorError) as error:
        raise UserError(
            "classifier: {folder} is damaged ({error}).",
            "Save the classifier again.",
            folder=folder / _ARRAYS,
            error=error,
        ) from None


def _umask() -> int:
    """The process's file mask; it can only be read by setting it."""
    mask = os.umask(0o022)
    os.umask(mask)
    return mask
