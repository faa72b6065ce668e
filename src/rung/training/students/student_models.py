"""The bodies of students: what turns a text into features, made for one teacher or taken from one that is there already."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from rung.backbones.encoder import EncoderBackbone
from rung.backbones.loading import load
from rung.backbones.ngram import NgramBackbone
from rung.backbones.static import StaticBackbone, copied
from rung.evidence import Backbone
from rung.training.layer_pruning import drop_layers, layers_of, read_encoder
from rung.training.students import ngram_student
from rung.training.students.static_distillation import distill_encoder

Kind = Literal["ngram", "static", "shallow"]
Make = Callable[[Any, Any, dict[str, float]], Backbone]  # the teacher's log p, true labels, T and λ → a body

DIRECTIONS = 64  # of an n-gram's row: more than 65 labels are told apart by fewer directions than they have


def maker(kind: Kind, geometry: Backbone, texts: list[str], size: int | None, home: Path) -> Make:
    """How to make a body of this kind from the texts to learn from; its files go to `home`. Raises UserError if it cannot be."""
    return {"ngram": _ngram, "static": _static, "shallow": _shallow}[kind](geometry, texts, size, home)


def size_of(body: Backbone) -> int:
    """What `size` means for this body: layers of an encoder, else dimensions."""
    if isinstance(body, EncoderBackbone):
        return int(body.layers)
    return body.dimensions - isinstance(body, NgramBackbone)


def _ngram(geometry: Backbone, texts: list[str], size: int | None, home: Path) -> Make:  # noqa: ARG001 - it starts from nothing
    counted = ngram_student.count(texts)

    def make(teacher: Any, labels: Any, how: dict[str, float]) -> Backbone:
        W, _ = ngram_student.fit_ngram(counted, teacher, labels, **how)
        name = "-".join(f"{value:g}" for value in how.values())
        return ngram_student.as_backbone(counted, W, size or DIRECTIONS, home / f"ngram-{name}")

    return make


def _static(geometry: Backbone, texts: list[str], size: int | None, home: Path) -> Make:
    """Token vectors: the teacher's own, or those that the built-in model has of MiniLM, or made of the teacher's encoder."""
    if isinstance(geometry, EncoderBackbone) and geometry.name != "minilm":
        body = distill_encoder(geometry, texts, home / "static", dimensions=size)
    else:
        own = geometry if isinstance(geometry, StaticBackbone) else load("builtin")
        assert isinstance(own, StaticBackbone)
        body = copied(own, home / "static", size)
    return lambda *_: body


def _shallow(geometry: Backbone, texts: list[str], size: int | None, home: Path) -> Make:  # noqa: ARG001 - it learns nothing
    layers = len(layers_of(read_encoder(geometry)[0].auto_model))
    body = drop_layers(geometry, size or -(-layers // 2), home / "shallow")
    return lambda *_: body
