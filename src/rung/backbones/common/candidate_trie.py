"""A prefix tree (trie) of the candidates' tokens, so that a prefix that several candidates share is read once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

Indices = npt.NDArray[np.intp]
ROOT = -1  # the prompt's last token, which comes before every candidate


@dataclass(frozen=True, eq=False)
class Trie:
    """The distinct prefixes of k candidates as m nodes: each node is a token that follows its parent; parents come before children.

    log p(candidate | prompt) = Σ log p(node | its ancestors, prompt) over the nodes from its first token to its last

    The model gives a node's probability at the node's parent, so it only has to read the nodes that have children (`inner`).
    Of candidates of one token it reads none; it reads a candidate's last token only where another candidate continues it.

    >>> trie = Trie.of([[5, 6, 7], [5, 6, 8], [5], [9]])
    >>> trie.tokens.tolist(), trie.parents.tolist(), trie.ends.tolist()
    ([5, 6, 7, 8, 9], [-1, 0, 1, 1, -1], [2, 3, 0, 4])
    >>> trie.inner.tolist(), trie.branches
    ([0, 1], [[0, 1]])
    """

    tokens: Indices  # (m,)
    parents: Indices  # (m,) indices of nodes, or ROOT
    ends: Indices  # (k,) the node of each candidate's last token, or ROOT for a candidate without tokens

    @classmethod
    def of(cls, candidates: Sequence[Sequence[int]]) -> Trie:
        """The trie of the candidates' token ids; equal candidates share all nodes."""
        indices: dict[tuple[int, int], int] = {}  # (parent, token) → node
        ends = []
        for candidate in candidates:
            node = ROOT
            for token in candidate:
                node = indices.setdefault((node, token), len(indices))
            ends.append(node)
        pairs = np.array(list(indices), dtype=np.intp).reshape(-1, 2)
        return cls(pairs[:, 1], pairs[:, 0], np.array(ends, dtype=np.intp))

    @cached_property
    def children(self) -> dict[int, list[int]]:
        """The children of each inner node and of ROOT."""
        found: dict[int, list[int]] = {}
        for node, parent in enumerate(self.parents.tolist()):
            found.setdefault(parent, []).append(node)
        return found

    @cached_property
    def inner(self) -> Indices:
        """The nodes that have children, parents first."""
        return np.unique(self.parents[self.parents != ROOT])

    @cached_property
    def depths(self) -> Indices:
        """How many ancestors each node has (m,)."""
        return np.array([len(self.path(node)) - 1 for node in range(len(self.tokens))], dtype=np.intp)

    @cached_property
    def branches(self) -> list[list[int]]:
        """The path from a first token to each inner node that has no inner node below it; together they hold all inner nodes."""
        above = set(self.parents[self.inner].tolist())
        return [self.path(node) for node in self.inner.tolist() if node not in above]

    def path(self, node: int) -> list[int]:
        """The nodes from a first token to `node`, itself included."""
        found = []
        while node != ROOT:
            found.append(node)
            node = int(self.parents[node])
        return found[::-1]

    def chunks(self, most: int) -> Iterator[Indices]:
        """The inner nodes in chunks of at most `most` nodes, or of one branch where that is longer.

        Every chunk holds all ancestors of its nodes, so a node may be in several chunks.
        """
        chunk: set[int] = set()
        for branch in self.branches:
            if chunk and len(chunk.union(branch)) > most:
                yield np.array(sorted(chunk), dtype=np.intp)
                chunk = set()
            chunk.update(branch)
        if chunk:
            yield np.array(sorted(chunk), dtype=np.intp)

    def visibility(self, chunk: Indices) -> npt.NDArray[np.bool_]:
        """Which nodes of a chunk (p, p) each of them may attend to: its ancestors and itself."""
        where = {node: i for i, node in enumerate(chunk.tolist())}
        found = np.eye(len(chunk), dtype=bool)
        for i, parent in enumerate(self.parents[chunk].tolist()):
            if parent != ROOT:
                found[i] |= found[where[parent]]
        return found

    def children_of(self, chunk: Sequence[int]) -> tuple[Indices, Indices]:
        """The children of the nodes in `chunk`, and for each child the index in `chunk` of its parent."""
        pairs = [(child, i) for i, node in enumerate(chunk) for child in self.children.get(node, ())]
        found = np.array(pairs, dtype=np.intp).reshape(-1, 2)
        return found[:, 0], found[:, 1]

    def candidate_sums(self, log_p: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """The sum (n, k) over each candidate's nodes of their `log_p` (n, m); 0 for a candidate without tokens."""
        sums = np.zeros((len(log_p), len(self.tokens) + 1))  # the last column is ROOT's
        for node, parent in enumerate(self.parents.tolist()):
            sums[:, node] = log_p[:, node] + sums[:, parent]
        return sums[:, self.ends].astype(np.float32)


def common_prefix_length(rows: Sequence[Sequence[int]]) -> int:
    """How many tokens all rows begin with; at least one token of each row is left over.

    >>> common_prefix_length([[1, 2, 3, 4], [1, 2, 3, 5, 6], [1, 2, 3]])
    2
    """
    first, last = (
        min(map(list, rows)),
        max(map(list, rows)),
    )  # a prefix of both is one of all rows that sort between them
    most = min(map(len, rows)) - 1
    return next((i for i in range(most) if first[i] != last[i]), most)
