"""The labels of a classifier as indices, with the parents of a tree behind its leaves."""

from __future__ import annotations

import numpy as np

from rung.decide.correctness import NONE_OF_THESE_INDEX
from rung.estimator.label_space import LabelSpace
from rung.labels import Labels, as_array

LABELS = Labels.parse({10: {"children": [1, 2]}, 20: {"children": [3]}})
TREE = LabelSpace.of(as_array(LABELS.values), LABELS)


def test_parents_have_the_indices_after_the_leaves() -> None:
    """y may name leaves and parents; a parent stands for its best leaf where leaves are needed."""
    assert TREE.names == [1, 2, 3, 10, 20]
    known = TREE.encode([10, 3, None, "none of these"], 4)
    assert known.tolist() == [3, 2, -1, NONE_OF_THESE_INDEX]
    assert TREE.names_parent(known).tolist() == [True, False, False, False]
    assert TREE.leaves_of(known, np.array([[0.1, 0.2, 0.7]] * 4)).tolist() == [1, 2, -1, NONE_OF_THESE_INDEX]


def test_given_labels_replace_answers_unless_the_answer_is_more_precise() -> None:
    """A given leaf is kept, a given parent only where the answer does not lie under it, and "none of these" is None."""
    answers = np.array([3, 2, 3, 1, 1], dtype=object)
    kept = TREE.keep_given(answers, TREE.encode([1, 10, 10, "none of these", None], 5))
    assert kept.tolist() == [1, 2, 10, None, 1]


def test_answers_have_the_type_of_the_labels() -> None:
    """An array of int where all labels are int, and of objects where an answer is missing."""
    assert TREE.as_answers(np.array([1, 10], dtype=object)).dtype.kind == "i"
    assert TREE.as_answers(np.array([1, None], dtype=object)).dtype.kind == "O"


def test_unknown_labels_are_refused_only_where_labels_were_given_by_name() -> None:
    """Labels taken from y do not say which other labels exist, so the truth may hold others."""
    from_y = LabelSpace.of(as_array(["a", "b"]), None)
    assert (from_y.encode_truth(["a", "c"], 2) >= 0).tolist() == [True, False]
