"""Decide from label names alone: the nearest anchor, independently of all other texts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from rung.evidence import Array, Evidence
from rung.rungs.softmax import to_log_probabilities
from rung.threads import matmul, one_thread

_LEAST = 1e-9  # a floor, so that a label that no neutral text gets does not win every text


@dataclass
class Names:
    """Compare each text with each label's anchor; the answer of a row depends on that row alone.

    p(k | x) = softmax_k( (x·p_k − c r_k) / τ )

    x (d,) are the features of a text, p_k is the anchor of label k. r_k is the mean cosine of p_k with the `neighbors` nearest
    of a few hundred general texts. Among many labels some anchors are near to every text ("hubs") and would win texts of other
    labels; c subtracts half of that. With two labels the correction would only move the threshold between them, about which
    general texts say nothing, so there c = 0 (docs/log.md has the figures). τ = .05 brings mean confidence near accuracy for
    sentence encoders. A backbone that was trained with a temperature, as image models are, states it in the evidence; it then
    replaces .05.

    Where a backbone gave scores s = log p(k | x), these decide, corrected by the scores of neutral texts g, which say nothing:
    p(k | x) = softmax_k( s_k − log mean_g softmax(s_g)_k ). It is the same correction as above at full strength.
    Source: Zhao et al. 2021, Calibrate before use, section 4; on sums of
    log-probabilities it is the domain-conditional PMI of Holtzman et al. 2021.

    Source of the correction: Conneau et al. 2018, Word translation without parallel data, section 2.3 (CSLS), one-sided.
    """

    temperature: float = 0.05
    correction: float = 0.5
    neighbors: int = 20

    def fit(self, evidence: Evidence, known: npt.NDArray[np.intp] | None = None) -> Self:  # noqa: ARG002 (a rung's signature)
        """Return the rung unchanged: it learns nothing."""
        return self

    @one_thread()
    def log_posterior(self, evidence: Evidence) -> npt.NDArray[np.float64]:
        """log p(label | text), (n, k), rows of exp sum to 1."""
        if evidence.scores is not None:
            return self._scored(evidence.scores, evidence.neutral)
        cosine = matmul(evidence.features, evidence.anchors.T).astype(np.float64)
        cosine -= self._excess(evidence)
        cosine /= evidence.temperature or self.temperature
        return to_log_probabilities(cosine)

    def _scored(self, scores: Array, neutral: Array | None) -> npt.NDArray[np.float64]:
        """log softmax( s − log mean_g softmax(s_g) ), (n, k); a row that could not be scored is uniform."""
        posterior = to_log_probabilities(np.nan_to_num(scores.astype(np.float64)))
        if neutral is None or not len(neutral):
            return posterior
        baseline = np.exp(to_log_probabilities(neutral.astype(np.float64))).mean(axis=0)
        return to_log_probabilities(posterior - np.log(np.maximum(baseline, _LEAST)))

    def _excess(self, evidence: Evidence) -> npt.NDArray[np.float64]:
        """c r_k, (k,): what is subtracted from the cosines of each label."""
        k, g = len(evidence.anchors), len(evidence.general)
        if k < 3 or not g or not self.correction:
            return np.zeros(k)
        near = np.sort(evidence.general @ evidence.anchors.T, axis=0)[-min(self.neighbors, g) :]
        return np.asarray(self.correction * near.mean(axis=0, dtype=np.float64))
