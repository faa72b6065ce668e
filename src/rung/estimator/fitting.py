"""What a classifier learns from evidence: the rung of one label a text, several labels a text, and the texts that fit no label."""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt

from rung.decide.multilabel import MultiLabel
from rung.decide.partial_multilabel import Marked
from rung.decide.rejection import Reject, label_means
from rung.errors import UserError
from rung.estimator.label_space import LabelSpace
from rung.evidence import Array, Evidence
from rung.evidence.hashing import hashes
from rung.messages import tr
from rung.rungs.ladder import Rung, climb

Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.intp]


def fit_rung(evidence: Evidence, known: Indices, space: LabelSpace, shares: Floats | None, *, balanced: bool) -> Rung:
    """The highest rung for these texts (n); known (n,) are indices of labels, −1 where there is none.

    A text labelled with a parent is learned from at the leaf under it that is likeliest by everything else.
    """
    with_parent = space.names_parent(known)
    rung = climb(evidence, np.where(with_parent, -1, known), shares=shares, balanced=balanced)
    if not with_parent.any():
        return rung
    leaves = space.leaves_of(known, rung.log_posterior(evidence))
    return climb(evidence, leaves, shares=shares, balanced=balanced)


def fit_multi_label(evidence: Evidence, marks: Floats, shares: Floats | None) -> MultiLabel | Marked:
    """Labels that are independent of each other: from the texts alone, or with marks (n, k) of 0, 1 and NaN for some of them."""
    given = None if shares is None else tuple(None if np.isnan(each) else float(each) for each in shares)
    background = (evidence.general if len(evidence.general) else evidence.anchors).mean(axis=0)
    unsupervised = MultiLabel(given).fit(evidence.features[evidence.ok], evidence.anchors, background)
    rows = np.flatnonzero(~np.isnan(marks).all(axis=1) & evidence.ok)
    return Marked(unsupervised).fit(evidence.features[rows], marks[rows]) if len(rows) else unsupervised


def multi_label_guard(fitted: MultiLabel | Marked) -> str:
    """What `guard_` says of labels that are independent of each other."""
    return (
        fitted.guard_
        if isinstance(fitted, Marked)
        else tr("each label is decided by itself, at its share of the texts.")
    )


def fit_rejection(share: float | Literal["auto"], evidence: Evidence, rung: Rung, unrelated: Array) -> Reject:
    """Which texts belong to none of the labels; unrelated (u, d) are features of texts that are known to belong to none."""
    readable = evidence.readable()
    means = label_means(readable.features, np.exp(rung.log_posterior(readable)), evidence.general)
    return Reject(share).fit(readable.features, means, evidence.general, unrelated)


def check_unseen(features: Array, fitted: Array) -> None:
    """Raise UserError where texts for calibration (features) are among those that were labelled in `fit` (fitted).

    Their labels would only confirm what was learned from them.
    """
    again = int(np.isin(hashes(features), hashes(fitted)).sum())
    if again:
        raise UserError(
            "calibrate: {again} of {labelled} labelled texts already had a label in fit.",
            "Keep some labels apart:  fit(texts, y_of_some)  and  calibrate(other_texts, their_y)",
            again=again,
            labelled=len(features),
        )
