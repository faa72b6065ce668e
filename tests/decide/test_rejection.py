"""None of these: scores compared with general texts, thresholds, probabilities."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rung import UserError
from rung.decide.rejection import Reject, label_means
from rung.evidence import Array, unit

K, D = 5, 24


def around(centers: Array, n: int, spread: float, seed: int) -> Array:
    rng = np.random.default_rng(seed)
    return unit((centers[rng.integers(len(centers), size=n)] + spread * rng.normal(size=(n, D))).astype(np.float32))


MEANS = np.eye(K, D, dtype=np.float32)
FOREIGN = np.eye(D, dtype=np.float32)[10:]
GENERAL = around(FOREIGN, 100, 0.15, 1)


def pool(n: int = 400, foreign: int = 0) -> Array:
    return np.concatenate([around(MEANS, n - foreign, 0.15, 2), around(FOREIGN, foreign, 0.15, 3)])


def test_foreign_texts_are_rejected_and_others_kept() -> None:
    """With a tenth of the pool out of scope, `auto` finds about that share and rejects hardly any other text."""
    texts = pool(foreign=40)
    reject = Reject().fit(texts, MEANS, GENERAL)
    rejected = reject.rejected(texts)
    assert rejected[-40:].mean() > 0.8
    assert rejected[:-40].mean() < 0.02
    assert reject.share_ == pytest.approx(0.1, abs=0.03)


def test_auto_keeps_a_clean_pool() -> None:
    """Where all texts are in scope, `auto` rejects almost none."""
    assert Reject().fit(pool(), MEANS, GENERAL).rejected(pool()).mean() < 0.01


def test_a_share_is_a_count_of_whole_texts() -> None:
    """Of 40 texts a share of 1 % is none, of 10 % (and 5 % more) six: a very small share rejects no text."""
    texts = pool(n=40)
    rejected = [Reject(share).fit(texts, MEANS, GENERAL).rejected(texts).sum() for share in (0.01, 0.1)]
    assert rejected == [0, 6]


@pytest.mark.parametrize("foreign", [300, 400])
def test_a_pool_like_general_texts_is_not_judged(foreign: int) -> None:
    """A pool that is mostly no nearer to the labels than general texts are keeps all its texts; separation_ says why."""
    reject = Reject().fit(pool(400, foreign), MEANS, GENERAL)
    assert reject.separation_ < 0.8
    assert not reject.rejected(GENERAL).any()


@settings(max_examples=30)  # each takes two fits by EM
@given(share=st.floats(0, 0.4), more=st.floats(0, 0.4))
def test_a_larger_share_rejects_no_fewer(share: float, more: float) -> None:
    """The threshold rises with the believed share; at 0 nothing is rejected."""
    texts = pool(n=100, foreign=10)  # whatever their number; EM over few of them is quick
    low, high = (Reject(each).fit(texts, MEANS, GENERAL) for each in (share, share + more))
    assert low.threshold_ <= high.threshold_
    assert not Reject(0).fit(texts, MEANS, GENERAL).rejected(texts).any()


@pytest.mark.parametrize("share", ["auto", 0.0, 0.1, 0.5])
def test_probabilities_fall_with_the_score(share: float) -> None:
    """Of two texts, the one nearer to a label is never the likelier to belong to none."""
    texts = np.concatenate([pool(foreign=40), MEANS, -GENERAL])  # from the nearest there is to the farthest
    reject = Reject(share).fit(texts[:400], MEANS, GENERAL)  # type: ignore[arg-type]
    chance = reject.probability(texts)[np.argsort(reject.score(texts))]
    assert (np.diff(chance) <= 1e-12).all()
    assert ((chance >= 0) & (chance <= 1)).all()


def test_probabilities_fall_however_narrow_a_part_is() -> None:
    """A narrow part and a wide one cross twice; a text nearer than the mean of the near part still counts as near."""
    reject = Reject(0.1).fit(pool(), MEANS, GENERAL)
    reject.outside_, reject.inside_ = (0.2, 0.2), (0.5, 0.02)
    texts = unit(np.linspace(0, 1, 50)[:, None].astype(np.float32) * MEANS[0] + FOREIGN[0])
    chance = reject.probability(texts)[np.argsort(reject.score(texts))]
    assert (np.diff(chance) <= 1e-12).all()


def test_the_order_of_texts_and_labels_has_no_effect() -> None:
    """Permuted texts, labels and general texts give the same threshold."""
    rng, texts = np.random.default_rng(0), pool(foreign=40)
    straight = Reject().fit(texts, MEANS, GENERAL)
    permuted = Reject().fit(rng.permutation(texts), rng.permutation(MEANS), rng.permutation(GENERAL))
    assert permuted.threshold_ == pytest.approx(straight.threshold_, abs=1e-5)


def test_label_means_are_where_the_texts_of_a_label_lie() -> None:
    """With certain probabilities, each mean points to its own texts."""
    texts = np.repeat(MEANS, 3, axis=0)
    means = label_means(texts, np.repeat(np.eye(K), 3, axis=0), np.zeros((1, D), np.float32))
    assert means == pytest.approx(MEANS, abs=1e-6)


@pytest.mark.parametrize("share", [1, -0.1, "often", False, None])
def test_a_share_that_cannot_be_is_refused(share: object) -> None:
    """The error names the value and what would be right."""
    with pytest.raises(UserError, match="reject: got"):
        Reject(share).fit(pool(), MEANS, GENERAL)  # type: ignore[arg-type]


def test_an_empty_pool_is_refused() -> None:
    """Without texts nothing can be learned, and the error says what to type."""
    with pytest.raises(UserError, match="no unlabelled texts"):
        Reject().fit(pool()[:0], MEANS, GENERAL)


def test_known_foreign_texts_show_where_others_lie() -> None:
    """Texts out of scope that lie nearer to the labels than general texts: some known ones make `auto` find the others."""
    near = around((0.62 * MEANS + 0.78 * FOREIGN[:K]).astype(np.float32), 140, 0.1, 5)
    texts, known = np.concatenate([pool(300), near[:100]]), near[100:]
    without_known, with_known = Reject().fit(texts, MEANS, GENERAL), Reject().fit(texts, MEANS, GENERAL, known)
    assert without_known.rejected(near[:100]).mean() < 0.2
    assert with_known.rejected(near[:100]).mean() > 0.7
    assert with_known.rejected(texts[:300]).mean() < 0.05
