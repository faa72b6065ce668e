"""Labels at the parents of a tree: y may say that a text lies under one, without saying where."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from rung import Classifier, UserError
from rung.decide.hierarchy import Tree
from rung.decide.parent_labels import parents_of, with_leaves
from rung.labels import Labels

TREE: dict[str, Any] = {
    "money": {"children": {"card": "payment card lost", "loan": "borrowing interest"}},
    "travel": {"children": {"flight": "airport luggage", "hotel": "room night"}},
}
# Words that say nothing of either parent to the backbone, so that only y can tell.
ODD = [f"{word} {i}" for i in range(8) for word in ("alpha", "omega")]
TEXTS = [
    *ODD,
    *(
        f"{word} {i}"
        for i in range(6)
        for word in ("my card was stolen", "a loan for a car", "flight to Rome", "hotel room")
    ),
]
GIVEN: list[Any] = [*["money", "travel"] * 8, *[None] * 24]


def test_a_parent_moves_texts_under_it() -> None:
    """Texts labelled with parents alone are learned from: others like them are then answered under these parents."""
    clf = Classifier(TREE, backbone="builtin", confidence=0.0)
    under = {"card": "money", "loan": "money", "flight": "travel", "hotel": "travel"}
    asked = [f"{word} {i}" for i in range(20, 26) for word in ("alpha", "omega")]
    truth = ["money", "travel"] * 6
    before = clf.fit(TEXTS).score(asked, truth)
    clf.fit(TEXTS, GIVEN)
    assert clf.rung_ == "shots"
    assert clf.score(asked, truth) == 1 > before
    assert [under[label] for label in clf.transduction_[:16]] == GIVEN[:16]


def test_what_is_given_stays_or_becomes_more_precise() -> None:
    """transduction_ has a label under the given parent where one is sure, else the parent itself; leaves stay."""
    y = [*GIVEN[:14], "loan", "hotel", *GIVEN[16:]]
    for confidence in (0.0, 0.9, 1.0):
        clf = Classifier(TREE, backbone="builtin", confidence=confidence).fit(TEXTS, y)
        tree = Tree.of(clf.parsed_labels())
        for given, label in zip(y[:16], clf.transduction_[:16], strict=True):
            assert given in tree.path(tree.values.index(label))
        assert clf.transduction_[14:16].tolist() == ["loan", "hotel"]


def test_texts_with_a_parent_are_not_suggested_again() -> None:
    """suggest counts them as labelled."""
    clf = Classifier(TREE, backbone="builtin").fit(TEXTS, GIVEN)
    assert set(clf.suggest(TEXTS, 20, GIVEN).tolist()) <= set(range(16, len(TEXTS)))


def test_unknown_names_are_still_told() -> None:
    """A misspelled parent is none of the labels."""
    with pytest.raises(UserError, match="'mony', which is none of the labels"):
        Classifier(TREE, backbone="builtin").fit(TEXTS[:1], ["mony"])


def test_the_likeliest_leaf_under_a_parent() -> None:
    """Only leaves under the parent are chosen; places of leaves, and −1, stay."""
    values, under = parents_of(Tree.of(Labels.parse(TREE)))
    assert values == ["money", "travel"]
    log_p = np.log(np.array([[0.1, 0.6, 0.2, 0.1]] * 4))  # card, flight, hotel, loan
    assert with_leaves(np.array([4, 5, 3, -1]), log_p, under).tolist() == [0, 1, 3, -1]
