"""Which texts a training sees, step by step: drawn beforehand from a seed, so that a run that is stopped goes on alike."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Indices = npt.NDArray[np.intp]


def by_label(labels: Indices, size: int, count: int, seed: int) -> Indices:
    """Places (size · count,) of texts: batches of `size` that hold two texts of a label at least, all labels equally often.

    Memory grows with the texts that are drawn, not with pairs of texts.
    """
    rng = np.random.default_rng(seed)
    present = np.unique(labels)
    decks = {label: _deck(np.flatnonzero(labels == label), rng) for label in present}
    turns = _deck(present, rng)
    each = max(2, size // len(present))
    drawn: list[int] = []
    while len(drawn) < size * count:
        label = next(turns)
        drawn += [int(next(decks[label])) for _ in range(min(each, size - len(drawn) % size))]
    return np.array(drawn, dtype=np.intp)


def by_pass(n: int, size: int, count: int, seed: int) -> Indices:
    """Places (size · count,) of n texts: each once before any comes again."""
    deck = _deck(np.arange(n), np.random.default_rng(seed))
    return np.array([next(deck) for _ in range(size * count)], dtype=np.intp)


def changed(texts: Sequence[str], *, dropped: float, rare: float, unknown: str, seed: int) -> list[str]:
    """Texts as a training may see them: words left out, and words of a single text replaced by `unknown`.

    >>> changed(["one two three four", "one two"], dropped=0.0, rare=0.99, unknown="?", seed=0)
    ['one two ? ?', 'one two']
    """
    if not dropped and not rare:
        return list(texts)
    rng = np.random.default_rng(seed)
    seen = Counter(word for text in set(texts) for word in set(text.split()))
    return [_changed(text.split(), seen, dropped, rare, unknown, rng) or text for text in texts]


def _changed(
    words: list[str], seen: Counter[str], dropped: float, rare: float, unknown: str, rng: np.random.Generator
) -> str:
    hidden = [
        unknown if seen[word] == 1 and draw < rare else word
        for word, draw in zip(words, rng.random(len(words)), strict=True)
    ]
    return " ".join(word for word, draw in zip(hidden, rng.random(len(words)), strict=True) if draw >= dropped)


class _deck:  # noqa: N801 - an endless iterator, used like a function
    """Items in a random order, shuffled anew whenever all have been dealt."""

    def __init__(self, items: npt.NDArray[np.generic], rng: np.random.Generator) -> None:
        self.items, self.rng = items, rng
        self.left: list[int] = []

    def __next__(self) -> int:
        if not self.left:
            self.left = self.rng.permutation(self.items).tolist()
        return self.left.pop()
