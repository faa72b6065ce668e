"""Decide from label names alone: the nearest anchor, whatever the other texts are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from rung.evidence import Array, Evidence
from rung.rungs.softmax import to_log_probabilities

_LEAST = 1e-9  # a label that no neutral text ever gets must not win every text


@dataclass
class Names:
    """Compare each text with each label's anchor; every row's answer stands by itself.

    p(k | x) = softmax_k( (x·p_k − c r_k) / τ )

    x is a text's features (d,), p_k the anchor of label k. r_k is how near p_k is to what it has nothing to do with: its
    mean cosine with the `neighbors` nearest of a few hundred general texts. Among many labels some are near to every text
    ("hubs") and would take what belongs to others; c takes half of that away. With two labels the same correction only
    moves the threshold between them, of which general texts know nothing, so there c = 0 (docs/log.md has the figures).
    τ = .05 puts mean confidence near accuracy with sentence encoders; a backbone that was trained with a temperature of its
    own, as those of images are, brings it in the evidence, and it stands in place of .05.

    Where a backbone was asked for scores s = log p(k | x) itself, these decide, and what it says of a label whatever the text is
    taken away: p(k | x) = softmax_k( s_k − log mean_g softmax(s_g)_k ), g being texts that say nothing. That is the same
    balance as above, in all of its strength. Source: Zhao et al. 2021, Calibrate before use, section 4; on sums of
    log-probabilities it is the domain-conditional PMI of Holtzman et al. 2021.

    Source of the correction: Conneau et al. 2018, Word translation without parallel data, section 2.3 (CSLS), one-sided.
    """

    temperature: float = 0.05
    correction: float = 0.5
    neighbors: int = 20

    def fit(self, evidence: Evidence, known: npt.NDArray[np.intp] | None = None) -> Self:  # noqa: ARG002 (a rung's signature)
        """Nothing to learn: returns the rung as it is."""
        return self

    def log_posterior(self, evidence: Evidence) -> npt.NDArray[np.float64]:
        """log p(label | text), (n, k), rows of exp sum to 1."""
        if evidence.scores is not None:
            return self._scored(evidence.scores, evidence.neutral)
        cosine = (evidence.features @ evidence.anchors.T).astype(np.float64)
        cosine -= self._excess(evidence)
        cosine /= evidence.temperature or self.temperature
        return to_log_probabilities(cosine)

    def _scored(self, scores: Array, neutral: Array | None) -> npt.NDArray[np.float64]:
        """log softmax( s − log mean_g softmax(s_g) ), (n, k); a row that could not be scored says nothing."""
        said = to_log_probabilities(np.nan_to_num(scores.astype(np.float64)))
        if neutral is None or not len(neutral):
            return said
        whatever = np.exp(to_log_probabilities(neutral.astype(np.float64))).mean(axis=0)
        return to_log_probabilities(said - np.log(np.maximum(whatever, _LEAST)))

    def _excess(self, evidence: Evidence) -> npt.NDArray[np.float64]:
        """c r_k, (k,): what is taken from each label's cosines."""
        k, g = len(evidence.anchors), len(evidence.general)
        if k < 3 or not g or not self.correction:
            return np.zeros(k)
        near = np.sort(evidence.general @ evidence.anchors.T, axis=0)[-min(self.neighbors, g) :]
        return np.asarray(self.correction * near.mean(axis=0, dtype=np.float64))
