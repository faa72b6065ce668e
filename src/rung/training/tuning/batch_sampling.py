"""Sample all batches of a training in advance from a seed, so that a resumed run sees the same batches."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Indices = npt.NDArray[np.intp]


def label_balanced_batches(labels: Indices, size: int, count: int, seed: int) -> Indices:
    """Indices (size · count,) of texts: batches of `size`, balanced over the labels, with at least two texts of each sampled label.

    The memory grows with the number of sampled texts, not of pairs.
    """
    rng = np.random.default_rng(seed)
    present = np.unique(labels)
    cycles = {label: _ShuffledCycle(np.flatnonzero(labels == label), rng) for label in present}
    label_cycle = _ShuffledCycle(present, rng)
    each = max(2, size // len(present))
    sampled: list[int] = []
    while len(sampled) < size * count:
        label = next(label_cycle)
        sampled += [int(next(cycles[label])) for _ in range(min(each, size - len(sampled) % size))]
    return np.array(sampled, dtype=np.intp)


def shuffled_passes(n: int, size: int, count: int, seed: int) -> Indices:
    """Indices (size · count,) of n texts, in shuffled passes: every text is used once before any is used again."""
    cycle = _ShuffledCycle(np.arange(n), np.random.default_rng(seed))
    return np.array([next(cycle) for _ in range(size * count)], dtype=np.intp)


def augment_texts(
    texts: Sequence[str], *, word_dropout: float, rare_words: float, unknown_token: str, seed: int
) -> list[str]:
    """Augment texts: each word is dropped with probability `word_dropout`, and each word that occurs in a single text is replaced
    by `unknown_token` with probability `rare_words`.

    >>> augment_texts(["one two three four", "one two"], word_dropout=0.0, rare_words=0.99, unknown_token="?", seed=0)
    ['one two ? ?', 'one two']
    """
    if not word_dropout and not rare_words:
        return list(texts)
    rng = np.random.default_rng(seed)
    text_counts = Counter(word for text in set(texts) for word in set(text.split()))
    return [
        _augment_words(text.split(), text_counts, word_dropout, rare_words, unknown_token, rng) or text
        for text in texts
    ]


def _augment_words(
    words: list[str],
    text_counts: Counter[str],
    word_dropout: float,
    rare_words: float,
    unknown_token: str,
    rng: np.random.Generator,
) -> str:
    hidden = [
        unknown_token if text_counts[word] == 1 and draw < rare_words else word
        for word, draw in zip(words, rng.random(len(words)), strict=True)
    ]
    return " ".join(word for word, draw in zip(hidden, rng.random(len(words)), strict=True) if draw >= word_dropout)


class _ShuffledCycle:
    """An endless iterator over the items, in a new random order for each pass."""

    def __init__(self, items: npt.NDArray[np.generic], rng: np.random.Generator) -> None:
        self.items, self.rng = items, rng
        self.remaining: list[int] = []

    def __next__(self) -> int:
        if not self.remaining:
            self.remaining = self.rng.permutation(self.items).tolist()
        return self.remaining.pop()
