"""Where a classifier's evidence comes from: what labels mean from one backbone, where texts lie from the same or another."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from rung.backbones.loading import require
from rung.errors import UserError
from rung.evidence import Backbone, Evidence, Long, Progress, reads_images
from rung.evidence.cache import Cache
from rung.evidence.embedding import embed_texts, label_evidence
from rung.inference.inputs import as_features, as_items, is_matrix
from rung.inference.label_scoring import Length, neutral, with_prior
from rung.inference.second_opinion import second_opinion
from rung.labels import Labels


@dataclass(frozen=True)
class Sources:
    """Labels, the backbones that are asked about them, and how.

    backbone says what the labels mean, geometry where the texts lie; where they are one and the same, features serve for both.
    """

    labels: Labels
    backbone: Backbone
    geometry: Backbone
    length: Length = "sum"
    shortlist: int | None = None
    long: Long = "cut"
    cache: Cache | None = None

    def __post_init__(self) -> None:
        require(self.backbone, "score" if self.mixed and "embed" not in self.backbone.abilities else "embed")
        require(self.geometry, "embed")
        if reads_images(self.geometry) != reads_images(self.backbone):
            images, texts = sorted((self.geometry, self.backbone), key=reads_images, reverse=True)
            raise UserError(
                "geometry: of the two backbones {images_name!r} reads images and {texts_name!r} reads texts.",
                "Take two that read the same, or leave geometry out.",
                images_name=images.name,
                texts_name=texts.name,
            )

    @property
    def mixed(self) -> bool:
        """Whether another backbone than the geometry's says what the labels mean."""
        return self.geometry.fingerprint != self.backbone.fingerprint

    @property
    def key(self) -> tuple[Any, ...]:
        """What the evidence of labels hangs on."""
        return (self.labels, self.backbone.fingerprint, self.geometry.fingerprint, self.length)

    def meaning(self) -> Evidence:
        """Evidence of the labels alone."""
        meaning = label_evidence(self.labels, self.geometry, cache=self.cache)
        if not self.mixed or "score" not in self.backbone.abilities:
            return meaning
        return replace(meaning, neutral=neutral(self.labels, self.backbone, length=self.length, cache=self.cache))

    def evidence(self, X: Any, meaning: Evidence, *, progress: Progress | None = None) -> Evidence:
        """Evidence of texts or embeddings X. Raises UserError for what cannot be read as either."""
        if is_matrix(X):
            return self._of_matrix(X, meaning)
        texts = as_items(X, self.backbone)
        shown = None if self.mixed else progress  # one bar, for what takes longest
        reader = self.backbone if self.mixed else None
        seen = embed_texts(texts, self.geometry, cache=self.cache, long=self.long, reader=reader, progress=shown)
        evidence = meaning.of_texts(*seen)
        if not self.mixed:
            return evidence
        how: dict[str, Any] = {"length": self.length, "shortlist": self.shortlist, "long": self.long}
        return with_prior(evidence, texts, self.labels, self.backbone, **how, cache=self.cache, progress=progress)

    def _of_matrix(self, X: Any, meaning: Evidence) -> Evidence:
        if self.mixed:
            raise UserError(
                "X: got embeddings, and this backbone has to read the texts themselves.",
                "Pass texts, or a backbone that embeds and no geometry.",
            )
        return meaning.of_texts(as_features(X, meaning.anchors.shape[1]), [None] * len(X))

    def with_second(self, evidence: Evidence, X: Any) -> Evidence:
        """The evidence of X with a second opinion, where there is one to be had."""
        if is_matrix(X) or self.mixed:
            return evidence
        return replace(evidence, second=second_opinion(self.labels, X, self.backbone))
