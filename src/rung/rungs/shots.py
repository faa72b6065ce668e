"""Decide from label names, the unlabelled texts and a few labels: a mixture of experts, weighted by held-out labels."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Self

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_matrix, diags
from scipy.special import softmax

from rung.evidence import Evidence
from rung.evidence.hashing import hashes
from rung.messages import tr_n
from rung.rungs.logistic import Logistic
from rung.rungs.nearest_neighbors import centred, nearest, sample
from rung.rungs.pool import Pool, evenness, unit_rows
from rung.rungs.sinkhorn import offsets
from rung.rungs.softmax import blocks, to_log_probabilities, to_probabilities
from rung.rungs.tied_mixture import TiedMixture
from rung.threads import one_thread

Floats = npt.NDArray[np.float64]
Rows = npt.NDArray[np.float32]
Indices = npt.NDArray[np.intp]

_SCALE = 0.04  # a difference of centred cosines of .04 is one nat
_BELIEF = 0.3  # how much the names count relative to labelled texts
_EVENLY_DRAWN = 0.98  # evenness of the labels' counts from which they are taken as drawn the same number per label
_NEIGHBOURS = 10
_FOLDS = 4
_MANY = 2000  # from this number of labels one held-out quarter is enough, and three more fits would only cost time
Head = tuple[float, float, float, float, float, float]  # weights of R, L, G, H and P, and the sharpness
_POOL_ALONE: Head = (0.0, 0.0, 0.0, 0.0, 1.0, 1.0)
_PLAIN: list[Head] = [(1.0, 0.0, 0.0, 0.0, 0.0, sharpness) for sharpness in (0.3, 1.0, 3.0)]
_BLENDS: list[Head] = [
    (0.0, 1.0, beta, gamma, delta, sharpness)
    for beta in (0.0, 0.03, 0.1, 0.3, 1.0)
    for gamma in (0.0, 0.3, 1.0, 3.0)
    for delta in (0.0, 0.3, 1.0)
    for sharpness in (0.03, 0.1, 0.3, 1.0, 3.0)
]
_HEADS = [_POOL_ALONE, *_PLAIN, *_BLENDS]
_POOL_PRIOR = {0.0: 0.2, 0.3: 0.3, 1.0: 0.5}  # prior of blends by how much the pool counts in them
_TRUST = 0.8  # prior of the pool alone, where its guard kept it fully and there are few labels
_FEW = 8  # at this number of labels that prior is halved
_NAMELESS = (0.1, 0.75)  # prior of R among the rest: where the clusters align with the names, and where they do not
# relative to the heaviest head: hundreds of unsupported heads would together outweigh a right one
_LEAST_WEIGHT = 0.05
_SURELY = 1.5  # a head is left out if its accuracy is below the best by this number of standard errors
_LEAST = 1e-38  # about the smallest normal float32


@dataclass
class Experts:
    """Log posteriors of the same texts by R, L, G, H and the pool P, each (n, k)."""

    plain: Rows
    line: Rows
    mixture: Rows
    graph: Rows
    pool: Rows

    def head(self, weights: Head) -> Rows:
        """Log-odds t (ωR + αL + βG + γH + δP), (n, k)."""
        omega, alpha, beta, gamma, delta, sharpness = weights
        summed = np.zeros_like(self.pool)
        parts = (self.plain, self.line, self.mixture, self.graph, self.pool)
        for share, part in zip((omega, alpha, beta, gamma, delta), parts, strict=True):
            if share:
                summed += np.float32(share * sharpness) * part
        return summed

    def probabilities(self, heads: dict[Head, float]) -> Floats:
        """Σ_h π_h softmax( t (ωR + αL + βG + γH + δP) ), rows summing to 1."""
        summed = np.zeros(self.pool.shape)
        for head, weight in heads.items():
            summed += weight * to_probabilities(self.head(head))
        return np.asarray(summed / summed.sum(axis=1, keepdims=True))


@dataclass
class _Fitted:
    """The experts, fitted to the same labels."""

    plain: Logistic
    line: Logistic
    mixture: TiedMixture
    spread: Rows  # (n, k), the labels propagated along the graph


@dataclass
class Shots:
    """Combine label names, unlabelled texts and a few labels.

    z = unit(x − x̄),  o_k = log softmax(z·(p_k − p̄)/.04 + v_k), v balanced on the pool
    L   logistic regression on z that starts from .3 o
    R   the same without o, for names that mislead
    G   a tied mixture of all texts, started at L; labelled texts are clamped and weigh n / (k (m/k + 8)), at least 1
    H   label propagation on the graph of 10 neighbors: Q ← .9 S Q + .1 B₀, 20 rounds; H = log(mean Q of the neighbors + .001)
    P   log posterior of the rung below
    p = Σ_h π_h softmax( t_h (ω_h R + α_h L + β_h G + γ_h H + δ_h P) ),   π_h ∝ prior_h · exp(log-likelihood of held-out labels)
    in 4 folds. The heads are P alone (prior .8 · 8 / (8 + m), less where the pool's guard rejected it), R alone (a higher prior
    where clusters do not align with the names), and blends with L. A held-out label without an example in the other folds speaks
    against every head that learns from examples, so it is weighted by how frequent such labels are expected to be among the texts.
    Heads with less than a twentieth of the largest weight do not count. With thousands of labels, heads whose accuracy is below the
    best by 1.5 standard errors do not count either.

    It takes any number of labels; without labels it is the rung below. Counts of labels are used as evidence of the shares, unless
    they are even. With every text labelled it is at least as good as logistic regression.
    After `fit`: below (fitted), labels_ (m, how many labels it was fitted on), heads_ (their weights π), and guard_.
    """

    below: Pool = field(default_factory=Pool)
    penalty: float = 0.05
    pool_size: int = 8192
    guard_: str = field(init=False, default="")
    labels_: int = field(init=False, default=0)
    heads_: dict[Head, float] = field(init=False, default_factory=dict)
    centre_: Floats = field(init=False, repr=False)
    directions_: Floats = field(init=False, repr=False)
    offsets_: Floats = field(init=False, repr=False)
    texts_: Rows = field(init=False, repr=False)
    fitted_: _Fitted = field(init=False, repr=False)

    @one_thread()
    def fit(self, evidence: Evidence, known: Indices | None = None) -> Self:
        """Fit to texts and the labels known of some: known (n,) holds indices of labels, −1 where there is none."""
        self.below.fit(evidence)
        given = np.full(len(evidence.features), -1) if known is None else np.where(evidence.ok, known, -1)
        self.labels_ = int((given >= 0).sum())
        self.heads_ = {}
        self.guard_ = self.below.guard_
        if self.labels_ == 0 or len(evidence.anchors) < 2:
            return self
        kept = _sampled(evidence, given, self.pool_size)
        texts, labels = evidence.part(kept), given[kept]
        self._prepare(texts)
        z = self.texts_
        graph = nearest(z, z, _NEIGHBOURS, own=np.arange(len(kept)), power=3)
        pool = self.below.log_posterior(texts).astype(np.float32)
        self.heads_ = self._weigh(z, pool, graph, labels)
        self.fitted_ = self._learn(z, graph, labels)
        self.guard_ = tr_n(
            "learned from {n:,} label; {guard}", "learned from {n:,} labels; {guard}", n=self.labels_, guard=self.guard_
        )
        return self

    @property
    def guard_details_(self) -> dict[str, float]:
        """The figures behind `guard_`: those of the pool, how many labels there were, and the weight of the pool alone."""
        if not self.heads_:
            return self.below.guard_details_
        alone = self.heads_.get(_POOL_ALONE, 0.0)
        return self.below.guard_details_ | {"labels": float(self.labels_), "pool alone": alone}

    @one_thread()
    def log_posterior(self, evidence: Evidence) -> Floats:
        """log p(label | text), (n, k), natural; each row is independent of the others."""
        pool = self.below.log_posterior(evidence)
        if not self.heads_:
            return pool
        for rows in blocks((len(pool), max(pool.shape[1], len(self.centre_)))):
            z = self._centred(evidence.features[rows])
            graph = nearest(z, self.texts_, _NEIGHBOURS, power=3)
            experts = self._experts(self.fitted_, z, pool[rows].astype(np.float32), graph)
            pool[rows] = np.log(np.maximum(experts.probabilities(self.heads_), _LEAST))
        return pool

    def _prepare(self, texts: Evidence) -> None:
        anchors = texts.anchors.astype(np.float64)
        self.centre_ = texts.features.astype(np.float64).mean(axis=0)
        self.directions_ = unit_rows(anchors - anchors.mean(axis=0))
        self.texts_ = self._centred(texts.features)
        self.offsets_ = offsets(self._cosines(self.texts_), self.below.prior_)

    def _learn(self, z: Rows, graph: csr_matrix, labels: Indices) -> _Fitted:
        """Fit L, G and H to texts z (n, d) of which some have labels, −1 elsewhere."""
        k, shot = len(self.directions_), labels >= 0
        counts = np.bincount(labels[shot], minlength=k)
        even = evenness(counts / counts.sum()) >= _EVENLY_DRAWN
        shares = self.below.prior_ if even else (counts + 10 * self.below.prior_) / (counts.sum() + 10)
        belief = self._belief(z)
        line = Logistic(self.penalty, offset=1.0 if even else 0.35).fit(z[shot], belief[shot], labels[shot])
        plain = Logistic(self.penalty, offset=line.offset).fit(z[shot], 0 * belief[shot], labels[shot])
        posterior = line.log_posterior(z, belief).astype(np.float32)
        certain = np.where(shot[:, None], np.eye(k)[np.maximum(labels, 0)], np.nan).astype(np.float32)
        weights = np.where(shot, max(1.0, len(z) / (counts.sum() + 8 * k)), 1.0).astype(np.float32)
        mixture = TiedMixture(0.3, sharpness=1.0, belief=0.5, neighborhood=3.0, rounds=20)
        mixture.fit(z, posterior, shares, graph, np.exp(posterior), weights=weights, fixed=certain)
        return _Fitted(plain, line, mixture, _propagate_labels(graph, np.exp(posterior), certain, shares))

    def _experts(self, fitted: _Fitted, z: Rows, pool: Rows, graph: csr_matrix) -> Experts:
        belief = self._belief(z)
        plain = fitted.plain.log_posterior(z, np.zeros_like(belief)).astype(np.float32)
        line = fitted.line.log_posterior(z, belief).astype(np.float32)
        mixture = to_log_probabilities(fitted.mixture.logits(z, line, graph @ fitted.mixture.posterior_))
        return Experts(plain, line, mixture, np.log(graph @ fitted.spread + np.float32(1e-3)), pool)

    def _weigh(self, z: Rows, pool: Rows, graph: csr_matrix, labels: Indices) -> dict[Head, float]:
        """The weight π of each head, from the likelihood of held-out labels."""
        shots = np.flatnonzero(labels >= 0)
        scores, right = np.zeros((len(shots), len(_HEADS))), np.zeros((len(shots), len(_HEADS)))
        unseen = np.zeros(len(shots), dtype=bool)
        parts = _folds(self.texts_[shots], labels[shots])
        for part in parts:
            held, hidden = shots[part], labels.copy()
            hidden[held] = -1
            unseen[part] = ~np.isin(labels[held], hidden[shots])
            if (hidden >= 0).any():
                experts = self._experts(self._learn(z, graph, hidden), z[held], pool[held], graph[held])
                for place, head in enumerate(_HEADS):
                    scores[part, place], right[part, place] = _held_out(experts.head(head), labels[held])
        absent = 1 - self.below.prior_[np.unique(labels[shots])].sum()
        log_weights = _importance(unseen, absent) @ scores + np.log(self._prior())
        if (
            len(shots) > _MANY
        ):  # enough to compare accuracies; likelihood may prefer a head that is only less sure of its errors
            log_weights[_surely_behind(right[parts[0]])] = -np.inf
        weights = softmax(log_weights)
        kept = np.where(weights >= _LEAST_WEIGHT * weights.max(), weights, 0)
        return {head: float(w) for head, w in zip(_HEADS, kept / kept.sum(), strict=True) if w > 0}

    def _prior(self) -> Floats:
        """The prior weight of each head (h,)."""
        alone = _TRUST * self.below.weight_ * _FEW / (_FEW + self.labels_)
        named = self.below.names_hold
        nameless = named * _NAMELESS[0] + (1 - named) * _NAMELESS[1]
        blends = np.array([_POOL_PRIOR[head[4]] for head in _BLENDS])
        rest = [*np.full(len(_PLAIN), nameless / len(_PLAIN)), *(1 - nameless) * blends / blends.sum()]
        return np.maximum([alone, *(1 - alone) * np.array(rest)], 1e-12)

    def _belief(self, z: Rows) -> Rows:
        """.3 o, (n, k)."""
        belief = to_log_probabilities(self._cosines(z) + self.offsets_.astype(np.float32))
        belief *= np.float32(_BELIEF)
        return belief

    def _cosines(self, z: Rows) -> Rows:
        return np.asarray(z @ (self.directions_.T / _SCALE).astype(np.float32))

    def _centred(self, features: Rows) -> Rows:
        return centred(features, self.centre_)


def _held_out(logits: Rows, labels: Indices) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """The log-likelihood (m,) of each label under softmax(logits), (m, k), and whether it is the likeliest."""
    likelihood = to_log_probabilities(logits)[np.arange(len(labels)), labels].astype(np.float64)
    return likelihood, logits.argmax(axis=1) == labels


def _surely_behind(right: Floats) -> npt.NDArray[np.bool_]:
    """Which heads (h,) are less accurate than the best one beyond chance; right (m, h) is 1 where a head was right, else 0."""
    behind = right[:, [right.sum(axis=0).argmax()]] - right
    return np.asarray(behind.sum(axis=0) > _SURELY * behind.std(axis=0) * np.sqrt(len(right)))


def _importance(unseen: npt.NDArray[np.bool_], absent: float) -> Floats:
    """The weight of each held-out label (m,), at most 1; labels without an example get the weight that `absent` implies."""
    share = float(unseen.sum()) / (len(unseen) + 1)
    ratio = (
        absent * (1 - share) / max((1 - absent) * share, 1e-12)
    )  # weight of a label without an example relative to the others
    return np.where(unseen, min(ratio, 1.0), 1.0)


def _sampled(evidence: Evidence, given: Indices, size: int) -> Indices:
    """Places of all labelled texts and of other texts up to `size`, chosen by their hashes."""
    shots = np.flatnonzero(given >= 0)
    others = np.flatnonzero(evidence.ok & (given < 0))
    return np.sort(
        np.concatenate([shots, others[sample(evidence.features[others], max(size - len(shots), size // 4))]])
    )


def _folds(texts: Rows, labels: Indices) -> list[Indices]:
    """Stratified folds (places among m texts) that depend on hashes, not on the order of the texts.

    Within a label, texts are dealt out in the order of their hashes, starting at a fold given by the first hash: a text whose hash
    changes moves texts of its own label only.
    """
    keys, dealt = hashes(texts), np.empty(len(texts), dtype=np.intp)
    for label in np.unique(labels):
        own = np.flatnonzero(labels == label)
        own = own[np.argsort(keys[own], kind="stable")]
        dealt[own] = (np.arange(len(own)) + int(keys[own[0]] % _FOLDS)) % _FOLDS
    parts = [np.flatnonzero(dealt == i) for i in range(1 if len(texts) > _MANY else _FOLDS)]
    return [part for part in parts if len(part)]


def _propagate_labels(graph: csr_matrix, start: Rows, certain: Rows, shares: Floats) -> Rows:
    """Labels (n, k) propagated along the graph from the labelled texts; columns are scaled to `shares`, rows to 1.

    Source: Zhou et al. 2004, with a small start value everywhere so that every text is reached.
    """
    both = (graph + graph.T) / 2
    degrees = diags(1 / np.sqrt(np.maximum(np.asarray(both.sum(axis=1)).ravel(), 1e-12)))
    smooth = (0.9 * (degrees @ both @ degrees)).astype(np.float32)
    first = np.where(np.isnan(certain), np.float32(0.02) * start, certain)
    spread = first
    for _ in range(20):
        spread = smooth @ spread
        spread += np.float32(0.1) * first
    spread *= (shares / np.maximum(spread.sum(axis=0, dtype=np.float64), 1e-12)).astype(np.float32)
    return np.asarray(spread / np.maximum(spread.sum(axis=1, keepdims=True), np.float32(1e-12)))
