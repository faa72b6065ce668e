"""The backbones of students, which turn texts into features: trained for the teacher, or taken from an existing model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from rung.backbones.encoder import EncoderBackbone
from rung.backbones.loading import load
from rung.backbones.ngram import NgramBackbone
from rung.backbones.static import StaticBackbone, copied, read_tokenizer
from rung.errors import UserError
from rung.evidence import Backbone
from rung.messages import tr
from rung.training.layer_pruning import drop_layers, read_encoder, transformer_layers
from rung.training.students import ngram_student
from rung.training.students.static_distillation import distill_encoder, tokenizer_of

Kind = Literal["ngram", "static", "shallow"]
MakeBackbone = Callable[
    [Any, Any, dict[str, float]], Backbone
]  # the teacher's log p, true labels, T and λ → a backbone

TOKENS_PER_TEXT = (
    30  # of the vocabulary, which a static student embeds one by one: about the cost of embedding the text
)
DEFAULT_DIRECTIONS = 64  # dimensions of the n-gram features; with more than 65 labels something is lost


def backbone_maker(kind: Kind, geometry: Backbone, texts: list[str], size: int | None, folder: Path) -> MakeBackbone:
    """A function that makes a backbone of this kind from the training texts, with its files in `folder`.

    Raises UserError if this kind cannot be made from `geometry`, the teacher's backbone.
    """
    return {"ngram": _ngram, "static": _static, "shallow": _shallow}[kind](geometry, texts, size, folder)


def why_not(kind: Kind, geometry: Backbone, texts: int) -> str | None:
    """Why a student of this kind is not worth training beside others, for so many training texts; None if it is."""
    if kind != "static" or not isinstance(geometry, EncoderBackbone) or geometry.name == "minilm":
        return None
    try:
        tokens = read_tokenizer(tokenizer_of(geometry)).get_vocab_size()
    except UserError as error:
        return error.what
    if tokens > TOKENS_PER_TEXT * texts:
        return tr(
            "{texts:,} texts are too few: the {tokens:,} tokens of the vocabulary would be embedded first.",
            texts=texts,
            tokens=tokens,
        )
    return None


def size_of(backbone: Backbone) -> int:
    """The size of a backbone as the parameter `size` means it: layers of an encoder, else dimensions."""
    if isinstance(backbone, EncoderBackbone):
        return int(backbone.layers)
    return backbone.dimensions - isinstance(backbone, NgramBackbone)


def _ngram(geometry: Backbone, texts: list[str], size: int | None, folder: Path) -> MakeBackbone:  # noqa: ARG001 - needs no teacher backbone
    counts = ngram_student.count_ngrams(texts)

    def make(teacher: Any, labels: Any, loss_settings: dict[str, float]) -> Backbone:
        W, _ = ngram_student.fit_ngram(counts, teacher, labels, **loss_settings)
        name = "-".join(f"{value:g}" for value in loss_settings.values())
        return ngram_student.write_backbone(counts, W, size or DEFAULT_DIRECTIONS, folder / f"ngram-{name}")

    return make


def _static(geometry: Backbone, texts: list[str], size: int | None, folder: Path) -> MakeBackbone:
    """Token vectors: the teacher's own, the built-in model's for MiniLM, or vectors distilled from the teacher's encoder."""
    if isinstance(geometry, EncoderBackbone) and geometry.name != "minilm":
        backbone = distill_encoder(geometry, texts, folder / "static", dimensions=size)
    else:
        static = geometry if isinstance(geometry, StaticBackbone) else load("builtin")
        assert isinstance(static, StaticBackbone)
        backbone = copied(static, folder / "static", size)
    return lambda *_: backbone


def _shallow(geometry: Backbone, texts: list[str], size: int | None, folder: Path) -> MakeBackbone:  # noqa: ARG001 - needs no texts
    layers = len(transformer_layers(read_encoder(geometry)[0].auto_model))
    backbone = drop_layers(geometry, size or -(-layers // 2), folder / "shallow")
    return lambda *_: backbone
