"""The shots rung: what a few labels may change, and what they must not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from made import accuracy, clusters, of
from rung.rungs.pool import Pool
from rung.rungs.shots import Shots, _surely_behind


def some(truth: np.ndarray, each: int, seed: int = 0) -> np.ndarray:
    """Labels known of `each` texts a label, −1 elsewhere."""
    rng = np.random.default_rng(seed)
    known = np.full(len(truth), -1)
    for label in np.unique(truth):
        mine = rng.permutation(np.flatnonzero(truth == label))[:each]
        known[mine] = label
    return known


def test_without_labels_it_is_the_rung_below() -> None:
    """No label, or -1 everywhere, is the pool's answer unchanged."""
    evidence, truth = clusters([40] * 4)
    expected = Pool().fit(evidence).log_posterior(evidence)
    for known in (None, np.full(len(truth), -1)):
        assert (Shots().fit(evidence, known).log_posterior(evidence) == expected).all()


def test_labels_correct_names_that_are_wrong() -> None:
    """Where two names are exchanged, eight labels of each put them right."""
    evidence, truth = clusters([100] * 4, noise=0.2)
    exchanged = of(evidence.features, evidence.anchors[[1, 0, 2, 3]])
    known = some(truth, 8)
    rest = known < 0
    before = accuracy(Pool().fit(exchanged).log_posterior(exchanged)[rest], truth[rest])
    after = accuracy(Shots().fit(exchanged, known).log_posterior(exchanged)[rest], truth[rest])
    assert before < 0.6
    assert after > 0.95


@settings(max_examples=15, deadline=None)
@given(n=st.integers(1, 30), k=st.integers(1, 6), labelled=st.integers(1, 30), seed=st.integers(0, 99))
def test_rows_are_probabilities(n: int, k: int, labelled: int, seed: int) -> None:
    """However many texts, labels and known labels there are, every row is finite and sums to 1."""
    rng = np.random.default_rng(seed)
    evidence = of(rng.normal(size=(n, 8)), rng.normal(size=(k, 8)))
    known = np.where(np.arange(n) < labelled, rng.integers(0, k, n), -1)
    posterior = np.exp(Shots().fit(evidence, known).log_posterior(evidence))
    assert posterior.sum(axis=1) == pytest.approx(np.ones(n), abs=1e-9)


def test_one_label_in_all_does_no_harm() -> None:
    """A single labelled text, and be its label wrong, leaves the pool's accuracy within a point."""
    evidence, truth = clusters([100] * 4, noise=0.3, astray=0.15)
    known = np.full(len(truth), -1)
    known[0] = (truth[0] + 1) % 4
    fitted = Shots().fit(evidence, known)
    assert (
        accuracy(fitted.log_posterior(evidence), truth) >= accuracy(fitted.below.log_posterior(evidence), truth) - 0.01
    )


def test_order_of_texts_plays_no_part() -> None:
    """Shuffling texts and labels together moves no probability by 1e-3."""
    evidence, truth = clusters([60] * 4, noise=0.3)
    known, order = some(truth, 5), np.random.default_rng(1).permutation(240)
    shuffled = evidence.of_texts(evidence.features[order], [None] * 240)
    one = Shots().fit(evidence, known).log_posterior(evidence)
    other = Shots().fit(shuffled, known[order]).log_posterior(evidence)
    assert np.exp(other) == pytest.approx(np.exp(one), abs=1e-3)


def test_order_of_labels_plays_no_part() -> None:
    """Shuffling the labels shuffles the columns and moves no probability by 1e-3."""
    evidence, truth = clusters([60] * 4, noise=0.3)
    known, order = some(truth, 5), np.array([2, 0, 3, 1])
    turned, place = of(evidence.features, evidence.anchors[order]), np.argsort(order)
    one = Shots().fit(evidence, known).log_posterior(evidence)
    other = Shots().fit(turned, np.where(known >= 0, place[known], -1)).log_posterior(turned)
    assert np.exp(other) == pytest.approx(np.exp(one)[:, order], abs=1e-3)


def test_every_text_labelled_is_as_good_as_logistic_regression() -> None:
    """With all labels known, new texts are answered within a point of logistic regression."""
    evidence, truth = clusters([200] * 5, noise=0.5, astray=1.0)
    train, test = np.arange(700), np.arange(700, 1000)
    known = evidence.of_texts(evidence.features[train], [None] * 700)
    new = evidence.of_texts(evidence.features[test], [None] * 300)
    ours = accuracy(Shots().fit(known, truth[train]).log_posterior(new), truth[test])
    theirs = (
        LogisticRegression(C=10).fit(evidence.features[train], truth[train]).score(evidence.features[test], truth[test])
    )
    assert ours >= theirs - 0.01


@pytest.mark.parametrize("k", [2, 3])
def test_labels_without_names_are_learned_from_texts_alone(k: int) -> None:
    """Where anchors are zero, names say nothing and the pool gives up; labelled texts are as good as logistic regression's."""
    evidence, truth = clusters([150] * k, noise=0.5)
    nameless = replace(evidence, anchors=np.zeros_like(evidence.anchors))
    train, test = np.arange(100 * k), np.arange(100 * k, 150 * k)
    known, new = (nameless.of_texts(evidence.features[part], [None] * len(part)) for part in (train, test))
    fitted = Shots().fit(known, truth[train])
    theirs = (
        LogisticRegression(C=10).fit(evidence.features[train], truth[train]).score(evidence.features[test], truth[test])
    )
    assert fitted.below.weight_ == 0
    assert np.exp(fitted.below.log_posterior(new)) == pytest.approx(1 / k)
    assert accuracy(fitted.log_posterior(new), truth[test]) >= theirs - 0.02


@pytest.mark.parametrize(("n", "k"), [(1, 1), (1, 2), (1, 3000), (2, 2), (5, 3000)])
@pytest.mark.parametrize("named", [True, False])
def test_any_number_of_texts_and_labels(n: int, k: int, named: bool) -> None:
    """From one text to five, two labels to thousands, with names or without, all labelled or but one: rows sum to 1."""
    rng = np.random.default_rng(0)
    evidence = of(rng.normal(size=(n, 16)), named * rng.normal(size=(k, 16)))
    for known in (np.arange(n) % k, np.where(np.arange(n) == 0, k - 1, -1)):
        posterior = np.exp(Shots().fit(evidence, known).log_posterior(evidence))
        assert posterior.sum(axis=1) == pytest.approx(np.ones(n), abs=1e-9)


def test_labels_of_one_kind_only() -> None:
    """Labels given for one label alone do not turn every text into it."""
    evidence, truth = clusters([100] * 4, noise=0.3)
    known = np.where(truth == 0, truth, -1)
    known[np.flatnonzero(truth == 0)[5:]] = -1
    answers = Shots().fit(evidence, known).log_posterior(evidence).argmax(axis=1)
    assert (answers == truth).mean() > 0.8


def test_labels_of_unreadable_texts_do_not_count() -> None:
    """A label on a text that could not be read teaches nothing."""
    evidence, _ = clusters([30] * 3)
    features = np.vstack([np.zeros((1, 24), dtype=np.float32), evidence.features])
    dirty = evidence.of_texts(features, ["the text is empty"] + [None] * 90)
    assert Shots().fit(dirty, np.array([1] + [-1] * 90)).labels_ == 0


def test_a_second_fit_forgets_the_first() -> None:
    """Fitting again without labels leaves nothing of the labels given before."""
    evidence, truth = clusters([40] * 4, noise=0.3)
    fitted = Shots().fit(evidence, some(truth, 5)).fit(evidence)
    assert (fitted.log_posterior(evidence) == Pool().fit(evidence).log_posterior(evidence)).all()


def test_what_is_surely_less_often_right_is_left_out() -> None:
    """Of 400 labels one head is right 10 points less often than the best, another as often by other labels: the first goes."""
    right = np.zeros((400, 3))
    right[:360, 0] = right[:320, 1] = right[40:, 2] = 1
    assert _surely_behind(right).tolist() == [False, True, False]


def test_heads_that_no_label_speaks_for_do_not_outvote_the_pool() -> None:
    """A label of each: no head that counts weighs less than a twentieth of the heaviest one."""
    evidence, truth = clusters([60] * 3, noise=0.3)
    weights = list(Shots().fit(evidence, some(truth, 1)).heads_.values())
    assert sum(weights) == pytest.approx(1)
    assert min(weights) >= 0.05 * max(weights)
