"""Trees: probabilities that add up, answers as deep as they are confident."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rung import UserError
from rung.decide.hierarchy import Tree
from rung.labels import Labels

LABELS = Labels.parse(
    {
        "money": {"children": {"card": {"children": ["lost", "stolen"]}, "loan": ""}},
        "travel": {"children": ["visa"]},
        "zoo": "",
    }
)
TREE = Tree.of(LABELS)  # leaves: loan, lost, stolen, visa, zoo


def leaves(seed: int, n: int = 20) -> np.ndarray:
    return np.random.default_rng(seed).dirichlet(np.full(len(LABELS), 0.5), size=n)


@given(seed=st.integers(0, 999))
def test_a_parent_is_the_sum_of_its_children(seed: int) -> None:
    """The probability of every node is the sum of its children's, and the labels at the top sum to 1."""
    chances = TREE.probabilities(leaves(seed))
    for node in range(len(TREE.names)):
        children = TREE.parents == node
        if children.any():
            assert chances[:, node] == pytest.approx(chances[:, children].sum(axis=1))
    assert chances[:, TREE.parents < 0].sum(axis=1) == pytest.approx(1)


@given(seed=st.integers(0, 999), low=st.floats(0, 1), more=st.floats(0, 1))
def test_more_confidence_only_shortens_the_path(seed: int, low: float, more: float) -> None:
    """The answer at a higher confidence is the same label or one above it, or none."""
    chances = leaves(seed)
    deep, shallow = TREE.answers(chances, low), TREE.answers(chances, min(low + more, 1.0))
    for a, b in zip(deep, shallow, strict=True):
        assert TREE.path(a)[: len(TREE.path(b))] == TREE.path(b)


@given(seed=st.integers(0, 999), confidence=st.floats(0.51, 1))
def test_the_answer_is_the_deepest_confident_label(seed: int, confidence: float) -> None:
    """Above one half only one path reaches the confidence, and the answer is its end."""
    chances = TREE.probabilities(leaves(seed))
    for row, answer in zip(chances, TREE.answers(leaves(seed), confidence), strict=True):
        confident = [node for node in range(len(row)) if row[node] >= confidence]
        deepest = max(confident, key=lambda node: len(TREE.path(node)), default=-1)
        assert answer == deepest


def test_without_confidence_the_answer_is_a_leaf() -> None:
    """At 0 every text gets a label without children."""
    assert set(TREE.answers(leaves(1, 200), 0)) <= {TREE.names.index(name) for name in LABELS.names}


def test_a_path_names_all_levels() -> None:
    """A path goes from the top down; no answer has no path."""
    assert TREE.path(TREE.names.index("stolen")) == ("money", "card", "stolen")
    assert TREE.path(-1) == ()


def test_a_flat_list_is_a_tree_of_one_level() -> None:
    """Its probabilities are those of the labels, its answer the most probable one."""
    flat = Labels.parse(["a", "b", "c"])
    chances = np.array([[0.2, 0.5, 0.3]])
    assert Tree.of(flat).probabilities(chances) == pytest.approx(chances)
    assert Tree.of(flat).answers(chances, 0.5).tolist() == [1]
    assert Tree.of(flat).answers(chances, 0.6).tolist() == [-1]


def test_a_confidence_that_is_no_probability_is_refused() -> None:
    """The error names the value."""
    with pytest.raises(UserError, match="confidence: got 50"):
        TREE.answers(leaves(0), 50)
