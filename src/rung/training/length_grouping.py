"""Embed a training batch in groups of similar length, so that little time is spent on padding."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rung.backbones.common.batching import length_batches

# Tokens of one group, padding included. On texts of mixed lengths this takes a third less time than one forward pass.
_TOKENS_PER_GROUP = 256


def normalized_embeddings(encoder: Any, features: Mapping[str, Any]) -> Any:
    """Embeddings (B, d) of a batch, normalized to length 1; the same as from one forward pass.

    features are what sentence-transformers' tokenization gives: tensors (B, t), and values of other kinds. On a CPU, texts of
    similar length are computed together if the padding is on the right, where it changes no result. A GPU is faster with one pass.
    """
    import torch

    mask = features.get("attention_mask")
    if mask is None or mask.device.type != "cpu" or mask.ndim != 2 or not mask[:, 0].all():
        return _forward(encoder, features)
    lengths = mask.sum(dim=1).tolist()
    groups = list(length_batches(lengths, _TOKENS_PER_GROUP))
    if len(groups) == 1:
        return _forward(encoder, features)
    rows = [_forward(encoder, _subset(features, mask.shape, group, max(lengths[i] for i in group))) for group in groups]
    order = torch.tensor([place for group in groups for place in group])
    return torch.cat(rows)[order.argsort()]


def _subset(features: Mapping[str, Any], shape: Any, group: list[int], longest: int) -> dict[str, Any]:
    """The features of one group; tensors with one value a token are cut to the longest text of the group."""
    found = dict(features)
    for name, value in features.items():
        own = getattr(value, "shape", ())
        if own[:1] == shape[:1]:
            found[name] = value[group, :longest] if own == shape else value[group]
    return found


def _forward(encoder: Any, features: Mapping[str, Any]) -> Any:
    import torch

    return torch.nn.functional.normalize(encoder(dict(features))["sentence_embedding"].float(), dim=1)
