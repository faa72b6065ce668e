"""Candidates as a tree of tokens, so that what several of them begin with is read once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

Places = npt.NDArray[np.intp]
ROOT = -1  # the prompt's last token, which every candidate follows


@dataclass(frozen=True, eq=False)
class Trie:
    """The distinct beginnings of k candidates: m nodes, each a token after its parent, parents before their children.

    log p(candidate | prompt) = Σ log p(node | its ancestors, prompt) over the nodes from its first token to its last

    A node's probability is read from its parent, so a model only has to read the nodes that have children (`inner`): of
    candidates of one token each it reads none, and a candidate's last token is read only where another one goes on from it.

    >>> trie = Trie.of([[5, 6, 7], [5, 6, 8], [5], [9]])
    >>> trie.tokens.tolist(), trie.parents.tolist(), trie.ends.tolist()
    ([5, 6, 7, 8, 9], [-1, 0, 1, 1, -1], [2, 3, 0, 4])
    >>> trie.inner.tolist(), trie.branches
    ([0, 1], [[0, 1]])
    """

    tokens: Places  # (m,)
    parents: Places  # (m,) places of nodes, or ROOT
    ends: Places  # (k,) the node of each candidate's last token, or ROOT for a candidate without tokens

    @classmethod
    def of(cls, candidates: Sequence[Sequence[int]]) -> Trie:
        """The tree of the candidates' token ids; equal candidates share all nodes."""
        places: dict[tuple[int, int], int] = {}  # (parent, token) → node
        ends = []
        for candidate in candidates:
            node = ROOT
            for token in candidate:
                node = places.setdefault((node, token), len(places))
            ends.append(node)
        pairs = np.array(list(places), dtype=np.intp).reshape(-1, 2)
        return cls(pairs[:, 1], pairs[:, 0], np.array(ends, dtype=np.intp))

    @cached_property
    def children(self) -> dict[int, list[int]]:
        """The nodes after each inner node and after ROOT."""
        found: dict[int, list[int]] = {}
        for node, parent in enumerate(self.parents.tolist()):
            found.setdefault(parent, []).append(node)
        return found

    @cached_property
    def inner(self) -> Places:
        """The nodes that something follows, parents first."""
        return np.unique(self.parents[self.parents != ROOT])

    @cached_property
    def depths(self) -> Places:
        """How many nodes stand before each (m,)."""
        return np.array([len(self.path(node)) - 1 for node in range(len(self.tokens))], dtype=np.intp)

    @cached_property
    def branches(self) -> list[list[int]]:
        """The paths from a first token down to each inner node after which no inner node comes; they hold all inner nodes."""
        above = set(self.parents[self.inner].tolist())
        return [self.path(node) for node in self.inner.tolist() if node not in above]

    def path(self, node: int) -> list[int]:
        """The nodes down to `node`, itself included."""
        found = []
        while node != ROOT:
            found.append(node)
            node = int(self.parents[node])
        return found[::-1]

    def parts(self, most: int) -> Iterator[Places]:
        """The inner nodes in parts of at most `most`, or one branch, each with all ancestors: some are then in several parts."""
        part: set[int] = set()
        for branch in self.branches:
            if part and len(part.union(branch)) > most:
                yield np.array(sorted(part), dtype=np.intp)
                part = set()
            part.update(branch)
        if part:
            yield np.array(sorted(part), dtype=np.intp)

    def sees(self, part: Places) -> npt.NDArray[np.bool_]:
        """Which nodes of a part (p, p) each of them follows, itself included."""
        where = {node: i for i, node in enumerate(part.tolist())}
        found = np.eye(len(part), dtype=bool)
        for i, parent in enumerate(self.parents[part].tolist()):
            if parent != ROOT:
                found[i] |= found[where[parent]]
        return found

    def following(self, part: Sequence[int]) -> tuple[Places, Places]:
        """The children of the nodes in `part`, and the place in `part` of each one's parent."""
        pairs = [(child, i) for i, node in enumerate(part) for child in self.children.get(node, ())]
        found = np.array(pairs, dtype=np.intp).reshape(-1, 2)
        return found[:, 0], found[:, 1]

    def totals(self, steps: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """The sum (n, k) over each candidate's nodes of `steps` (n, m); 0 for a candidate without tokens."""
        sums = np.zeros((len(steps), len(self.tokens) + 1))  # the last column is ROOT's
        for node, parent in enumerate(self.parents.tolist()):
            sums[:, node] = steps[:, node] + sums[:, parent]
        return sums[:, self.ends].astype(np.float32)


def shared(rows: Sequence[Sequence[int]]) -> int:
    """How many tokens all rows begin with, leaving at least one of each.

    >>> shared([[1, 2, 3, 4], [1, 2, 3, 5, 6], [1, 2, 3]])
    2
    """
    first, last = min(map(list, rows)), max(map(list, rows))  # what these two begin with, all between them do
    most = min(map(len, rows)) - 1
    return next((i for i in range(most) if first[i] != last[i]), most)
