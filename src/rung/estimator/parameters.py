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
from rung.evidence.cache import Cache
from rung.inference.evidence_sources import EvidenceSources
from rung.labels import Labels

_FLAGS = ("balanced", "multi_label")
_CHOICES = {"length": ("sum", "token", "byte"), "long": ("cut", "mean")}


def check_parameters(given: Mapping[str, Any]) -> None:
    """Raise UserError for a parameter of `Classifier` that has the wrong type or lies outside its range."""
    _check_backbone("backbone", given["backbone"])
    if given["geometry"] is not None:
        _check_backbone("geometry", given["geometry"])
    for name in _FLAGS:
        if not isinstance(given[name], bool | np.bool_ | Integral) or given[name] not in (0, 1):
            raise UserError("{name}: got {value!r}.", "Give True or False.", name=name, value=given[name])
    for name, choices in _CHOICES.items():
        if not isinstance(given[name], str) or given[name] not in choices:
            quoted = ", ".join(f'"{each}"' for each in choices)
            raise UserError(
                "{name}: got {value!r}.", "Choose one of {choices}.", name=name, value=given[name], choices=quoted
            )
    _check_numbers(given["confidence"], given["shortlist"])
    if not isinstance(given["cache"], bool | np.bool_ | str | Path):
        raise UserError("cache: got {value!r}.", "Give True, False, or a folder.", value=given["cache"])
    if given["reject"] is not None:
        checked_share(given["reject"])


def _check_backbone(name: str, value: Any) -> None:
    if not isinstance(value, str | os.PathLike) and not hasattr(value, "abilities"):
        raise UserError(
            "{name}: got {value!r}.",
            'Give a name, such as  {name}="minilm"  , or a backbone that  rung.load  gave.',
            name=name,
            value=value,
        )


def _check_numbers(confidence: Any, shortlist: Any) -> None:
    if isinstance(confidence, bool) or not isinstance(confidence, Real) or not 0 <= float(confidence) <= 1:
        raise UserError(
            "confidence: got {confidence!r}.", "Give a probability from 0 to 1, such as 0.5.", confidence=confidence
        )
    if shortlist is not None and (isinstance(shortlist, bool) or not isinstance(shortlist, Integral) or shortlist < 1):
        raise UserError(
            "shortlist: got {count!r}.",
            "Give how many labels of each text the backbone scores, such as 10.",
            count=shortlist,
        )


def check_multi_label(reject: Any, *, is_tree: bool) -> None:
    """Raise UserError where several labels a text are asked for together with rejection or a tree."""
    if reject is not None or is_tree:
        raise UserError(
            "multi_label: it cannot be combined with reject or with a tree of labels.",
            "Leave them out; with multi_label a text that fits no label gets none anyway.",
        )


def open_backbone(backbone: Any) -> Backbone:
    """The backbone of a name or a folder; a loaded one is returned as it is, and shared between classifiers."""
    _check_backbone("backbone", backbone)
    return load(os.fspath(backbone)) if isinstance(backbone, str | os.PathLike) else backbone


def evidence_sources(
    given: Mapping[str, Any], labels: Labels, backbone: Backbone, geometry: Backbone
) -> EvidenceSources:
    """Where the evidence of a classifier with these parameters comes from."""
    cache = given["cache"]
    how: dict[str, Any] = {name: given[name] for name in ("length", "shortlist", "long")}
    opened = Cache(cache if isinstance(cache, str | Path) else None) if cache else None
    return EvidenceSources(labels, backbone, geometry, **how, cache=opened)


def as_python_scalar(value: Any) -> Any:
    """A NumPy scalar as Python's own number or bool; everything else as it is."""
    return value.item() if isinstance(value, np.generic) else value
