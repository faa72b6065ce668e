"""The losses of tuning.

Both take the targets of a batch as probabilities (B, k): one-hot where the label is known, the teacher's probabilities elsewhere.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from rung.training.length_grouping import normalized_embeddings

Floats = npt.NDArray[np.float64]


def contrastive_loss(encoder: Any) -> Any:
    """A loss that brings texts of one label together and moves texts of two labels apart, as a module for sentence-transformers.

    L = ½ Σ_ij t_ij (c_ij − 1)² / Σ t + ½ Σ_ij (1 − t_ij) c_ij² / Σ (1 − t),   c_ij = cos(e_i, e_j),  t_ij = p_i · p_j,  i < j

    It uses all pairs of a batch but embeds each text once: 32 texts make 496 pairs. Positive and negative pairs weigh the same.

    Source: the pairs of Tunstall et al. 2022, Efficient few-shot learning without prompts, under their loss.
    """
    import torch

    class ContrastiveLoss(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.encoder = encoder

        def forward(self, features: Any, targets: Any) -> Any:
            e = normalized_embeddings(self.encoder, next(iter(features)))
            i, j = torch.triu_indices(len(e), len(e), offset=1, device=e.device)
            cosines, same_label = (e @ e.T)[i, j], (targets @ targets.T)[i, j].to(e.dtype)
            pull = (same_label * (cosines - 1) ** 2).sum() / same_label.sum().clamp_min(1e-9)
            push = ((1 - same_label) * cosines**2).sum() / (1 - same_label).sum().clamp_min(1e-9)
            return (pull + push) / 2

    return ContrastiveLoss()


def classification_loss(encoder: Any, anchors: npt.NDArray[np.float32], weights: Floats, scale: float) -> Any:
    """Cross-entropy of a head that is initialized with the embeddings of the labels, as a module for sentence-transformers.

    L = −mean_i Σ_k w_k p_ik log softmax_k( s · a_k·e_i + b_k )

    a (k, d) starts at the label embeddings, b at 0; both are trained with the encoder. w are the class weights, s the `scale`.
    """
    import torch

    class ClassificationLoss(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.encoder = encoder
            self.anchors = torch.nn.Parameter(torch.tensor(anchors))
            self.bias = torch.nn.Parameter(torch.zeros(len(anchors)))
            self.register_buffer("weights", torch.tensor(weights, dtype=torch.float32))

        def forward(self, features: Any, targets: Any) -> Any:
            e = normalized_embeddings(self.encoder, next(iter(features)))
            logs = (scale * e @ self.anchors.T.to(e.dtype) + self.bias).log_softmax(dim=1)
            return -(self.weights * targets.to(e.dtype) * logs).sum(dim=1).mean()

    return ClassificationLoss()
