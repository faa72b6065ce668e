"""Make the classifier that the options of a command describe, and check these options before any file is read."""

from __future__ import annotations

from collections import Counter
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from rung.errors import UserError

if TYPE_CHECKING:
    from rung.estimator.classifier import Classifier

_ASCII_SIGNS = str.maketrans("，＝", ",=")
_SHARED = ("labels", "classifier", "text", "backbone", "format", "multi_label", "sheet", "geometry")


def build_classifier(
    labels: str | None, saved: Path | None, backbone: str, settings: dict[str, Any], *, command: str
) -> Classifier:
    """The classifier with these labels, or the saved one; its labels, backbone and settings are checked."""
    if labels is not None and saved is not None:
        raise UserError(
            "{command}: both --labels and --classifier are given.",
            "Give one of  --labels billing,bug  or  --classifier FOLDER",
            command=command,
        )
    if labels is None and saved is None:
        raise UserError(
            "{command}: no labels are given.",
            "Name them, as in  --labels billing,bug  or give a saved classifier:  --classifier FOLDER   (rung {command} --help)",
            command=command,
        )
    from rung.estimator.classifier import Classifier

    if saved is not None:
        loaded = Classifier.load(saved, backbone=None if backbone == "auto" else backbone)
        loaded.set_params(cache=settings["cache"])
        return loaded
    from rung.labels import read_labels

    built = Classifier(read_labels(str(labels)), backbone=backbone, **settings)
    built.check()
    return built


def repeated_options(context: typer.Context) -> dict[str, str | bool | None]:
    """The options that `suggest` and `classify` share, as they were given, for the next command that is proposed."""
    values = {f"--{name.replace('_', '-')}": context.params.get(name) for name in _SHARED}
    if values["--backbone"] == "auto":
        del values["--backbone"]
    return {option: str(value) if isinstance(value, Path) else value for option, value in values.items()}


def parse_shares(given: str | None) -> dict[str, float] | None:
    """`spam=0.1,ham=0.9` as a mapping; the wide comma and equals sign of Chinese are read too."""
    if given is None:
        return None
    pairs = [part.rpartition("=") for part in given.translate(_ASCII_SIGNS).split(",")]
    try:
        parsed = [(name.strip(), float(share)) for name, _, share in pairs]
    except ValueError:
        parsed = []
    if not parsed or not all(name and isfinite(share) for name, share in parsed):
        raise UserError("--shares: {given!r} cannot be read.", "Write  --shares spam=0.1,ham=0.9", given=given)
    counts = Counter(name for name, _ in parsed)
    if twice := next((name for name, count in counts.items() if count > 1), None):
        raise UserError("shares: {name!r} is given twice.", "Give every label once.", name=twice)
    return dict(parsed)


def parse_reject(given: str | None) -> Any:
    """`auto`, or a share as a number; None where nothing is given."""
    try:
        return given if given in (None, "auto") else float(str(given))
    except ValueError:
        raise UserError(
            "--reject: {given!r} is neither auto nor a share.", "Write  --reject 0.1  or  --reject auto", given=given
        ) from None


def set_confidence(confidence: float | None, classifier: Classifier) -> None:
    """Set how probable an answer in a tree must be. Raises UserError without a tree, and for what is not a probability."""
    if confidence is None:
        return
    if not classifier.parsed_labels().is_tree:
        raise UserError(
            "--confidence does nothing without a tree of labels.",
            "Leave it out, or give labels with parents:  a column parent in a .csv, children in a .yaml",
        )
    if not 0 <= confidence <= 1:
        raise UserError(
            "--confidence: got {confidence}.", "Give a probability from 0 to 1, such as 0.5.", confidence=confidence
        )
    classifier.set_params(confidence=confidence)


def check_long(long: str, classifier: Classifier, backbone: str) -> None:
    """Raise UserError where --long says how to read long texts, and the backbone reads images."""
    from rung.cli.classifier_inputs import reads_images

    if long != "cut" and reads_images(classifier):
        raise UserError(
            "--long does nothing with the backbone {name}: it reads images.", "Leave out --long.", name=backbone
        )
