"""Candidates as a trie: the sums along its paths are the sums over each candidate, whatever prefixes the candidates share."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from rung.backbones.common.candidate_trie import ROOT, Trie, common_prefix_length

CANDIDATES = st.lists(st.lists(st.integers(0, 3), max_size=5), max_size=12)


@given(CANDIDATES)
def test_each_candidate_is_a_path(candidates: list[list[int]]) -> None:
    """The tokens on the path to the end of a candidate are the candidate's tokens."""
    trie = Trie.of(candidates)
    assert [trie.tokens[trie.path(end)].tolist() for end in trie.ends.tolist()] == candidates
    distinct = {tuple(each[:end]) for each in candidates for end in range(1, len(each) + 1)}
    assert len(trie.tokens) == len(distinct)


@given(CANDIDATES)
def test_candidate_sums_are_sums_over_tokens(candidates: list[list[int]]) -> None:
    """A candidate's sum is the sum of the log-probabilities of its own tokens."""
    trie = Trie.of(candidates)
    log_p = np.random.default_rng(0).random((2, len(trie.tokens)), dtype=np.float32)
    expected = [[log_p[row, trie.path(end)].sum() for end in trie.ends.tolist()] for row in range(2)]
    assert np.allclose(trie.candidate_sums(log_p), np.array(expected).reshape(2, len(candidates)), atol=1e-5)


@given(CANDIDATES, st.integers(1, 6))
def test_chunks_hold_all_inner_nodes(candidates: list[list[int]], most: int) -> None:
    """Every inner node is in a chunk together with all its ancestors; no chunk exceeds `most` nodes, or one branch."""
    trie = Trie.of(candidates)
    chunks = list(trie.chunks(most))
    assert set(trie.inner.tolist()) == {node for chunk in chunks for node in chunk.tolist()}
    for chunk in chunks:
        assert len(chunk) <= max(most, *(len(branch) for branch in trie.branches))
        for node, seen in zip(chunk.tolist(), trie.visibility(chunk), strict=True):
            assert chunk[seen].tolist() == trie.path(node)


@given(CANDIDATES, st.integers(1, 6))
def test_every_node_is_a_child_once(candidates: list[list[int]], most: int) -> None:
    """The children of the root and of all chunks are all nodes, each with its own parent."""
    trie = Trie.of(candidates)
    found = set()
    for chunk in ([ROOT], *(each.tolist() for each in trie.chunks(most))):
        nodes, parents = trie.children_of(chunk)
        assert [chunk[i] for i in parents] == trie.parents[nodes].tolist()
        found |= set(nodes.tolist())
    assert found == set(range(len(trie.tokens)))


@given(st.lists(st.lists(st.integers(0, 1), min_size=1), min_size=1))
def test_the_common_prefix_leaves_a_token_of_each_row(rows: list[list[int]]) -> None:
    """All rows begin alike up to the common prefix length and no further, and each has a token left after it."""
    size = common_prefix_length(rows)
    assert len({tuple(row[:size]) for row in rows}) == 1
    assert size < min(map(len, rows))
    assert size == min(map(len, rows)) - 1 or len({row[size] for row in rows}) > 1
