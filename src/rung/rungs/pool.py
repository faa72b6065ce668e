"""Decide from label names and the unlabelled texts: mixtures of Gaussians anchored at the names, in closed form."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Self

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_matrix

from rung.errors import UserError
from rung.evidence import Evidence
from rung.messages import tr, tr_n
from rung.rungs.anchored_mixture import AnchoredMixture
from rung.rungs.names import Names
from rung.rungs.nearest_neighbors import centred, nearest, sample
from rung.rungs.sinkhorn import offsets
from rung.rungs.softmax import IN_CACHE, blocks, to_log_probabilities, to_probabilities
from rung.rungs.tied_mixture import TiedMixture, shrinkage
from rung.threads import one_thread

Floats = npt.NDArray[np.float64]
Rows = npt.NDArray[np.float32]
Indices = npt.NDArray[np.intp]

_COSINE_SCALE = 0.05  # a difference of cosines of .05 is one nat, as in the names rung
_NEIGHBOURS = 10
_WARM_UP = 4  # first rounds with a nearly spherical covariance, so that early errors do not shape it
_WARM_SHRINKAGE = 0.95
_ALIGNED = (
    0.15,
    0.25,
)  # alignment of clusters with names: up to the first the pool counts nothing, from the second fully
_EVEN = (
    0.88,
    0.96,
)  # evenness of the labels' shares: up to the first the free reading counts nothing, from the second fully
# The careful reading may have failed where its alignment is below _ASTRAY. The free reading then counts, whatever the evenness, if
# its own alignment is higher by _NEARER.
_ASTRAY, _NEARER = (0.30, 0.40), (0.03, 0.10)
_UNIFORM = (
    0.96,
    0.99,
)  # evenness from which shares are moved towards equal ones, and from which they are taken as equal
# At this number of texts the pool counts a quarter: both shares and means are estimated from them, hence the square.
_ENOUGH = 100
_PER_LABEL = 2  # or this number per label, where that is more
_PRIOR_TEXTS = (
    5  # texts per label at which the names are moved half way to known shares: few texts show little of their bias
)
_NEGLIGIBLE = 0.005  # a weight that changes no probability by more than half a percent
# Loss of agreement with another backbone: up to the first the pool keeps its weight, from the second it has none.
_DRIFTED = (0.08, 0.16)
_ENOUGH_TO_CENTRE = 100  # at this number of texts their mean is trusted as much as the careful reading


@dataclass
class Reading:
    """One estimate from the pool: scores balanced to shares, and the mixture fitted from them.

    The mixture keeps the posterior of the landmarks only; these vote on new texts.
    """

    offsets: Floats  # (k,)
    mixture: TiedMixture

    def belief(self, scores: Rows) -> Rows:
        """The balanced scores (n, k) as log probabilities."""
        return to_log_probabilities(scores + self.offsets.astype(np.float32))

    def logits(self, z: Rows, belief: Rows, graph: csr_matrix) -> Rows:
        """Log-odds (n, k) of texts z (n, d), given the belief about them and the weights (n, m) of their neighbors."""
        return self.mixture.logits(z, belief, graph @ self.mixture.posterior_)


@dataclass
class Pool:
    """Estimate from the unlabelled texts where each label lies.

    There are two readings of the same texts. Each is a `TiedMixture` of z = unit(x − x̄), started from scores balanced to shares t:

    careful   scores e of `AnchoredMixture` (labels may only shift and scale together), t ∝ its shares^.95
    free      the mean of e and cos(z, p − p̄)/.05, which assumes about equally frequent labels; fitted after a warm-up;
              t is moved towards equal shares where the careful reading finds them nearly even

    log r = ρ · free + (1 − ρ) · careful,
    ρ = max( ramp(evenness; .88, .96), (1 − ramp(a; .30, .40)) · ramp(b − a; .03, .10) ) · n/(n + 100)
    p = w · softmax(log r / T) + (1 − w) · names,  w = ramp(alignment; .15, .25) · (n/(n + max(100, 2k)))²

    evenness is the normalized entropy of the careful reading's shares: where labels are missing or skewed, the free reading
    harms. The alignment of a reading is Σ_k share_k cos(μ_k − μ̄, p_k − p̄); a is that of the careful reading, b that of the
    free one, and alignment = ρ b + (1 − ρ) a. Where clusters do not lie along the names, the names decide. Where a is low and b
    is not, the careful reading failed. T makes the mean confidence ½ (mean confidence of the names + agreement of neighbors).
    The answer is the most probable label under p.

    shares (k,): the labels' shares as far as a person knows them, NaN elsewhere. balanced: labels are equally frequent.
    The names' part is then balanced too: softmax(log names + n/(n + 5k) v), where v are its offsets to these shares on the
    pool; shares that are not known stay as the names have them. So given shares count even where the pool was rejected.
    Where the evidence holds a second opinion, w is multiplied by 1 − ramp(drift; .08, .16). drift is how much less often the two
    backbones agree on a text by their pools than by their names: structure in the texts moves both to one answer, errors do not.
    The standard deviation of e is half that of the names' own scores, at the temperature of the backbone where there is one.
    Where a backbone gave scores (used as the prior on another backbone's geometry), e is what the names rung makes of them, and
    an anchor is the mean of the texts that the scores give to a label.
    rounds=0 returns the names' answer. Pools beyond `pool_size` are sampled by the hashes of their rows, and neighbors are
    searched among at most `landmarks` texts: time and memory are linear in texts and labels.
    After `fit`: prior_ (k,), means_ (k, d), alignment_, evenness_, freedom_ (ρ), weight_ (w), drift_ (NaN without a second
    opinion), temperature_, texts_ (how many texts it was fitted on), offsets_ (of the names, None where no shares are given),
    careful_ and free_, and guard_: whether the pool was kept, and why, in a sentence; guard_details_ has its figures.
    """

    rounds: int = 30
    shares: Floats | None = None
    balanced: bool = False
    below: Names = field(default_factory=Names)
    pool_size: int = 20_000
    landmarks: int = 4096
    guard_: str = field(init=False, default="")
    texts_: int = field(init=False, default=0)
    alignment_: float = field(init=False, default=0.0)
    evenness_: float = field(init=False, default=1.0)
    freedom_: float = field(init=False, default=0.0)
    weight_: float = field(init=False, default=0.0)
    drift_: float = field(init=False, default=np.nan)
    temperature_: float = field(init=False, default=1.0)
    stretch_: float = field(init=False, default=1.0)
    offsets_: Floats | None = field(init=False, default=None, repr=False)
    careful_: Reading | None = field(init=False, default=None, repr=False)
    free_: Reading | None = field(init=False, default=None, repr=False)
    anchored_: AnchoredMixture = field(init=False, repr=False)
    centre_: Floats = field(init=False, repr=False)
    directions_: Floats = field(init=False, repr=False)
    landmarks_: Rows = field(init=False, repr=False)
    prior_: Floats = field(init=False, repr=False)
    means_: Floats = field(init=False, repr=False)

    @one_thread()
    def fit(self, evidence: Evidence, known: npt.NDArray[np.intp] | None = None) -> Self:  # noqa: ARG002 (a rung's signature)
        """Fit to the texts that could be read; labels are ignored, since the rung `shots` uses them.

        Raises UserError for shares that are impossible.
        """
        k = len(evidence.anchors)
        given = given_shares(self.shares, k, balanced=self.balanced)
        readable = evidence.readable()
        texts = readable.part(sample(readable.features, self.pool_size))
        self.texts_, self.weight_, self.alignment_ = len(texts.features), 0.0, 0.0
        self.careful_ = self.free_ = self.offsets_ = None
        self.drift_ = np.nan
        self.prior_, self.means_ = np.full(k, 1 / k), evidence.anchors.astype(np.float64)
        if self.rounds == 0 or k < 2 or self.texts_ == 0:
            self.guard_ = tr("given up: there was nothing to learn from, so label names decide alone.")
            return self
        names = self.below.log_posterior(texts)
        self._temper(self._read(anchors_from_scores(texts, names), given), names)
        if given is not None:
            trust = len(names) / (len(names) + _PRIOR_TEXTS * k)
            self.offsets_ = trust * offsets(names, completed(np.exp(names).mean(axis=0), given))
        if texts.second is not None and self.weight_ > 0:
            self._compare(texts.part(sample(texts.features, self.landmarks)))
        return self

    @one_thread()
    def log_posterior(self, evidence: Evidence) -> Floats:
        """log p(label | text), (n, k), natural; each row is independent of the others."""
        names = self.below.log_posterior(evidence)
        if self.offsets_ is not None:
            names = to_log_probabilities(names + self.offsets_)
        if self.weight_ == 0:
            return names
        for rows in blocks((len(names), max(names.shape[1], len(self.centre_)))):
            logits = self._logits(evidence.part(np.arange(len(names))[rows])).astype(np.float64)
            names[rows] = mixed(to_log_probabilities(logits / self.temperature_), names[rows], self.weight_)
        return names

    @property
    def names_hold(self) -> float:
        """How well the clusters of the texts align with the label names, from 0 to 1."""
        return ramp(self.alignment_, *_ALIGNED)

    def _read(self, texts: Evidence, given: Floats | None) -> tuple[Rows, float]:
        """Fit both readings; return their combined log-odds (n, k) of the texts, and the agreement of neighbors."""
        z, (careful, free) = self._start(texts)
        estimate = mean_probabilities(careful + np.log(self.anchored_.prior_).astype(np.float32)) ** 0.95
        shares = completed(estimate / estimate.sum(), given)
        kept = sample(z, self.landmarks)
        self.landmarks_ = z[kept]
        graph = nearest(z, self.landmarks_, _NEIGHBOURS, own=kept)
        self.careful_, logits = self._reading(z, careful, shares, graph, kept, warm=False)
        self.prior_ = mean_probabilities(logits.copy())
        self.evenness_ = evenness(self.prior_)
        even = 0.0 if given is not None else ramp(self.evenness_, *_UNIFORM)
        drawn = shares ** (1 - even)
        self.free_, freed = self._reading(z, free, drawn / drawn.sum(), graph, kept, warm=True)
        self._judge(given, mean_probabilities(freed.copy()))
        if self.freedom_ > 0:
            logits = between(logits, freed, self.freedom_)
            self.prior_ = mean_probabilities(logits.copy())
        else:
            self.free_ = None
        return logits, agreement(to_probabilities(logits.copy()), graph, kept)

    def _start(self, texts: Evidence) -> tuple[Rows, tuple[Rows, Rows]]:
        """Centre the texts and fit the anchored mixture; return z (n, d) and the scores (n, k) from which the readings start."""
        x, anchors = texts.features, texts.anchors.astype(np.float64)
        self.centre_ = x.mean(axis=0, dtype=np.float64)
        self.directions_ = unit_rows(anchors - anchors.mean(axis=0))
        z = self._centred(x)
        self.anchored_ = AnchoredMixture().fit(x, anchors, to_probabilities(self._cosines(z)))
        spread = max(_spread(self.anchored_.scores(x)), 1e-9)
        self.stretch_ = _spread(x @ texts.anchors.T) / (2 * (texts.temperature or _COSINE_SCALE)) / spread
        return z, self._scores(texts, z)

    def _reading(
        self, z: Rows, scores: Rows, shares: Floats, graph: csr_matrix, kept: Indices, *, warm: bool
    ) -> tuple[Reading, Rows]:
        """Balance scores to shares and fit a mixture from them; return the reading and its log-odds (n, k) of the texts."""
        mixture = TiedMixture(shrinkage(len(z)), rounds=self.rounds)
        reading = Reading(offsets(scores, shares) - np.log(shares), mixture)
        belief = reading.belief(scores)
        posterior = to_probabilities(belief + np.log(shares).astype(np.float32))
        if warm:
            first = TiedMixture(_WARM_SHRINKAGE, rounds=min(_WARM_UP, self.rounds))
            posterior = first.fit(z, belief, shares, graph, posterior, voters=kept).posterior_
        mixture.fit(z, belief, shares, graph, posterior, voters=kept)
        mixture.posterior_ = mixture.posterior_[kept]
        return reading, reading.logits(z, belief, graph)

    def _judge(self, given: Floats | None, freed: Floats) -> None:
        """Set the weights of the free reading (its shares are `freed`) and of the pool, and write the sentence of the guard."""
        assert self.careful_ is not None
        assert self.free_ is not None
        careful, free = self.careful_.mixture.means_, self.free_.mixture.means_
        along, freely = self._alignment(careful, self.prior_), self._alignment(free, freed)
        n, known = self.texts_, given is not None and not np.isnan(given).any()
        astray = (1 - ramp(along, *_ASTRAY)) * ramp(freely - along, *_NEARER)
        free_counts = max(ramp(self.evenness_, *_EVEN), astray)
        self.freedom_ = rho = 1.0 if known else free_counts * n / (n + _ENOUGH_TO_CENTRE)
        self.alignment_ = rho * freely + (1 - rho) * along
        self.means_ = rho * free + (1 - rho) * careful
        self.weight_ = self.names_hold * (n / (n + max(_ENOUGH, _PER_LABEL * len(freed)))) ** 2
        self.guard_ = self._sentence(given)

    def _alignment(self, means: Floats, shares: Floats) -> float:
        """Σ_k share_k cos(μ_k − μ̄, p_k − p̄) of a reading's means (k, d) and shares (k,)."""
        around = unit_rows(means - shares @ means)
        return float(shares @ (around * self.directions_).sum(axis=1))

    def _compare(self, texts: Evidence) -> None:
        """Lower the weight of the pool where another backbone's pool disagrees with it more than the names of both do."""
        assert texts.second is not None
        other = Pool(rounds=self.rounds, shares=self.shares, balanced=self.balanced).fit(texts.second)
        before = _agreed(self.below.log_posterior(texts), self.below.log_posterior(texts.second))
        after = _agreed(self.log_posterior(texts), other.log_posterior(texts.second))
        self.drift_ = before - after
        self.weight_ *= 1 - ramp(self.drift_, *_DRIFTED)
        if self.drift_ > _DRIFTED[0]:
            found = texts.second.recipe.get("backbone", tr("another model"))
            self.guard_ = tr(
                "given up: {backbone} groups these texts in another way, so label names decide alone."
                if self.weight_ < _NEGLIGIBLE
                else "kept in part: {backbone} groups these texts in another way, so label names count as well.",
                backbone=found,
            )

    @property
    def guard_details_(self) -> dict[str, float]:
        """The figures behind `guard_`, by name; those that are not defined for this fit are absent."""
        if self.careful_ is None:
            return {"texts": self.texts_}
        figures = {
            "texts": self.texts_,
            "alignment": self.alignment_,
            "evenness": self.evenness_,
            "freedom": self.freedom_,
            "drift": self.drift_,
            "weight": self.weight_,
        }
        return {name: float(figure) for name, figure in figures.items() if not np.isnan(figure)}

    def _sentence(self, given: Floats | None) -> str:
        """Whether the pool was kept, and why, in one plain sentence."""
        balanced = given is not None
        if self.weight_ == 0:
            return tr(
                "given up: the {n:,} texts do not fall into groups that match the label names, so label names decide alone,"
                " balanced to the shares that were given."
                if balanced
                else "given up: the {n:,} texts do not fall into groups that match the label names, so label names decide alone.",
                n=self.texts_,
            )
        if self.weight_ < _NEGLIGIBLE:
            return _too_few(self.texts_, balanced=balanced)
        if self.weight_ >= 0.5:
            return tr("kept: the {n:,} texts fall into groups that match the label names.", n=self.texts_)
        return tr(
            "kept in part: the {n:,} texts match the label names only somewhat, so label names count as well."
            if self.names_hold < self.weight_ / self.names_hold
            else "kept in part: {n:,} texts are too few to count in full, so label names count as well.",
            n=self.texts_,
        )

    def _temper(self, read: tuple[Rows, float], names: Floats) -> None:
        logits, agreed = read
        self.temperature_ = temperature(logits, (float(np.exp(names.max(axis=1)).mean()) + agreed) / 2)

    def _logits(self, texts: Evidence) -> Rows:
        z = self._centred(texts.features)
        graph = nearest(z, self.landmarks_, _NEIGHBOURS)
        careful, free = self._scores(texts, z)
        assert self.careful_ is not None
        logits = self.careful_.logits(z, self.careful_.belief(careful), graph)
        if self.free_ is None:
            return logits
        return between(logits, self.free_.logits(z, self.free_.belief(free), graph), self.freedom_)

    def _scores(self, texts: Evidence, z: Rows) -> tuple[Rows, Rows]:
        if texts.scores is None:
            careful = self.anchored_.scores(texts.features)
            careful *= np.float32(self.stretch_)
        else:
            careful = self.below.log_posterior(texts).astype(np.float32)
        return careful, between(careful, self._cosines(z), 0.5)

    def _cosines(self, z: Rows) -> Rows:
        """cos(z, p − p̄) in nats, (n, k)."""
        return np.asarray(z @ (self.directions_.T / _COSINE_SCALE).astype(np.float32))

    def _centred(self, features: Rows) -> Rows:
        return centred(features, self.centre_)


def anchors_from_scores(texts: Evidence, names: Floats) -> Evidence:
    """Evidence whose anchors are the means of the texts that its scores give to each label; unchanged without scores."""
    if texts.scores is None:
        return texts
    weights = np.exp(names)
    means = weights.T @ texts.features / np.maximum(weights.sum(axis=0), 1e-12)[:, None]
    return replace(texts, anchors=unit_rows(means).astype(np.float32))


def _too_few(n: int, *, balanced: bool) -> str:
    if balanced:
        return tr_n(
            "given up: {n:,} text is too few to learn from, so label names decide alone, balanced to the shares that were given.",
            "given up: {n:,} texts are too few to learn from, so label names decide alone, balanced to the shares that were given.",
            n=n,
        )
    return tr_n(
        "given up: {n:,} text is too few to learn from, so label names decide alone.",
        "given up: {n:,} texts are too few to learn from, so label names decide alone.",
        n=n,
    )


def given_shares(shares: Floats | None, k: int, *, balanced: bool) -> Floats | None:
    """The given shares of the labels (k,), NaN where none is given; None where none is given at all.

    Raises UserError for shares below 0, of more than 1 in all, or beside `balanced`.

    >>> given_shares(None, 2, balanced=True)
    array([0.5, 0.5])
    """
    if shares is None:
        return np.full(k, 1 / k) if balanced else None
    given = np.asarray(shares, dtype=np.float64)
    known = given[~np.isnan(given)]
    if balanced:
        raise UserError("shares and balanced: both are given.", "Give one of them: balanced means equal shares.")
    if given.shape != (k,):
        raise UserError(
            "shares: got {shape} for {k} labels.",
            "Give one share a label, NaN where it is not known.",
            shape=given.shape,
            k=k,
        )
    total = float(known.sum())
    if (known < 0).any() or total > 1 + 1e-6 or (len(known) == k and total < 1 - 1e-6):
        raise UserError(
            "shares: got {tolist}, together {total:.3g}.",
            "Give shares from 0 to 1 that sum to 1.",
            tolist=known.tolist(),
            total=total,
        )
    return None if len(known) == 0 else given


def completed(estimate: Floats, given: Floats | None) -> Floats:
    """Shares (k,) that keep the given ones and divide the rest as estimated; none is 0, so that logarithms are finite.

    >>> completed(np.array([0.2, 0.2, 0.6]), np.array([np.nan, np.nan, 0.2])).round(2).tolist()
    [0.4, 0.4, 0.2]
    """
    if given is not None:
        free = np.isnan(given)
        rest = estimate * free * (1 - np.nansum(given)) / max(float(estimate[free].sum()), 1e-12)
        estimate = np.where(free, rest, given)
    estimate = np.maximum(estimate, 1e-6)
    return np.asarray(estimate / estimate.sum())


def evenness(shares: Floats) -> float:
    """The normalized entropy of shares (k,): 1 where all are equal, 0 where one label has everything.

    >>> evenness(np.array([0.5, 0.5, 0.0, 0.0]))
    0.5
    """
    entropy = -float((shares * np.log(np.maximum(shares, 1e-300))).sum())
    return entropy / float(np.log(len(shares)))


def ramp(value: float, low: float, high: float) -> float:
    """0 up to `low`, 1 from `high`, linear between them.

    >>> ramp(0.2, 0.15, 0.25)
    0.5
    """
    return round(min(max((value - low) / (high - low), 0.0), 1.0), 12)


def mixed(first: Floats, second: Floats, weight: float) -> Floats:
    """log( weight · exp first + (1 − weight) · exp second ), (n, k)."""
    if weight >= 1:
        return first
    return np.asarray(np.logaddexp(first + np.log(weight), second + np.log1p(-weight)))


def between(first: Rows, second: Rows, weight: float) -> Rows:
    """weight · second + (1 − weight) · first; `second` is overwritten."""
    second *= np.float32(weight)
    second += np.float32(1 - weight) * first
    return second


def mean_probabilities(logits: Rows) -> Floats:
    """The mean (k,) of softmax(logits) over texts; logits (n, k) are overwritten."""
    return np.asarray(to_probabilities(logits).mean(axis=0, dtype=np.float64))


def agreement(posterior: Rows, graph: csr_matrix, voters: Indices) -> float:
    """The mean probability that a text and one of its neighbors have the same label."""
    votes, agreed = posterior[voters], 0.0
    for rows in blocks(posterior.shape):
        agreed += float((posterior[rows] * (graph[rows] @ votes)).sum(dtype=np.float64))
    return agreed / len(posterior)


def _agreed(first: Floats, second: Floats) -> float:
    """The share of texts for which two posteriors (n, k) have the same most probable label."""
    return float((first.argmax(axis=1) == second.argmax(axis=1)).mean())


def temperature(logits: Rows, confidence: float) -> float:
    """The T in [.1, 100], found by bisection, at which softmax(logits / T) has the mean confidence `confidence`."""
    lower = logits - logits.max(axis=1, keepdims=True)
    low, high = np.log(0.1), np.log(100.0)
    for _ in range(30):
        middle = (low + high) / 2
        low, high = (middle, high) if _mean_confidence(lower, float(np.exp(middle))) > confidence else (low, middle)
    return float(np.exp((low + high) / 2))


def _mean_confidence(lower: Rows, temperature: float) -> float:
    """The mean confidence of softmax(lower / temperature), where each row's largest logit is 0."""
    scale = np.float32(1 / temperature)
    sums = [np.exp(scale * lower[rows]).sum(axis=1) for rows in blocks(lower.shape, size=IN_CACHE)]
    return float((1 / np.concatenate(sums)).mean(dtype=np.float64))


def _spread(scores: Rows) -> float:
    """The standard deviation of scores (n, k) around the mean of each row."""
    parts = [scores[rows].var(axis=1, dtype=np.float64) for rows in blocks(scores.shape)]
    return float(np.sqrt(np.concatenate(parts).mean()))


def unit_rows(rows: Floats) -> Floats:
    """Rows of length 1, in the precision that they have; a zero row stays zero."""
    return np.asarray(rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9))
