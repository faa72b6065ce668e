"""A sample of a stream of texts, in one pass and constant memory: those with the smallest keyed hashes, in any order."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from hashlib import blake2b

SIZE = 20_000  # the most texts that the pool rung learns from


@dataclass
class Sample:
    """At most `size` rows of a stream, each a text with its known label, or None.

    Rows with a label are always kept. Equal texts have equal hashes, so all of
    them are sampled or none, except where the sample is full.
    """

    size: int = SIZE
    _labelled: list[tuple[str, str]] = field(default_factory=list)
    _others: list[tuple[bytes, str]] = field(default_factory=list)

    def add(self, texts: Iterable[str], labels: Iterable[str | None]) -> None:
        """Add rows of the stream."""
        for text, label in zip(texts, labels, strict=True):
            if label is not None:
                self._labelled.append((text, label))
            else:
                self._others.append((_key(text), text))
        if len(self._others) > 2 * self.size:
            self._others = sorted(self._others)[: self.size]

    def rows(self) -> tuple[list[str], list[str | None]]:
        """The sampled texts, and the label of each, or None."""
        others = sorted(self._others)[: self.size]
        texts = [text for text, _ in self._labelled] + [text for _, text in others]
        return texts, [label for _, label in self._labelled] + [None] * len(others)


def _key(text: str) -> bytes:
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8, key=b"rung").digest()
