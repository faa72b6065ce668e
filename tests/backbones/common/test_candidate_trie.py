"""Candidates as a tree: sums along it are sums over each candidate, whatever the candidates share."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from rung.backbones.common.candidate_trie import ROOT, Trie, shared

SOME = st.lists(st.lists(st.integers(0, 3), max_size=5), max_size=12)


@given(SOME)
def test_each_candidate_is_a_path(candidates: list[list[int]]) -> None:
    """The tokens on the way down to where a candidate ends are the candidate."""
    trie = Trie.of(candidates)
    assert [trie.tokens[trie.path(end)].tolist() for end in trie.ends.tolist()] == candidates
    distinct = {tuple(each[:end]) for each in candidates for end in range(1, len(each) + 1)}
    assert len(trie.tokens) == len(distinct)


@given(SOME)
def test_totals_are_sums_over_tokens(candidates: list[list[int]]) -> None:
    """A candidate's total is the sum of the steps of its own tokens, each after what comes before it."""
    trie = Trie.of(candidates)
    steps = np.random.default_rng(0).random((2, len(trie.tokens)), dtype=np.float32)
    expected = [[steps[row, trie.path(end)].sum() for end in trie.ends.tolist()] for row in range(2)]
    assert np.allclose(trie.totals(steps), np.array(expected).reshape(2, len(candidates)), atol=1e-5)


@given(SOME, st.integers(1, 6))
def test_parts_hold_all_that_must_be_read(candidates: list[list[int]], most: int) -> None:
    """Every node that something follows is in a part, with all its ancestors; no part is larger than `most`, or one branch."""
    trie = Trie.of(candidates)
    parts = list(trie.parts(most))
    assert set(trie.inner.tolist()) == {node for part in parts for node in part.tolist()}
    for part in parts:
        assert len(part) <= max(most, *(len(branch) for branch in trie.branches))
        for node, seen in zip(part.tolist(), trie.sees(part), strict=True):
            assert part[seen].tolist() == trie.path(node)


@given(SOME, st.integers(1, 6))
def test_every_step_is_told(candidates: list[list[int]], most: int) -> None:
    """The children of the root and of all parts are all nodes, each by its own parent."""
    trie = Trie.of(candidates)
    told = set()
    for part in ([ROOT], *(each.tolist() for each in trie.parts(most))):
        nodes, parents = trie.following(part)
        assert [part[i] for i in parents] == trie.parents[nodes].tolist()
        told |= set(nodes.tolist())
    assert told == set(range(len(trie.tokens)))


@given(st.lists(st.lists(st.integers(0, 1), min_size=1), min_size=1))
def test_what_is_shared_leaves_something(rows: list[list[int]]) -> None:
    """All rows begin alike for as long as is said, no longer, and each has a token left."""
    size = shared(rows)
    assert len({tuple(row[:size]) for row in rows}) == 1
    assert size < min(map(len, rows))
    assert size == min(map(len, rows)) - 1 or len({row[size] for row in rows}) > 1
