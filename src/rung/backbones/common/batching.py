"""Rows of token ids: how many go into one forward pass, how they are padded, and what a tokenizer puts around a text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rung.text_encoding import encodable

TOKENS = 4096  # of one forward pass, padding included
_LOGITS = 1 << 26  # float32 of one forward pass: 256 MB


def fitting(tokens: int, vocabulary: int) -> int:
    """How many tokens may have their logits over the whole vocabulary computed at once: `tokens`, or fewer.

    >>> fitting(4096, 32_000), fitting(4096, 250_000)
    (2097, 268)
    """
    return max(1, min(tokens, _LOGITS // max(1, vocabulary)))


def by_length(lengths: Sequence[int], tokens: int) -> Iterator[list[int]]:
    """Places of the rows, the short ones first, in parts that hold at most `tokens` once padded, and at least one row.

    >>> list(by_length([5, 2, 9, 2], tokens=6))
    [[1, 3], [0], [2]]
    """
    part: list[int] = []
    for place in sorted(range(len(lengths)), key=lengths.__getitem__):
        if part and lengths[place] * (len(part) + 1) > tokens:
            yield part
            part = []
        part.append(place)
    if part:
        yield part


def batches(
    encoded: Mapping[str, Sequence[list[int]]], tokens: int, *, pad: int | None, device: Any, left: bool = False
) -> Iterator[tuple[list[int], dict[str, Any]]]:
    """What a tokenizer gave for n rows, as tensors that a model takes: the places (b,) of the rows, and what to pass.

    Rows are padded on the right, on which no model with absolute or relative positions depends; with `left`, on the left.
    """
    for part in by_length([len(ids) for ids in encoded["input_ids"]], tokens):
        fill = {name: pad or 0 if name == "input_ids" else 0 for name in encoded}
        passed = {name: padded([rows[i] for i in part], fill[name], left=left) for name, rows in encoded.items()}
        yield part, {name: tensor.to(device) for name, tensor in passed.items()}


def padded(rows: Sequence[Sequence[int]], value: int, *, left: bool = False) -> Any:
    """Rows of unlike lengths as one tensor (n, longest) of int64, filled up with `value`."""
    import torch

    longest = max(map(len, rows))
    gaps = [[value] * (longest - len(row)) for row in rows]
    return torch.tensor([[*gap, *row] if left else [*row, *gap] for row, gap in zip(rows, gaps, strict=True)])


def ones(rows: Sequence[list[int]]) -> list[list[int]]:
    """The attention mask of rows that hold no padding yet."""
    return [[1] * len(row) for row in rows]


def bare(tokenizer: Any, texts: Sequence[str]) -> list[list[int]]:
    """Token ids of each text as it is, no special tokens around it."""
    if not texts:
        return []
    said = [encodable(text) for text in texts]
    return list(tokenizer(said, add_special_tokens=False, verbose=False)["input_ids"])


def around(inner: list[int], outer: list[int]) -> tuple[list[int], list[int]]:
    """The special tokens before and after a text, from its ids without (`inner`) and with them (`outer`).

    >>> around([7, 8], [101, 7, 8, 102])
    ([101], [102])
    """
    starts = range(len(outer) - len(inner) + 1)
    start = next(i for i in starts if outer[i : i + len(inner)] == inner)
    return outer[:start], outer[start + len(inner) :]
