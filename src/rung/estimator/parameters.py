"""The parameters of a classifier, checked before anything is computed: types, ranges, and NumPy's scalars as Python's own."""

from __future__ import annotations

import os
from collections.abc import Mapping
from numbers import Integral, Real
from pathlib import Path
from typing import Any

import numpy as np

from rung.backbones.loading import load
from rung.decide.rejection import checked_share
from rung.errors import UserError
from rung.evidence import Backbone

_FLAGS = ("balanced", "multi_label")
_CHOICES = {"length": ("sum", "token", "byte"), "long": ("cut", "mean")}


def check_parameters(given: Mapping[str, Any]) -> None:
    """Raise UserError for a parameter of `Classifier` that has the wrong type or lies outside its range."""
    for name in ("backbone", "geometry"):
        if not (name == "geometry" and given[name] is None) and not _is_backbone(given[name]):
            raise UserError(
                "{name}: got {value!r}.",
                'Give a name, such as  {name}="minilm"  , or a backbone that  rung.load  gave.',
                name=name,
                value=given[name],
            )
    for name in _FLAGS:
        if not isinstance(given[name], bool | np.bool_ | Integral) or given[name] not in (0, 1):
            raise UserError("{name}: got {value!r}.", "Give True or False.", name=name, value=given[name])
    for name, choices in _CHOICES.items():
        if not isinstance(given[name], str) or given[name] not in choices:
            named = ", ".join(f'"{each}"' for each in choices)
            raise UserError(
                "{name}: got {value!r}.", "Choose one of {choices}.", name=name, value=given[name], choices=named
            )
    _check_numbers(given)
    if not isinstance(given["cache"], bool | np.bool_ | str | Path):
        raise UserError("cache: got {value!r}.", "Give True, False, or a folder.", value=given["cache"])
    if given["reject"] is not None:
        checked_share(given["reject"])


def _check_numbers(given: Mapping[str, Any]) -> None:
    confidence, shortlist = given["confidence"], given["shortlist"]
    if isinstance(confidence, bool) or not isinstance(confidence, Real) or not 0 <= float(confidence) <= 1:
        raise UserError(
            "confidence: got {confidence!r}.", "Give a probability from 0 to 1, such as 0.5.", confidence=confidence
        )
    if shortlist is not None and (isinstance(shortlist, bool) or not isinstance(shortlist, Integral) or shortlist < 1):
        raise UserError(
            "shortlist: got {count!r}.", "Give how many labels of each text are scored, such as 10.", count=shortlist
        )


def opened(backbone: Any) -> Backbone:
    """The backbone of a name, a folder, or a loaded one as it is; it is shared between classifiers."""
    if not _is_backbone(backbone):
        raise UserError(
            "backbone: got {value!r}.",
            'Give a name, such as  backbone="minilm"  , or a backbone that  rung.load  gave.',
            value=backbone,
        )
    return load(os.fspath(backbone)) if isinstance(backbone, str | os.PathLike) else backbone


def as_plain(value: Any) -> Any:
    """A NumPy scalar as Python's own number or bool; everything else as it is."""
    return value.item() if isinstance(value, np.generic) else value


def _is_backbone(value: Any) -> bool:
    return isinstance(value, str | os.PathLike) or hasattr(value, "abilities")
