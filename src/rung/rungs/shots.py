"""Decide from label names, the unlabelled texts and a few labels: four ways to read them, weighted by what labels say."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Self

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_matrix, diags
from scipy.special import log_softmax, logsumexp, softmax

from rung.evidence import Evidence
from rung.rungs.balance import offsets
from rung.rungs.logistic import Logistic
from rung.rungs.mixture import TiedMixture
from rung.rungs.neighbours import by_hash, nearest, sample
from rung.rungs.pool import Pool, evenness

Floats = npt.NDArray[np.float64]
Rows = npt.NDArray[np.float32]
Indices = npt.NDArray[np.intp]

_SCALE = 0.04  # cosines of the centred space to nats
_BELIEF = 0.3  # how much the names count beside labelled texts
_EVENLY_DRAWN = 0.98  # evenness of the labels' counts from which they count as drawn label by label
_NEIGHBOURS = 10
_FOLDS = 4
_MANY = 2000  # labelled texts from which one held-out quarter says enough, and three more fits would only cost time
Head = tuple[float, float, float, float, float, float]  # how much R, L, G, H and P count, and how sharply
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
_HEED = {0.0: 0.2, 0.3: 0.3, 1.0: 0.5}  # before any label is held out, blends that heed the pool more are likelier
_TRUST = 0.8  # what the pool alone weighs then, where its guard kept all of it
_LEAST_WEIGHT = 1e-3  # heads below it do not count


@dataclass
class Experts:
    """What the three readings and the pool say of the same texts, each (n, k)."""

    plain: Floats
    line: Floats
    mixture: Floats
    graph: Floats
    pool: Floats

    def head(self, weights: Head) -> Floats:
        """log softmax( t (ωR + αL + βG + γH + δP) )."""
        omega, alpha, beta, gamma, delta, sharpness = weights
        summed = omega * self.plain + alpha * self.line + beta * self.mixture + gamma * self.graph + delta * self.pool
        return np.asarray(log_softmax(sharpness * summed, axis=1))

    def rows(self, rows: Indices) -> Experts:
        """The same of some texts only."""
        return Experts(self.plain[rows], self.line[rows], self.mixture[rows], self.graph[rows], self.pool[rows])


@dataclass
class _Fitted:
    """The readings, learned from the same labels."""

    plain: Logistic
    line: Logistic
    mixture: TiedMixture
    spread: Floats  # (n, k) where labels went along the graph


@dataclass
class Shots:
    """Add a few labels to what names and unlabelled texts say.

    z = unit(x − x̄),  o_k = log softmax(z·(p_k − p̄)/.04 + v_k), v balanced on the pool
    L   logistic regression on z that starts from .3 o
    R   the same, starting from nothing: for names that mislead
    G   a tied mixture of all texts, started at L, the labelled ones clamped and weighing n / (k (m/k + 8)), at least 1
    H   labels spread along the graph of 10 neighbours: Q ← .9 S Q + .1 B₀, 20 rounds; H = log(mean Q of the neighbours + .001)
    P   log posterior of the rung below
    p = Σ_h π_h softmax( t_h (ω_h R + α_h L + β_h G + γ_h H + δ_h P) ),   π_h ∝ prior_h · exp(log-likelihood of held-out labels)
    in 4 folds; the heads are P alone (prior .8 where the pool's guard kept it, less where not), R alone, and blends with L

    Any number of labels will do: with none it is the rung below. Labels may be uneven: their counts then say something of
    the shares, which evenly drawn ones do not. With every text labelled it is logistic regression.
    After `fit`: below (fitted), labels_ (m, how many it learned from), heads_ (their weights π), and guard_.
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
    labelled_: Rows = field(init=False, repr=False)
    fitted_: _Fitted = field(init=False, repr=False)

    def fit(self, evidence: Evidence, known: Indices | None = None) -> Self:
        """Learn from texts and the labels known of some: known (n,) holds indices of labels, −1 where there is none."""
        self.below.fit(evidence)
        given = np.full(len(evidence.features), -1) if known is None else np.where(evidence.ok, known, -1)
        self.labels_ = int((given >= 0).sum())
        self.heads_ = {}
        self.guard_ = self.below.guard_
        if self.labels_ == 0 or len(evidence.anchors) < 2:
            return self
        kept = _kept(evidence, given, self.pool_size)
        texts, labels = evidence.of_texts(evidence.features[kept], [None] * len(kept)), given[kept]
        self._prepare(texts)
        z, graph = (
            self._centred(texts.features),
            nearest(self.texts_, self.texts_, _NEIGHBOURS, own=np.arange(len(kept)), power=3),
        )
        pool = self.below.log_posterior(texts)
        self.heads_ = self._weigh(z, pool, graph, labels)
        self.fitted_ = self._learn(z, graph, labels)
        self.labelled_ = self.texts_[labels >= 0]
        self.guard_ = f"learned from {self.labels_} labels; {self.guard_}"
        return self

    def log_posterior(self, evidence: Evidence) -> Floats:
        """log p(label | text), (n, k), natural; each row by itself."""
        pool = self.below.log_posterior(evidence)
        if not self.heads_:
            return pool
        z = self._centred(evidence.features)
        graph = nearest(z.astype(np.float32), self.texts_, _NEIGHBOURS, power=3)
        experts = self._say(self.fitted_, z, pool, graph)
        logs = [np.log(weight) + experts.head(head) for head, weight in self.heads_.items()]
        return np.asarray(logsumexp(logs, axis=0))

    def transduce(self, evidence: Evidence, known: Indices) -> Indices:
        """The label of each text (n,), as an index; given labels are never changed."""
        return np.where(known >= 0, known, self.log_posterior(evidence).argmax(axis=1))

    def familiarity(self, evidence: Evidence) -> Floats:
        """How near each text (n,) is to the nearest label: as on the rung below, and to the nearest labelled text."""
        near = self.below.familiarity(evidence)
        if not self.heads_:
            return near
        return np.asarray(near + (self._centred(evidence.features).astype(np.float32) @ self.labelled_.T).max(axis=1))

    def _prepare(self, texts: Evidence) -> None:
        anchors = texts.anchors.astype(np.float64)
        self.centre_ = texts.features.astype(np.float64).mean(axis=0)
        self.directions_ = _unit(anchors - anchors.mean(axis=0))
        z = self._centred(texts.features)
        self.texts_ = z.astype(np.float32)
        self.offsets_ = offsets(z @ self.directions_.T / _SCALE, self.below.prior_)

    def _learn(self, z: Floats, graph: csr_matrix, labels: Indices) -> _Fitted:
        """Fit L, G and H to texts z (n, d) of which some have labels, −1 elsewhere."""
        k, shot = len(self.directions_), labels >= 0
        counts = np.bincount(labels[shot], minlength=k)
        even = evenness(counts / counts.sum()) >= _EVENLY_DRAWN
        shares = self.below.prior_ if even else (counts + 10 * self.below.prior_) / (counts.sum() + 10)
        belief = _BELIEF * self._names(z)
        line = Logistic(self.penalty, offset=1.0 if even else 0.35).fit(z[shot], belief[shot], labels[shot])
        plain = Logistic(self.penalty, offset=line.offset).fit(z[shot], 0 * belief[shot], labels[shot])
        told = line.log_posterior(z, belief)
        certain = np.where(shot[:, None], np.eye(k)[np.maximum(labels, 0)], np.nan)
        weights = np.where(shot, max(1.0, len(z) / (counts.sum() + 8 * k)), 1.0)
        mixture = TiedMixture(0.3, sharpness=1.0, belief=0.5, neighbourhood=3.0, rounds=20)
        mixture.fit(z, told, shares, graph, np.exp(told), weights=weights, fixed=certain)
        return _Fitted(plain, line, mixture, _spread_labels(graph, np.exp(told), certain, shares))

    def _say(self, fitted: _Fitted, z: Floats, pool: Floats, graph: csr_matrix) -> Experts:
        belief = _BELIEF * self._names(z)
        plain, line = fitted.plain.log_posterior(z, 0 * belief), fitted.line.log_posterior(z, belief)
        mixture = log_softmax(fitted.mixture.logits(z, line, graph @ fitted.mixture.posterior_), axis=1)
        return Experts(plain, line, mixture, np.log(graph @ fitted.spread + 1e-3), pool)

    def _weigh(self, z: Floats, pool: Floats, graph: csr_matrix, labels: Indices) -> dict[Head, float]:
        """π of each head, from the likelihood of labels that were held out."""
        shots = np.flatnonzero(labels >= 0)
        scores = np.zeros(len(_HEADS))
        for held in _folds(self.texts_, shots):
            hidden = labels.copy()
            hidden[held] = -1
            if (hidden < 0).all():
                continue
            experts = self._say(self._learn(z, graph, hidden), z, pool, graph).rows(held)
            scores += [experts.head(head)[np.arange(len(held)), labels[held]].sum() for head in _HEADS]
        weights = softmax(scores + np.log(_prior(self.below.weight_)))
        kept = np.where(weights >= _LEAST_WEIGHT, weights, 0)
        return {head: float(w) for head, w in zip(_HEADS, kept / kept.sum(), strict=True) if w > 0}

    def _names(self, z: Floats) -> Floats:
        return np.asarray(log_softmax(z @ self.directions_.T / _SCALE + self.offsets_, axis=1))

    def _centred(self, features: Rows) -> Floats:
        return _unit(features - self.centre_)


def _prior(kept: float) -> Floats:
    """What each head weighs before any label is held out, the pool's guard having `kept` so much of the pool."""
    alone = _TRUST * kept
    blends = [_HEED[head[4]] / 100 for head in _BLENDS]
    prior = np.array(
        [alone, *(0.25 * (1 - alone) / len(_PLAIN) for _ in _PLAIN), *((1 - alone) * 0.75 * w for w in blends)]
    )
    return np.asarray(np.maximum(prior, 1e-12))


def _kept(evidence: Evidence, given: Indices, size: int) -> Indices:
    """All labelled texts, and as many others as there is room for, by their hashes."""
    shots = np.flatnonzero(given >= 0)
    others = np.flatnonzero(evidence.ok & (given < 0))
    return np.sort(
        np.concatenate([shots, others[sample(evidence.features[others], max(size - len(shots), size // 4))]])
    )


def _folds(texts: Rows, shots: Indices) -> list[Indices]:
    """Disjoint parts of the labelled texts, told apart by their hashes, so that their order plays no part."""
    ranked = shots[by_hash(texts[shots])]
    parts = [ranked[i::_FOLDS] for i in range(_FOLDS)]
    return [part for part in (parts[:1] if len(shots) > _MANY else parts) if len(part)]


def _spread_labels(graph: csr_matrix, start: Floats, certain: Floats, shares: Floats) -> Floats:
    """Labels (n, k) spread along the graph from the labelled texts, columns brought to `shares`, rows to 1.

    Source: Zhou et al. 2004, with a faint start everywhere so that no text is out of reach.
    """
    both = (graph + graph.T) / 2
    degrees = diags(1 / np.sqrt(np.maximum(np.asarray(both.sum(axis=1)).ravel(), 1e-12)))
    smooth = degrees @ both @ degrees
    first = np.where(np.isnan(certain), 0.02 * start, certain)
    spread = first
    for _ in range(20):
        spread = 0.9 * (smooth @ spread) + 0.1 * first
    spread = spread * (shares / np.maximum(spread.sum(axis=0), 1e-12))
    return np.asarray(spread / np.maximum(spread.sum(axis=1, keepdims=True), 1e-12))


def _unit(rows: Floats) -> Floats:
    return np.asarray(rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9))
