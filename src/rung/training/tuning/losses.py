"""What an encoder minimizes while it is tuned.

Both losses take a batch's targets as probabilities of labels, (B, k): all on one label where it is known, a teacher's
probabilities where it is not.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from rung.training.length_grouping import unit_rows

Floats = npt.NDArray[np.float64]


def contrast(encoder: Any) -> Any:
    """Texts of one label alike, texts of two labels apart: a torch module for sentence-transformers' trainer.

    L = ½ Σ_ij t_ij (c_ij − 1)² / Σ t + ½ Σ_ij (1 − t_ij) c_ij² / Σ (1 − t),   c_ij = cos(e_i, e_j),  t_ij = p_i · p_j,  i < j

    All pairs of a batch at the cost of embedding each text once: 32 texts are 496 pairs. Alike and unlike pairs weigh the same.

    Source: the pairs of Tunstall et al. 2022, Efficient few-shot learning without prompts, under their loss.
    """
    import torch

    class Contrast(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.encoder = encoder

        def forward(self, features: Any, targets: Any) -> Any:
            e = unit_rows(self.encoder, next(iter(features)))
            i, j = torch.triu_indices(len(e), len(e), offset=1, device=e.device)
            cosines, alike = (e @ e.T)[i, j], (targets @ targets.T)[i, j].to(e.dtype)
            near = (alike * (cosines - 1) ** 2).sum() / alike.sum().clamp_min(1e-9)
            far = ((1 - alike) * cosines**2).sum() / (1 - alike).sum().clamp_min(1e-9)
            return (near + far) / 2

    return Contrast()


def classify(encoder: Any, anchors: npt.NDArray[np.float32], weights: Floats, scale: float) -> Any:
    """A head that starts from the label names: a torch module for sentence-transformers' trainer.

    L = −mean_i Σ_k w_k p_ik log softmax_k( s · a_k·e_i + b_k )

    a (k, d) starts at the labels' own embeddings, b at 0; both learn with the encoder. w are the labels' weights, s the `scale`.
    """
    import torch

    class Classify(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.encoder = encoder
            self.anchors = torch.nn.Parameter(torch.tensor(anchors))
            self.bias = torch.nn.Parameter(torch.zeros(len(anchors)))
            self.register_buffer("weights", torch.tensor(weights, dtype=torch.float32))

        def forward(self, features: Any, targets: Any) -> Any:
            e = unit_rows(self.encoder, next(iter(features)))
            logs = (scale * e @ self.anchors.T.to(e.dtype) + self.bias).log_softmax(dim=1)
            return -(self.weights * targets.to(e.dtype) * logs).sum(dim=1).mean()

    return Classify()
