"""A batch embedded in groups of similar length gives the same result as one forward pass."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")

from rung.training import length_grouping
from rung.training.length_grouping import normalized_embeddings

pytestmark = pytest.mark.torch

TEXTS = ["my card is lost", "a", "the app crashes refund my money help about the topic", "lost", "text topic help a"]


@pytest.mark.parametrize("tokens", [1, 12, 30])
def test_groups_change_nothing(tiny_encoder: Path, monkeypatch: pytest.MonkeyPatch, tokens: int) -> None:
    """Embeddings and gradients are those of one forward pass, however small the groups are."""
    import torch
    from sentence_transformers import SentenceTransformer

    encoder = SentenceTransformer(str(tiny_encoder), device="cpu").eval()
    features: dict[str, Any] = dict(encoder.preprocess(TEXTS))
    slopes, rows = [], []
    for size in (10_000, tokens):
        monkeypatch.setattr(length_grouping, "_TOKENS_PER_GROUP", size)
        encoder.zero_grad()
        found = normalized_embeddings(encoder, features)
        (found @ found.T).sum().backward()
        rows.append(found.detach())
        slopes.append(torch.cat([part.grad.ravel() for part in encoder.parameters() if part.grad is not None]))
    assert torch.allclose(*rows, atol=1e-5)
    assert torch.allclose(*slopes, atol=1e-4)
    assert rows[0].norm(dim=1).tolist() == pytest.approx([1.0] * len(TEXTS))


def test_padding_on_the_left_is_left_alone(tiny_encoder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Positions may depend on left padding, so such a batch is computed in one pass."""
    import torch
    from sentence_transformers import SentenceTransformer

    encoder = SentenceTransformer(str(tiny_encoder), device="cpu").eval()
    encoder.tokenizer.padding_side = "left"
    features = encoder.preprocess(TEXTS)
    whole = torch.nn.functional.normalize(encoder(dict(features))["sentence_embedding"], dim=1)
    monkeypatch.setattr(length_grouping, "_TOKENS_PER_GROUP", 1)
    assert torch.equal(normalized_embeddings(encoder, features), whole)


def test_groups_are_really_made(tiny_encoder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If a group has room for one text only, each text is computed alone, without padding."""
    from sentence_transformers import SentenceTransformer

    encoder = SentenceTransformer(str(tiny_encoder), device="cpu").eval()
    seen: list[int] = []
    forward = type(encoder).forward

    def counted(self: Any, features: dict[str, Any], **how: Any) -> Any:
        seen.append(features["input_ids"].numel())
        return forward(self, features, **how)

    monkeypatch.setattr(type(encoder), "forward", counted)
    monkeypatch.setattr(length_grouping, "_TOKENS_PER_GROUP", 1)
    features = encoder.preprocess(TEXTS)
    normalized_embeddings(encoder, features)
    assert len(seen) == len(TEXTS)
    assert sum(seen) == int(features["attention_mask"].sum())
