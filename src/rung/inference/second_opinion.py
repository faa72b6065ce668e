"""A second opinion on the same texts: the built-in model's, which costs next to nothing beside a larger backbone."""

from __future__ import annotations

from collections.abc import Sequence

from rung.backbones.loading import load
from rung.evidence import Backbone, Evidence, reads_images
from rung.evidence.embedding import embed_texts, label_evidence
from rung.inference.language import reads
from rung.labels import Labels


def second_opinion(labels: Labels, texts: Sequence[object], backbone: Backbone) -> Evidence | None:
    """The built-in model's evidence of texts that `backbone` reads; None where it cannot read them, or is itself the backbone."""
    if reads_images(backbone):
        return None
    other = load("builtin")
    if not backbone.costly or not reads(texts, other):
        return None
    return label_evidence(labels, other).of_texts(*embed_texts(texts, other))
