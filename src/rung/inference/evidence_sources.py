"""Where a classifier's evidence comes from: one backbone says what labels mean; the same or another says where texts lie."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from rung.backbones.loading import require
from rung.errors import UserError
from rung.evidence import Backbone, Evidence, Long, Progress, reads_images
from rung.evidence.cache import Cache
from rung.evidence.embedding import embed_texts, label_evidence
from rung.inference.inputs import as_features, as_items, is_matrix
from rung.inference.label_scoring import Length, neutral_scores, with_label_scores
from rung.inference.second_opinion import second_opinion
from rung.labels import Labels


@dataclass(frozen=True)
class EvidenceSources:
    """Labels, the backbones that read them and the texts, and the settings of that.

    backbone says what the labels mean, geometry says where the texts lie; where they are the same, its features serve for both.
    """

    labels: Labels
    backbone: Backbone
    geometry: Backbone
    length: Length = "sum"
    shortlist: int | None = None
    long: Long = "cut"
    cache: Cache | None = None

    def __post_init__(self) -> None:
        scores_only = self.has_own_geometry and "embed" not in self.backbone.abilities
        require(self.backbone, "score" if scores_only else "embed")
        require(self.geometry, "embed")
        if reads_images(self.geometry) != reads_images(self.backbone):
            images, texts = sorted((self.geometry, self.backbone), key=reads_images, reverse=True)
            raise UserError(
                "geometry: backbone {images_name!r} reads images and backbone {texts_name!r} reads texts.",
                "Choose two backbones that read the same kind of input, or leave geometry out.",
                images_name=images.name,
                texts_name=texts.name,
            )

    @property
    def has_own_geometry(self) -> bool:
        """Whether geometry is another backbone than the one that says what the labels mean."""
        return self.geometry.fingerprint != self.backbone.fingerprint

    @property
    def key(self) -> tuple[Any, ...]:
        """What the evidence of labels depends on."""
        return (self.labels, self.backbone.fingerprint, self.geometry.fingerprint, self.length)

    def label_evidence(self) -> Evidence:
        """Evidence of the labels alone."""
        of_labels = label_evidence(self.labels, self.geometry, cache=self.cache)
        if not self.has_own_geometry or "score" not in self.backbone.abilities:
            return of_labels
        neutral = neutral_scores(self.labels, self.backbone, length=self.length, cache=self.cache)
        return replace(of_labels, neutral=neutral)

    def evidence(self, X: Any, of_labels: Evidence, *, progress: Progress | None = None) -> Evidence:
        """Evidence of texts or embeddings X, added to that of the labels. Raises UserError for what is neither."""
        if is_matrix(X):
            return self._of_matrix(X, of_labels)
        texts = as_items(X, self.backbone)
        shown = None if self.has_own_geometry else progress  # one progress bar, for what takes longest
        reader = self.backbone if self.has_own_geometry else None
        embedded = embed_texts(texts, self.geometry, cache=self.cache, long=self.long, reader=reader, progress=shown)
        evidence = of_labels.of_texts(*embedded)
        if not self.has_own_geometry:
            return evidence
        how: dict[str, Any] = {"length": self.length, "shortlist": self.shortlist, "long": self.long}
        return with_label_scores(
            evidence, texts, self.labels, self.backbone, **how, cache=self.cache, progress=progress
        )

    def _of_matrix(self, X: Any, of_labels: Evidence) -> Evidence:
        if self.has_own_geometry:
            raise UserError(
                "X: got embeddings, but this backbone must read the texts themselves.",
                "Pass texts, or choose a backbone that embeds and leave geometry out.",
            )
        return of_labels.of_texts(as_features(X, of_labels.anchors.shape[1]), [None] * len(X))

    def with_second_opinion(self, evidence: Evidence, X: Any) -> Evidence:
        """The evidence of X with a second opinion, where the built-in model can give one."""
        if is_matrix(X) or self.has_own_geometry:
            return evidence
        return replace(evidence, second=second_opinion(self.labels, X, self.backbone))
