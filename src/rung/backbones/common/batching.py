"""Batches of token ids: how many rows go into one forward pass, how rows are padded, and which special tokens surround a text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rung.text_encoding import encodable

BATCH_TOKENS = 4096  # of one forward pass, padding included
_MAX_LOGITS = 1 << 26  # float32 of one forward pass: 256 MB


def max_logit_tokens(tokens: int, vocabulary: int) -> int:
    """How many tokens may have logits over the whole vocabulary computed in one pass: `tokens`, or fewer.

    >>> max_logit_tokens(4096, 32_000), max_logit_tokens(4096, 250_000)
    (2097, 268)
    """
    return max(1, min(tokens, _MAX_LOGITS // max(1, vocabulary)))


def length_batches(lengths: Sequence[int], tokens: int) -> Iterator[list[int]]:
    """Indices of the rows, sorted by length, in batches of at most `tokens` tokens after padding; a batch has at least one row.

    >>> list(length_batches([5, 2, 9, 2], tokens=6))
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


def padded_batches(
    encoded: Mapping[str, Sequence[list[int]]], tokens: int, *, pad: int | None, device: Any, left: bool = False
) -> Iterator[tuple[list[int], dict[str, Any]]]:
    """What a tokenizer gave for n rows, as tensors for the model: for each batch the indices (b,) of its rows, and the tensors.

    Rows are padded on the right, which changes nothing for a model with absolute or relative positions; with `left`, on the left.
    """
    for part in length_batches([len(ids) for ids in encoded["input_ids"]], tokens):
        fill = {name: pad or 0 if name == "input_ids" else 0 for name in encoded}
        passed = {name: pad_rows([rows[i] for i in part], fill[name], left=left) for name, rows in encoded.items()}
        yield part, {name: tensor.to(device) for name, tensor in passed.items()}


def pad_rows(rows: Sequence[Sequence[int]], value: int, *, left: bool = False) -> Any:
    """Rows of different lengths as one tensor (n, longest) of int64, padded with `value`."""
    import torch

    longest = max(map(len, rows))
    gaps = [[value] * (longest - len(row)) for row in rows]
    return torch.tensor([[*gap, *row] if left else [*row, *gap] for row, gap in zip(rows, gaps, strict=True)])


def attention_masks(rows: Sequence[list[int]]) -> list[list[int]]:
    """The attention mask of each row, for rows without padding."""
    return [[1] * len(row) for row in rows]


def plain_token_ids(tokenizer: Any, texts: Sequence[str]) -> list[list[int]]:
    """Token ids of each text, without special tokens around it."""
    if not texts:
        return []
    return list(tokenizer([encodable(text) for text in texts], add_special_tokens=False, verbose=False)["input_ids"])


def special_tokens_around(inner: list[int], outer: list[int]) -> tuple[list[int], list[int]]:
    """The special tokens before and after a text, from its ids without them (`inner`) and with them (`outer`).

    >>> special_tokens_around([7, 8], [101, 7, 8, 102])
    ([101], [102])
    """
    starts = range(len(outer) - len(inner) + 1)
    start = next(i for i in starts if outer[i : i + len(inner)] == inner)
    return outer[:start], outer[start + len(inner) :]
