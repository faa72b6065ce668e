"""None of these: which texts are too far from every label to get one (out-of-scope detection)."""

from __future__ import annotations

from dataclasses import dataclass, field
from numbers import Real
from typing import Literal, Self

import numpy as np
import numpy.typing as npt
from scipy.special import expit
from scipy.stats import norm

from rung.errors import UserError
from rung.evidence import Array, unit
from rung.threads import one_thread

Floats = npt.NDArray[np.float64]

_CENTRING = (
    0.5  # of the general texts' mean, as in the names rung; to subtract the pool's own mean would remove its subject
)
_MARGIN = 0.05  # a little more than the given share is rejected, since the scores of both kinds of text overlap
_ROUNDS, _TOLERANCE = 200, 1e-6
_GENERAL_WEIGHT = 5  # all general texts together count as this many known out-of-scope texts
_IN_SCOPE_PRIOR = 20  # texts that are assumed in scope beforehand, so that a few texts are not rejected by chance
_SEPARATED = 0.8  # below this separation from general texts, a pool cannot show which of its texts are out of scope
_MIN_SPREAD = 1e-3  # of cosines, so that identical texts have a density


@one_thread()
def label_means(features: Array, probabilities: Floats, general: Array) -> Array:
    """The mean of the texts of each label (k, d), unit rows, from features (n, d) and probabilities (n, k).

    general (m, d) are features of general texts: half of their mean is subtracted first, as in `Reject`.
    """
    centred = unit(features - _centre(features, general))
    return unit(probabilities.T.astype(np.float32) @ centred)


@dataclass
class Reject:
    """Find the texts that belong to none of the labels, without a labelled text.

    Score       s(x) = max_k cos(z, m_k),   z = x − ½b
    Model       s ~ π N(ν₀, σ₀) + (1 − π) N(ν₁, σ₁),  where ν₀, σ₀ are those of general texts and stay fixed

    b is the mean of general texts. These have nothing to do with the labels, so they show how texts out of scope score: only the
    share π and the in-scope part are learned, by EM. share="auto" learns π and rejects that part of the pool, or nothing where
    separation_ is below .8. A number is used as π, and share + 5 % (at most twice the share) is rejected: some in-scope texts
    with the lowest scores are lost, so that more of the others are found.

    Texts that are known to be out of scope, and are of the pool's own kind, tell more than general ones: ν₀ is then the mean of
    both, where each known text counts as one and all general texts together as 5; σ₀ is the spread within either kind, with the
    same weights.

    There are no general images: b is then the mean of the pool, the share must be given, and the part of the pool with the
    lowest scores stands for what is out of scope.

    After `fit`: threshold_ (a lower score is rejected), share_ (π), separation_ (how often a text of the pool scores above a
    general text; near ½ nothing can be told), outside_ and inside_ (mean and spread of either part), centre_ (d,),
    means_ (k, d).
    """

    share: float | Literal["auto"] = "auto"
    threshold_: float = field(init=False, default=-np.inf)
    share_: float = field(init=False, default=0.0)
    separation_: float = field(init=False, default=0.5)
    outside_: tuple[float, float] = field(init=False, default=(0.0, 1.0))
    inside_: tuple[float, float] = field(init=False, default=(0.0, 1.0))
    centre_: Array = field(init=False, repr=False)
    means_: Array = field(init=False, repr=False)

    @one_thread()
    def fit(self, features: Array, means: Array, general: Array, foreign: Array | None = None) -> Self:
        """Learn the threshold from a pool (n, d), labels' means (k, d) and general texts (m, d).

        foreign (f, d) are texts that are known to belong to none of the labels; the pool is without them.
        means are the anchors on the names rung, `label_means` above it.
        Raises UserError for an empty pool, unless share is "auto" or from 0 up to, not including, 1, and for "auto" without
        general texts.
        """
        given = checked_share(self.share)
        if len(features) == 0:
            raise UserError(
                "reject: there are no unlabelled texts to learn from.", "Fit it on unlabelled texts first:  fit(texts)"
            )
        if given is None and not len(general):
            raise UserError(
                'reject: "auto" needs general inputs for a comparison, and there are none for images.',
                "Give the share that fits no label, such as  reject=0.1",
            )
        self.centre_ = _centre(features, general)
        self.means_ = unit(means)
        scores = self.score(features)
        kinds = self._out_of_scope(scores, general, general[:0] if foreign is None else foreign, given)
        weights = [_GENERAL_WEIGHT if kind is kinds[0] and len(kinds) > 1 else len(kind) for kind in kinds]
        self.separation_ = float(np.average([_separation(scores, kind) for kind in kinds], weights=weights))
        mean = float(np.average([kind.mean() for kind in kinds], weights=weights))
        spread = float(np.sqrt(np.average([kind.var() for kind in kinds], weights=weights)))
        self.outside_ = (mean, max(spread, _MIN_SPREAD))
        self.share_, self.inside_ = _mixture(scores, self.outside_, given)
        if given is None and self.separation_ < _SEPARATED:
            self.share_ = 0.0
        part = self.share_ if given is None else min(given + _MARGIN, 2 * given, 1.0)
        rejected = int(part * len(scores) + 1e-9)  # rounded down, so that a very small share rejects no text
        self.threshold_ = float(np.sort(scores)[min(rejected, len(scores) - 1)]) if rejected else -np.inf
        return self

    def _out_of_scope(self, scores: Floats, general: Array, foreign: Array, given: float | None) -> list[Floats]:
        """Scores of texts out of scope, by their kind: general ones and known ones; without any, the lowest of the pool."""
        kinds = [self.score(texts) for texts in (general, foreign) if len(texts)]
        return kinds or [np.sort(scores)[: max(1, round((given or 0) * len(scores)))]]

    @one_thread()
    def score(self, features: Array) -> Floats:
        """How near each text (n,) is to its nearest label, at most 1."""
        cosines = unit(features - self.centre_) @ self.means_.T
        return np.asarray(cosines.max(axis=1), dtype=np.float64)

    def rejected(self, features: Array) -> npt.NDArray[np.bool_]:
        """Which texts (n,) belong to none of the labels."""
        return np.asarray(self.score(features) < self.threshold_)

    def probability(self, features: Array) -> Floats:
        """How probable it is (n,) that a text belongs to none of the labels; falls as its score rises."""
        low, high = sorted((self.outside_[0], self.inside_[0]))
        # Between the means of the two parts the odds are monotone in the score; beyond them they need not be.
        scores = np.clip(self.score(features), low, high)
        return _out_of_scope_probability(scores, self.outside_, self.inside_, self.share_)


def _centre(features: Array, general: Array) -> Array:
    """½b (d,): half of the mean of general texts, or of the pool itself where there are none."""
    rows = general if len(general) else features
    return np.asarray(_CENTRING * rows.mean(axis=0) if len(rows) else rows.sum(axis=0), dtype=np.float32)


def checked_share(share: float | str) -> float | None:
    """The share as a number, None for "auto". Raises UserError for anything else.

    >>> checked_share(0.1)
    0.1
    """
    if isinstance(share, str) and share == "auto":
        return None
    if isinstance(share, bool) or not isinstance(share, Real) or not 0 <= share < 1:
        raise UserError(
            "reject: got {share!r}.", 'Give the share of texts that fit no label, such as 0.1, or "auto".', share=share
        )
    return float(share)


def _separation(scores: Floats, outside: Floats) -> float:
    """How often a text of the pool scores above one that is out of scope."""
    return float(np.searchsorted(np.sort(outside), scores).mean() / len(outside))


def _mixture(scores: Floats, outside: tuple[float, float], given: float | None) -> tuple[float, tuple[float, float]]:
    """The share out of scope and the mean and spread of the rest, by EM with the part out of scope held fixed."""
    share = 0.1 if given is None else given
    inside = (float(np.median(scores)), max(float(scores.std()), _MIN_SPREAD))
    for _ in range(_ROUNDS):
        if inside[0] <= outside[0]:  # the pool is no nearer to the labels than general texts: they cannot be separated
            return given or 0.0, inside
        within = 1 - _out_of_scope_probability(scores, outside, inside, share)
        before, mean = share, float(np.average(scores, weights=within))
        spread = float(np.sqrt(np.average((scores - mean) ** 2, weights=within)))
        inside = (mean, max(spread, _MIN_SPREAD))
        share = float((1 - within).sum()) / (len(scores) + _IN_SCOPE_PRIOR) if given is None else given
        if given is None and abs(share - before) < _TOLERANCE:
            break
    return share, inside


def _out_of_scope_probability(
    scores: Floats, outside: tuple[float, float], inside: tuple[float, float], share: float
) -> Floats:
    with np.errstate(divide="ignore"):  # a share of 0: nothing is out of scope
        odds = np.log(share) - np.log1p(-share)
    return np.asarray(expit(odds + norm.logpdf(scores, *outside) - norm.logpdf(scores, *inside)))
