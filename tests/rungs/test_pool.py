"""The pool rung: what unlabelled texts may change, and what they must not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from made import accuracy, clusters, of
from rung.errors import UserError
from rung.evidence import Evidence
from rung.rungs import pool as module
from rung.rungs.names import Names
from rung.rungs.pool import Pool, temperature


def test_texts_correct_names_that_lie_beside_their_clusters() -> None:
    """Where clusters are plain and names only near them, the pool answers better than the names."""
    evidence, truth = clusters([150] * 6, noise=0.2, astray=0.2)
    before, after = Names().log_posterior(evidence), Pool().fit(evidence).log_posterior(evidence)
    assert accuracy(after, truth) > 0.95 > 0.9 > accuracy(before, truth)


@settings(max_examples=25, deadline=None)
@given(n=st.integers(1, 40), k=st.integers(1, 12), d=st.integers(2, 16), seed=st.integers(0, 99))
def test_rows_are_probabilities(n: int, k: int, d: int, seed: int) -> None:
    """Whatever the sizes, every row is finite and sums to 1."""
    rng = np.random.default_rng(seed)
    evidence = of(rng.normal(size=(n, d)), rng.normal(size=(k, d)))
    posterior = np.exp(Pool().fit(evidence).log_posterior(evidence))
    assert posterior.shape == (n, k)
    assert posterior.sum(axis=1) == pytest.approx(np.ones(n), abs=1e-9)


def test_no_round_is_the_rung_below() -> None:
    """rounds=0 returns the names' answer unchanged."""
    evidence, _ = clusters([50] * 4)
    fitted = Pool(rounds=0).fit(evidence)
    assert (fitted.log_posterior(evidence) == Names().log_posterior(evidence)).all()
    assert fitted.guard_.startswith("given up")


@pytest.mark.parametrize("n", [0, 1, 2, 5])
def test_a_few_texts_leave_the_names_standing(n: int) -> None:
    """With 0, 1, 2 or 5 texts the probabilities stay within 1 % of the names'."""
    evidence, _ = clusters([10] * 4)
    few = evidence.of_texts(evidence.features[:n], [None] * n)
    after = np.exp(Pool().fit(few).log_posterior(evidence))
    assert after == pytest.approx(np.exp(Names().log_posterior(evidence)), abs=0.01)


@pytest.mark.parametrize("seed", range(3))
def test_order_of_texts_plays_no_part(seed: int) -> None:
    """Shuffling the texts moves no probability by 1e-3, sampled pools and landmarks included."""
    evidence, _ = clusters([80] * 5, seed=seed)
    shuffled = evidence.of_texts(np.random.default_rng(seed).permutation(evidence.features), [None] * 400)
    for pool in (Pool(), Pool(pool_size=300, landmarks=100)):
        one, other = pool.fit(evidence).log_posterior(evidence), pool.fit(shuffled).log_posterior(evidence)
        assert np.exp(other) == pytest.approx(np.exp(one), abs=1e-3)


def test_order_of_labels_plays_no_part() -> None:
    """Shuffling the labels shuffles the columns and moves no probability by 1e-3."""
    evidence, _ = clusters([80, 60, 40, 20])
    order = np.array([2, 0, 3, 1])
    turned = of(evidence.features, evidence.anchors[order])
    one, other = Pool().fit(evidence).log_posterior(evidence), Pool().fit(turned).log_posterior(turned)
    assert np.exp(other) == pytest.approx(np.exp(one)[:, order], abs=1e-3)


def test_a_text_is_answered_by_itself() -> None:
    """Once fitted, a text's answer does not depend on the texts asked beside it."""
    evidence, _ = clusters([60] * 4)
    fitted = Pool().fit(evidence)
    together = fitted.log_posterior(evidence)
    alone = np.vstack([fitted.log_posterior(evidence.of_texts(row[None], [None])) for row in evidence.features[:20]])
    assert alone == pytest.approx(together[:20], abs=1e-3)


def test_absent_labels_take_no_texts() -> None:
    """Labels that occur nowhere in the pool get under 5 % of its texts between them."""
    evidence, truth = clusters([150, 150, 150, 0, 0, 0], noise=0.15)
    answers = Pool().fit(evidence).log_posterior(evidence).argmax(axis=1)
    assert (answers >= 3).mean() < 0.05
    assert (answers == truth).mean() > 0.9


def test_skewed_labels_do_no_harm() -> None:
    """On shares from 64 to 1 the pool loses nothing against the names."""
    evidence, truth = clusters([320, 160, 80, 40, 20, 5], noise=0.15, astray=0.2)
    assert accuracy(Pool().fit(evidence).log_posterior(evidence), truth) >= accuracy(
        Names().log_posterior(evidence), truth
    )


def strangers(n: int = 400) -> tuple[Evidence, np.ndarray]:
    """Texts whose clusters lie across their names, which lean to the first of four labels, and the labels they lean to by rank."""
    rng = np.random.default_rng(0)
    truth = np.repeat(np.arange(4), n // 4)
    hints = 0.05 * np.eye(16)[truth] + 0.1 * np.eye(16)[0] + 0.01 * rng.normal(size=(n, 16))
    blobs = rng.normal(size=(n, 16)) + 3 * np.eye(16)[rng.integers(4, 8, n)]
    return of(np.hstack([blobs, 5 * hints]), np.hstack([np.zeros((4, 16)), np.eye(16)[:4]])), truth


def test_names_that_mean_nothing_to_the_texts_stand_alone() -> None:
    """Where clusters do not lie along the names, the guard gives up, says so, and the names' answer is returned."""
    rng = np.random.default_rng(0)
    texts = np.hstack(
        [rng.normal(size=(400, 16)) + 3 * np.repeat(np.eye(16)[:4], 100, axis=0), 0.01 * rng.normal(size=(400, 16))]
    )
    names = np.hstack([np.ones((4, 16)), rng.normal(size=(4, 16))])
    evidence = of(texts, names)
    fitted = Pool().fit(evidence)
    assert fitted.guard_.startswith("given up")
    assert (fitted.log_posterior(evidence) == Names().log_posterior(evidence)).all()


def test_texts_that_are_all_alike_change_nothing() -> None:
    """A pool of one text, repeated, gives finite answers and the same one to each."""
    evidence, _ = clusters([50] * 4)
    alike = evidence.of_texts(np.repeat(evidence.features[:1], 300, axis=0), [None] * 300)
    posterior = np.exp(Pool().fit(alike).log_posterior(alike))
    assert np.isfinite(posterior).all()
    assert posterior == pytest.approx(np.repeat(posterior[:1], 300, axis=0))


def test_unreadable_rows_teach_nothing() -> None:
    """Zero rows that are not ok leave what is learned from the others as it is."""
    evidence, _ = clusters([60] * 4)
    zeros = np.zeros((30, evidence.features.shape[1]), dtype=np.float32)
    dirty = evidence.of_texts(np.vstack([zeros, evidence.features]), ["the text is empty"] * 30 + [None] * 240)
    one, other = (Pool().fit(each).log_posterior(evidence) for each in (evidence, dirty))
    assert np.exp(other) == pytest.approx(np.exp(one), abs=1e-6)


def test_a_backbones_own_temperature_scales_its_scores() -> None:
    """Where a difference of .01 means what .05 means elsewhere, as between images and words, it counts five times as much."""
    evidence, _ = clusters([60, 60, 60])
    usual, sharp = Pool().fit(evidence), Pool().fit(replace(evidence, temperature=0.01))
    assert sharp.stretch_ == pytest.approx(5 * usual.stretch_)


def test_a_thousand_labels() -> None:
    """1 000 labels work, fewer dimensions and barely more texts than labels notwithstanding."""
    evidence, truth = clusters([2] * 1000, d=64, noise=0.02, astray=0.02)
    assert accuracy(Pool().fit(evidence).log_posterior(evidence), truth) > 0.9


def test_a_careful_reading_that_went_astray_gives_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shares look uneven, but the careful clusters hardly lie along the names and the free ones do: the free ones count."""
    evidence, _ = clusters([600, 150, 150], noise=0.2, astray=1.6)
    fitted = Pool().fit(evidence)
    assert fitted.evenness_ < 0.88
    assert fitted.freedom_ > 0.3
    monkeypatch.setattr(module, "_ASTRAY", (-2.0, -1.0))
    careful = Pool().fit(evidence)
    assert careful.freedom_ == 0
    assert fitted.alignment_ > careful.alignment_ > 0


def test_known_shares_are_kept() -> None:
    """With shares of .9 and .1 given, about a tenth of the texts get the second label, however the names lean."""
    evidence, _ = clusters([900, 100], noise=0.3, astray=0.5, seed=3)
    fitted = Pool(shares=np.array([0.9, np.nan])).fit(evidence)
    assert fitted.prior_[1] == pytest.approx(0.1, abs=0.03)


def test_balanced_is_equal_shares() -> None:
    """balanced=True and equal shares by number are the same request."""
    evidence, _ = clusters([100] * 3, noise=0.3)
    one = Pool(balanced=True).fit(evidence).log_posterior(evidence)
    assert (one == Pool(shares=np.full(3, 1 / 3)).fit(evidence).log_posterior(evidence)).all()


@pytest.mark.parametrize("shares", [{"balanced": True}, {"shares": np.array([0.25, np.nan, np.nan, 0.25])}])
def test_known_shares_count_where_the_pool_is_given_up(shares: dict[str, Any]) -> None:
    """Where the names lean to one label and the guard gives up, shares that a person gives put the names right, and it says so."""
    evidence, truth = strangers()
    alone, told = Pool().fit(evidence), Pool(**shares).fit(evidence)
    assert alone.weight_ == told.weight_ == 0
    assert "shares that were given" in told.guard_
    assert "shares" not in alone.guard_
    mean = np.exp(told.log_posterior(evidence)).mean(axis=0)
    assert mean[[0, 3]] == pytest.approx([0.25, 0.25], abs=0.03)
    assert accuracy(told.log_posterior(evidence), truth) > accuracy(alone.log_posterior(evidence), truth) + 0.2


def test_one_text_is_not_balanced() -> None:
    """A single text says nothing of how names lean: shares known or not, its answer stays within 5 % of the names'."""
    evidence, _ = clusters([10] * 4)
    one = evidence.of_texts(evidence.features[:1], [None])
    after = np.exp(Pool(balanced=True).fit(one).log_posterior(one))
    assert after == pytest.approx(np.exp(Names().log_posterior(one)), abs=0.05)


@pytest.mark.parametrize("shares", [[0.7, 0.7], [-0.1, np.nan], [0.2, 0.2], [0.5]])
def test_shares_that_cannot_be_are_refused(shares: list[float]) -> None:
    """Shares beyond [0, 1], not summing to 1 or not one a label end in a UserError that names them."""
    evidence, _ = clusters([10, 10])
    with pytest.raises(UserError, match="shares"):
        Pool(shares=np.array(shares)).fit(evidence)


def test_a_second_fit_forgets_the_first() -> None:
    """Fitting again on other texts is the same as fitting anew."""
    first, _ = clusters([100] * 4, noise=0.1)
    second, _ = clusters([200, 20, 20, 20], noise=0.3, seed=1)
    again = Pool().fit(first).fit(second)
    assert (again.log_posterior(second) == Pool().fit(second).log_posterior(second)).all()


def test_confidence_follows_what_the_pool_can_know() -> None:
    """On noisy texts mean confidence stays within 15 points of the accuracy; an untempered mixture is sure of everything."""
    evidence, truth = clusters([300] * 4, noise=0.5, astray=0.3)
    logs = Pool().fit(evidence).log_posterior(evidence)
    assert np.exp(logs).max(axis=1).mean() == pytest.approx(accuracy(logs, truth), abs=0.15)


@settings(max_examples=25, deadline=None)
@given(confidence=st.floats(0.3, 0.9), k=st.integers(4, 50))
def test_the_mean_confidence_is_what_was_asked_for(confidence: float, k: int) -> None:
    """Dividing by the temperature that is found makes the texts as sure as believed."""
    logits = 2 * np.random.default_rng(0).normal(size=(200, k)).astype(np.float32)
    scaled = np.exp(logits.astype(np.float64) / temperature(logits, confidence))
    assert (scaled.max(axis=1) / scaled.sum(axis=1)).mean() == pytest.approx(confidence, abs=1e-3)


@pytest.mark.parametrize(
    ("n", "alignment", "said"),
    [(30, 0.5, "too few"), (150, 0.5, "too few"), (5000, 0.19, "only somewhat"), (5000, 0.5, "kept: ")],
)
def test_the_guard_names_the_one_reason_that_counts_most(n: int, alignment: float, said: str) -> None:
    """Texts that match the names well are told to be too few, many texts that match badly are not."""
    pool = Pool()
    pool.texts_, pool.alignment_ = n, alignment
    pool.weight_ = pool.names_hold * (n / (n + 100)) ** 2
    sentence = pool._sentence(None)
    assert said in sentence
    assert ("too few" in sentence) + ("only somewhat" in sentence) <= 1
