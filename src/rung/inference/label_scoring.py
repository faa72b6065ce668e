"""Score labels with a backbone: log p(label | text), which becomes the prior of the rungs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from rung.backbones.loading import require
from rung.backbones.prompt import Prompt
from rung.errors import UserError
from rung.evidence import Array, Backbone, Evidence, Long, Progress
from rung.evidence.cache import Cache
from rung.evidence.embedding import embed_texts, label_evidence
from rung.inference.prompts import LabelPrompts, label_prompts
from rung.labels import Labels
from rung.messages import tr
from rung.rungs.names import Names

Flags = npt.NDArray[np.bool_]
Length = Literal["sum", "token", "byte"]
NEUTRAL = ("N/A", "...", "The text.")  # texts without content: a label gets their score from any text
_UNCALIBRATED = "entailment"  # a style for which a neutral premise only adds noise
_BATCH_SIZE = 256  # texts between two writes to the cache and two steps of a progress bar
_CHOSEN = 0.9  # the probability of a label that was chosen without probabilities: an assumption, not a measurement
_MAX_NATS = 30.0  # float32 cannot represent a probability closer to 0 or 1
UNSCORED_GAP = 1.0  # nats by which labels without a score lie below the lowest scored label


def with_label_scores(
    evidence: Evidence,
    texts: Sequence[object],
    labels: Labels,
    backbone: Backbone,
    *,
    length: Length = "sum",
    shortlist: int | None = None,
    long: Long = "cut",
    cache: Cache | None = None,
    progress: Progress | None = None,
) -> Evidence:
    """`evidence` with the scores of `backbone` added; its features come from another backbone, the geometry.

    For a backbone that embeds but does not score, the names rung gives the scores. `shortlist` is the number of labels that are
    scored, the most probable ones by the names of the geometry. A text that could not be scored gets a reason.
    """
    if "score" not in backbone.abilities:
        own = label_evidence(labels, backbone, cache=cache)
        own = own.of_texts(*embed_texts(texts, backbone, cache=cache, long=long, progress=progress))
        return replace(evidence, scores=Names().log_posterior(own).astype(np.float32))
    ok = np.flatnonzero(evidence.ok).tolist()
    among = (
        None
        if shortlist is None
        else shortlist_mask(Names().log_posterior(evidence.part(np.array(ok, dtype=np.intp))), shortlist)
    )
    readable = [str(texts[i]) for i in ok]
    found, why = score_labels(readable, labels, backbone, length=length, among=among, cache=cache, progress=progress)
    rows = np.full((len(texts), len(labels)), np.nan, dtype=np.float32)
    rows[ok] = found
    reasons = list(evidence.reasons)
    for i, reason in zip(ok, why, strict=True):
        reasons[i] = reason or (tr("the backbone gave no score") if np.isnan(rows[i]).any() else None)
    scored = np.array([reason is None for reason in reasons], dtype=bool)
    return replace(evidence, scores=rows, ok=scored, reasons=tuple(reasons))


def shortlist_mask(names: npt.NDArray[np.float64], count: int) -> Flags:
    """Which labels (n, k) are among the `count` most probable of a text."""
    if count < 1:
        raise UserError(
            "shortlist: got {count!r}.",
            "Give how many labels of each text the backbone scores, such as 10.",
            count=count,
        )
    kept = np.argsort(-names, axis=1, kind="stable")[:, :count]
    among = np.zeros(names.shape, dtype=bool)
    np.put_along_axis(among, kept, True, axis=1)
    return among


def score_labels(
    texts: Sequence[str],
    labels: Labels,
    backbone: Any,
    *,
    length: Length = "sum",
    among: Flags | None = None,
    cache: Cache | None = None,
    progress: Progress | None = None,
) -> tuple[Array, list[str | None]]:
    """log p(label | text), (n, k), natural, and for each text the reason why there is none (its row is NaN), or None.

    A label with several words gets the mean of their probabilities. `length` says what a word of several tokens t counts:

    sum     Σ log p(t | before): the model's own probability. Long names lose: every token lowers the sum
    token   its mean over tokens. Names of many tokens gain, since the later tokens of a word follow from the first
    byte    the sum over the bytes of the name: the same whatever the tokenizer, with the bias of `token` for long words

    A model that reads pairs of text and label gives each label its own probability p. If exactly one label holds, the probabilities
    of the labels are proportional to their odds p / (1 − p), so the log-odds are the scores.

    among (n, k): only these labels are scored, where the backbone reads pairs; all others lie below the lowest of them.
    """
    wording = label_prompts(labels, require(backbone, "score"))
    pairs = None if among is None else among[:, wording.owner]
    if pairs is not None and not getattr(backbone, "pairwise", False):
        raise UserError(
            "shortlist: {backbone_name!r} scores all labels of a text in one pass, so leaving some out saves nothing.",
            "Leave shortlist out; it is for entailment models, which read each text with each label.",
            backbone_name=backbone.name,
        )
    per_token = _lengths(wording, backbone, length)
    distinct, first, inverse = np.unique(np.array(texts, dtype=object), return_index=True, return_inverse=True)
    if pairs is not None:
        rows, why = _scored_in_batches(distinct.tolist(), wording, backbone, pairs[first], None, progress)
    else:
        rows, why = _scored_with_cache(distinct.tolist(), wording, backbone, cache, progress)
    found = _of_labels(rows / per_token, wording.owner, len(labels))
    found = _odds(found) if getattr(backbone, "pairwise", False) else found
    return _fill_unscored(found)[inverse], [why[i] for i in inverse]


def count_truncated(texts: Sequence[str], labels: Labels, backbone: Any) -> int:
    """How many of `texts` are too long for the backbone, with the question and the longest label beside each of them."""
    if "score" not in backbone.abilities or "embed" in backbone.abilities:
        return int(backbone.cut(texts))
    wording = label_prompts(labels, backbone)
    return int(backbone.cut([wording.prompt(text) for text in texts], wording.candidates))


def _scored_with_cache(
    texts: list[str], wording: LabelPrompts, backbone: Any, cache: Cache | None, progress: Progress | None
) -> tuple[Array, list[str | None]]:
    """Scores (n, m) of distinct texts, from the cache where it has them; and for each text the reason why there are none."""
    rows = np.full((len(texts), len(wording.candidates)), np.nan, dtype=np.float32)
    why: list[str | None] = [None] * len(texts)
    space = f"{backbone.fingerprint}/{backbone.numerics}/score/{wording.key}"
    known = cache.get(space, texts) if cache is not None else {}
    for i, row in known.items():
        rows[i] = row
    if progress is not None:
        progress(len(known))
    new = sorted((i for i in range(len(texts)) if i not in known), key=lambda i: (len(texts[i]), texts[i]))
    keep = None if cache is None else partial(cache.put, space, backbone=backbone.name)
    rows[new], reasons = _scored_in_batches([texts[i] for i in new], wording, backbone, None, keep, progress)
    for i, reason in zip(new, reasons, strict=True):
        why[i] = reason
    return rows, why


def _scored_in_batches(
    texts: list[str], wording: LabelPrompts, backbone: Any, pairs: Flags | None, keep: Any, progress: Progress | None
) -> tuple[Array, list[str | None]]:
    """Scores (n, m) of texts, computed in batches; each batch is cached at once, so that an interrupted run loses little."""
    rows = np.zeros((len(texts), len(wording.candidates)), dtype=np.float32)
    why: list[str | None] = []
    for start in range(0, len(texts), _BATCH_SIZE):
        part = slice(start, start + _BATCH_SIZE)
        prompts = [wording.prompt(text) for text in texts[part]]
        rows[part], reasons = _batch_scores(
            backbone, prompts, wording.candidates, None if pairs is None else pairs[part]
        )
        why += reasons
        if keep is not None:
            scored = [i for i in range(start, start + len(prompts)) if not np.isnan(rows[i]).any()]
            keep([texts[i] for i in scored], rows[scored])
        if progress is not None:
            progress(len(prompts))
    return rows, why


def neutral_scores(
    labels: Labels, backbone: Any, *, length: Length = "sum", cache: Cache | None = None
) -> Array | None:
    """The scores (g, k) of neutral texts; None where they would carry no information."""
    if backbone.style == _UNCALIBRATED:
        return None
    found, _ = score_labels(NEUTRAL, labels, backbone, length=length, cache=cache)
    scored = found[~np.isnan(found).any(axis=1)]
    return scored if len(scored) else None


def _batch_scores(
    backbone: Any, prompts: list[Prompt], candidates: list[str], pairs: Any
) -> tuple[Array, list[str | None]]:
    """Scores (n, m) and reasons; where a score is missing and the backbone can choose, its choice stands in for the score."""
    if pairs is not None:
        return backbone.score(prompts, candidates, among=pairs), [None] * len(prompts)
    if not hasattr(backbone, "scored"):
        return backbone.score(prompts, candidates), [None] * len(prompts)
    found, why = backbone.scored(prompts, candidates)
    missing = np.flatnonzero(np.isnan(found).any(axis=1))
    if not len(missing):
        return found, why
    places, reasons = backbone.choose([prompts[i] for i in missing], candidates)
    for i, place, reason in zip(missing, places, reasons, strict=True):
        found[i], why[i] = _chosen(place, len(candidates)), None if place is not None else reason or why[i]
    return found, why


def _chosen(place: int | None, m: int) -> Array:
    """Log-probabilities (m,) of a choice without probabilities: .9 for the chosen candidate, the rest is shared by the others."""
    if place is None:
        return np.full(m, np.nan, dtype=np.float32)
    row = np.full(m, np.log((1 - _CHOSEN) / max(m - 1, 1)), dtype=np.float32)
    row[place] = np.log(_CHOSEN)
    return row


def _lengths(wording: LabelPrompts, backbone: Any, length: Length) -> Array:
    """The divisor (m,) of the sum over the tokens of each candidate."""
    if length not in ("sum", "token", "byte"):
        raise UserError("length: got {length!r}.", 'Choose  length="sum", "token" or "byte"', length=length)
    if length == "sum" or wording.style in ("entailment", "following", "options"):
        return np.ones(len(wording.candidates), dtype=np.float32)
    if length == "byte":
        return np.array([max(len(each.strip().encode()), 1) for each in wording.candidates], dtype=np.float32)
    return np.asarray(backbone.lengths(wording.candidates), dtype=np.float32)


def _of_labels(rows: Array, owner: npt.NDArray[np.intp], k: int) -> Array:
    """The log of the mean probability over each label's candidates, (n, k); NaN where one of them was not scored."""
    return np.stack([_log_mean(rows[:, owner == label]) for label in range(k)], axis=1)


def _odds(log_p: Array) -> Array:
    """log( p / (1 − p) ), finite also where p is 0 or 1 in float32."""
    clipped = np.clip(log_p.astype(np.float64), -_MAX_NATS, -np.exp(-_MAX_NATS))
    return np.asarray(clipped - np.log(-np.expm1(clipped)), dtype=np.float32)


def _fill_unscored(found: Array) -> Array:
    """Scores (n, k) in which labels without a score lie below the lowest scored label; rows without any score stay NaN."""
    some = ~np.isnan(found).all(axis=1, keepdims=True)
    least = np.min(np.where(np.isnan(found), np.inf, found), axis=1, keepdims=True)
    return np.where(np.isnan(found) & some, least - np.float32(UNSCORED_GAP), found).astype(np.float32)


def _log_mean(rows: Array) -> Array:
    """log mean_j exp rows_ij, (n,); NaN where a part is missing."""
    top = rows.max(axis=1, initial=-np.inf)
    with np.errstate(invalid="ignore"):
        return np.asarray(top + np.log(np.exp(rows - top[:, None]).mean(axis=1)))
