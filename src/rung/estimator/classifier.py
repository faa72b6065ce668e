"""One estimator that climbs the rungs: it wires labels, evidence, rungs and decisions, and knows the mathematics of none."""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt
from scipy.special import expit
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import validate_data

from rung.backbones.loading import spelled
from rung.decide.active_learning import suggest
from rung.decide.answer import Answer
from rung.decide.calibration import Calibration, MultiLabelCalibration
from rung.decide.correctness import right_labels, share_right
from rung.decide.hierarchy import Tree
from rung.decide.label_selection import Choice, deepest, one, several, without
from rung.decide.multilabel import MultiLabel
from rung.decide.parent_labels import parents_of, with_leaves
from rung.decide.partial_multilabel import Marked
from rung.decide.rejection import Reject, checked_share, label_means
from rung.errors import UserError
from rung.estimator import persistence
from rung.estimator.numeric_features import Numbers
from rung.estimator.parameters import as_plain, check_parameters, opened
from rung.evidence import Array, Backbone, Evidence, Long, Progress
from rung.evidence.cache import Cache
from rung.evidence.hashing import hashes
from rung.inference.evidence_sources import Sources
from rung.inference.inputs import as_items, holds_texts, is_matrix
from rung.inference.label_inputs import (
    NO_LABEL,
    in_rows_of,
    is_gap,
    known_marks,
    known_places,
    label_column,
    named_shares,
    warn_of_contradictions,
)
from rung.inference.label_scoring import Length
from rung.inference.language import warn_of_language
from rung.labels import Labels, as_array, distinct
from rung.labels.normal_form import LabelValue
from rung.messages import tr, tr_n
from rung.rungs.ladder import Rung, climb, name_of
from rung.rungs.linear import Linear
from rung.rungs.names import Names
from rung.rungs.pool import given_shares

Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.intp]

_SETTINGS = (
    "length",
    "shortlist",
    "long",
    "shares",
    "balanced",
    "multi_label",
    "reject",
    "confidence",
)  # saved as they are
_LEARNED = ("learned_", "several_", "reject_", "calibration_", "guard_")  # what a fit leaves


class Classifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """Label texts from label names, from the unlabelled texts themselves, and from a few labels, without training.

    labels: a list of names, or a mapping from name to a description or to {"description", "words", "examples", "children"}.
    Children make a tree: texts are compared with its leaves. None takes the names from the y of `fit`.
    backbone: a name that `rung.load` takes, or a loaded backbone; "auto" is the best that is installed.
    geometry: another backbone, whose features say where the texts lie, while `backbone` says what the labels mean; None takes
    the same for both, or the best that is installed where `backbone` scores and does not embed.
    length: what a label of several tokens counts where the backbone scores: "sum", "token" or "byte".
    shortlist: how many labels of each text an entailment model reads, the likeliest by the geometry; None: all of them.
    cache: whether embeddings are kept on disk, or the folder to keep them in.
    long: what happens to texts beyond the backbone's maximum length: "cut" their end, or "mean" over all of their pieces.
    shares: what is known of the labels' shares, as {"spam": 0.1}; balanced: labels are about equally frequent. Otherwise some
    labels may not occur at all.
    multi_label: every label is a yes or no by itself; `predict` then gives an (n, k) array of 0 and 1, and y may be one.
    reject: the share of texts that belong to none of the labels, or "auto"; `predict` gives None for them.
    confidence: in a tree, the answer is the deepest label that is at least so probable.

    >>> clf = Classifier(["billing", "bug report"], backbone="builtin")
    >>> clf.predict(["I was charged twice on my invoice", "the app crashes when I open it"]).tolist()
    ['billing', 'bug report']
    """

    def __init__(
        self,
        labels: Any = None,
        *,
        backbone: str | Backbone = "auto",
        geometry: str | Backbone | None = None,
        length: Length = "sum",
        shortlist: int | None = None,
        cache: bool | str | Path = True,
        long: Long = "cut",
        shares: Mapping[str, float] | None = None,
        balanced: bool = False,
        multi_label: bool = False,
        reject: float | Literal["auto"] | None = None,
        confidence: float = 0.5,
    ) -> None:
        self.labels = labels
        self.backbone = backbone
        self.geometry = geometry
        self.length = length
        self.shortlist = shortlist
        self.cache = cache
        self.long = long
        self.shares = shares
        self.balanced = balanced
        self.multi_label = multi_label
        self.reject = reject
        self.confidence = confidence

    def fit(self, X: Any, y: Any = None, *, progress: Progress | None = None) -> Self:
        """Climb as high as X and y allow: texts alone make the rung `pool`, with labels of some of them it is `shots`.

        X are n texts, n images where the backbone reads images (paths or PIL images), or an (n, d) array of embeddings; y (n,)
        holds None, NaN or pandas.NA where there is no label (−1 too, if labels are given and −1 is none of them). The word
        "none of these" marks a text that belongs to none of the labels: no label is learned from it, `transduction_` is None for
        it, and with `reject` it shows where such texts lie. In a tree y may name a parent: the text lies under it, and is learned
        from at the leaf there that is likeliest by all else that is known. With multi_label y holds a collection of names a text
        (an empty one: no label applies), or is an (n, k) array or a table, named by labels, of 0, 1 and NaN. A pandas y with a
        part of X's index, or a mapping from text to label, labels the rows that it names.
        A second fit forgets the first. Nothing of the backbone changes.
        Raises UserError for labels, texts, shares or y that cannot be used. Warns where one text carries two labels,
        and where the backbone does not read the language of the texts or of the labels.
        """
        check_parameters(self.get_params(deep=False))
        self._forget()
        evidence, known = self._told(X, y, progress)
        self._warn_of_language(X)
        if self.multi_label:
            self._fit_several(evidence, known)
        else:
            among = np.flatnonzero(known != NO_LABEL)
            inside = evidence if len(among) == len(known) else evidence.part(among)
            self.learned_ = self._climb(inside, known[among])
            self.guard_ = getattr(self.learned_, "guard_", tr("no text could be read, so label names decide alone."))
            self._fit_reject(inside, evidence.features[(known == NO_LABEL) & evidence.ok])
        self._known, self._fitted_on, self._fitted_as = known, replace(evidence, second=None), self._as_asked()
        return self

    def calibrate(self, X: Any, y: Any) -> Self:
        """Make probabilities honest by labelled texts that were not fitted on; from then on `label_sets` can be asked for.

        y as in `fit`; a few dozen labels are a start. One temperature moves all probabilities, so answers stay; in a tree it
        moves the leaves, whose sums their parents are, so that an answer may end at another depth.
        The next fit forgets it. Raises UserError without a label, and for texts whose labels were fitted on.
        """
        evidence = self.evidence(X)
        if self.multi_label:
            return self._calibrate_several(evidence, y)
        known = self._places(X, y, len(evidence.features))
        rows = np.flatnonzero((known >= 0) & (known < len(self.classes_)) & evidence.ok)
        if not len(rows):
            raise _nothing_to_calibrate_by()
        self._check_unseen(evidence.features[rows])
        self.calibration_: Calibration | MultiLabelCalibration
        self.calibration_ = Calibration().fit(self._rung().log_posterior(evidence)[rows], known[rows])
        return self

    def _calibrate_several(self, evidence: Evidence, y: Any) -> Self:
        marks = known_marks(y, len(evidence.features), self.classes_.tolist())
        rows = np.flatnonzero(~np.isnan(marks).all(axis=1) & evidence.ok)
        if not len(rows):
            raise _nothing_to_calibrate_by()
        self._check_unseen(evidence.features[rows])
        self.calibration_ = MultiLabelCalibration().fit(self._log_odds(evidence)[rows], marks[rows])
        return self

    def label_sets(self, X: Any, level: float = 0.9) -> list[tuple[Any, ...] | None]:
        """For each text the labels among which the true one is, in `level` of all texts; None where it could not be read.

        In a tree they are leaves. With multi_label a set holds all true labels of a text, in `level` of all texts.
        That holds on average over texts like those of `calibrate`, whatever the probabilities are worth; with too few of them
        every set holds all labels. Raises UserError before `calibrate`. Source: see `rung.decide.calibration.ConformalSets`.
        """
        self._check_calibrated()
        return self._label_sets(self.evidence(X), level)

    def _label_sets(self, evidence: Evidence, level: float) -> list[tuple[Any, ...] | None]:
        said = self._log_odds(evidence) if self.multi_label else self._rung().log_posterior(evidence)
        inside = self.calibration_.sets(said, level)
        return [tuple(self.classes_[row].tolist()) if ok else None for row, ok in zip(inside, evidence.ok, strict=True)]

    def predict(self, X: Any) -> npt.NDArray[Any]:
        """The label of each text (n,); None where it could not be read or belongs to none.

        In a tree it is the deepest label that is sure enough. With multi_label: (n, k) of 0 and 1.
        """
        evidence = self.evidence(X)
        if self.multi_label:
            return np.asarray(((self._probabilities(evidence) > 0.5) & evidence.ok[:, None]).astype(int))
        chosen = self._choose(evidence).labels
        return self._typed(chosen)

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """The share of right answers to texts X with the true labels y (n,), None where there is none: such texts do not count.

        No answer is not right, except for texts that belong to none of the labels, as y says. In a tree a label under the true
        one is right too; with multi_label all marks have to be.
        Raises UserError if no text has a label.
        """
        said, y = self.predict(X), in_rows_of(X, y)
        if self.multi_label:
            marks = known_marks(y, len(said), self.classes_.tolist())
            return share_right((said == marks).all(axis=1), ~np.isnan(marks).any(axis=1), sample_weight)
        names, named = self._names(), self.labels is not None
        truth = known_places(y, len(said), names, minus_one_is_none=named, allow_unknown=not named)
        return share_right(right_labels(said, truth, names, self._tree()), truth != -1, sample_weight)

    def predict_proba(self, X: Any) -> Floats:
        """Probabilities (n, k), columns in the order of `classes_`; NaN where a text could not be read.

        Rows sum to 1; with multi_label each column stands by itself. In a tree they are those of the leaves.
        """
        evidence = self.evidence(X)
        probabilities = self._probabilities(evidence)
        probabilities[~evidence.ok] = np.nan
        return probabilities

    def answers(self, X: Any, *, level: float | None = None, progress: Progress | None = None) -> list[Answer]:
        """One `Answer` a text, with its probability, rung and, where there is no label, the reason.

        With `level` also its label set, as `label_sets` gives it, which needs `calibrate` first.
        """
        if level is not None:
            self._check_calibrated()
        evidence = self.evidence(X, progress=progress)
        chosen, rung = self._choose(evidence), self.rung_
        sets = [None] * len(evidence.ok) if level is None else self._label_sets(evidence, level)
        said = zip(chosen.labels, chosen.probabilities, chosen.reasons, evidence.reasons, sets, strict=True)
        return [
            Answer(label, float(p), rung, reason, label_set=held)
            if error is None
            else Answer(None, None, rung, error, error)
            for label, p, reason, error, held in said
        ]

    def suggest(self, X: Any, n: int = 10, y: Any = None) -> Indices:
        """Places of the texts whose labels would help most (at most n of them), the most helpful first.

        As many for every label, spread over the texts, each text once; y says which have a label already.
        """
        evidence = self.evidence(X)
        known = self._places(X, y, len(evidence.features))
        readable = np.flatnonzero(evidence.ok)
        probabilities = self._probabilities(evidence)[readable]
        known = with_leaves(known[readable], probabilities, self._parents()[1])
        return np.asarray(readable[suggest(evidence.features[readable], probabilities, n, known)])

    def evidence(self, X: Any, *, progress: Progress | None = None) -> Evidence:
        """What the backbone says about texts X and the labels: the costly part, worth keeping to try several rungs."""
        if self.knows_numbers_only:
            return self._numbers.evidence(validate_data(self, X, reset=False, dtype=np.float64))
        return self._sources().evidence(X, self.meaning(), progress=progress)

    def save(self, folder: str | Path, *, force: bool = False) -> None:
        """Write labels, anchors and what was learned as JSON + safetensors; `force` replaces a classifier saved before.

        The backbone itself is not saved, only its name and fingerprint; a student's is, beside the rest. On the rungs `pool` and
        `shots` the arrays hold embeddings of texts it was fitted on. Raises UserError if the folder is in use.
        """
        if self.knows_numbers_only:
            raise UserError(
                "save: it was fitted on a matrix without label names, so there is no backbone to hold it to.",
                "Give label names and texts, or a backbone's embeddings with labels=[...].",
            )
        persistence.write(self._saved(), Path(folder), model=self.loaded_backbone, force=force)

    @classmethod
    def load(cls, folder: str | Path, *, backbone: str | Backbone | None = None) -> Self:
        """A saved classifier, with the backbone that it was made with.

        Raises UserError for a folder that holds none, and for a backbone with another fingerprint.
        """
        saved = persistence.read(Path(folder))
        chosen = persistence.own_model(saved, Path(folder)) if backbone is None else backbone
        made = cls(saved.labels, backbone=chosen, geometry=saved.geometry_asked, **saved.settings)
        saved.backbone.check(made.loaded_backbone, Path(folder))
        saved.geometry.check(made.geometry_backbone, Path(folder))
        made.keep_meaning(saved.label_evidence(made.geometry_backbone))
        made.__dict__.update(saved.learned)
        return made

    def with_backbone(self, backbone: Backbone) -> Self:
        """The same classifier on the same weights run in another way, such as another precision; anchors stay as they are.

        Raises UserError for a backbone with another fingerprint.
        """
        own = self.loaded_backbone
        persistence.BackboneIdentity(own.name, own.fingerprint, "").check(backbone, Path(own.name))
        made = copy(self)
        made.backbone = backbone
        made.keep_meaning(self.meaning())
        if hasattr(self, "_fitted_as"):
            made._fitted_as = made._as_asked()
        return made

    @property
    def classes_(self) -> npt.NDArray[Any]:
        """Labels (k,) in the type they were given in: numbers by value, then texts, sorted; in a tree, its leaves."""
        if hasattr(self, "_classes"):
            return self._classes
        if self.labels is None:
            raise NotFittedError("labels: none are given, and it was not fitted.\n  Classifier([...]) or fit(texts, y)")
        return as_array(self.parsed_labels().values)

    @property
    def rung_(self) -> str:
        """Where the answers stand: names, pool or shots; tuned (or probe), if weights learned; student, if it was distilled."""
        if hasattr(self, "several_"):
            return "shots" if isinstance(self.several_, Marked) else "pool"
        own = name_of(self._rung())
        return "tuned" if getattr(self.backbone, "name", "") == "tuned" and own != "student" else own

    @property
    def guard_details_(self) -> dict[str, float]:
        """The figures behind `guard_`, by name; none where nothing was fitted."""
        fitted = getattr(self, "several_", None) or getattr(self, "learned_", None)
        return dict(getattr(fitted, "guard_details_", {}))

    @property
    def prior_(self) -> Floats:
        """The labels' shares (k,) as they were learned; even shares on the rung of names."""
        if hasattr(self, "several_"):
            return self.several_.shares_
        rung = self._rung()
        k = len(self.classes_)
        below = getattr(getattr(rung, "below", None), "prior_", np.full(k, 1 / k))
        return np.asarray(getattr(rung, "prior_", below))

    @property
    def transduction_(self) -> npt.NDArray[Any]:
        """The labels of the texts it was fitted on, given labels unchanged; with multi_label (n, k) of 0 and 1."""
        if not hasattr(self, "_fitted_on"):
            raise NotFittedError("transduction_: it was not fitted, or was loaded.\n  fit(texts) first")
        if self.multi_label:
            found = ((self._probabilities(self._fitted_on) > 0.5) & self._fitted_on.ok[:, None]).astype(int)
            return np.where(np.isnan(self._known), found, self._known).astype(int)
        labels = self._choose(self._fitted_on).labels.copy()
        labels[~self._fitted_on.ok] = None
        names, k = self._names(), len(self.classes_)
        below = right_labels(labels, np.where(self._known >= k, self._known, -1), names, self._tree())
        for row in np.flatnonzero(
            (self._known >= 0) & ~below
        ):  # an answer under a given parent says more than the parent
            labels[row] = names[self._known[row]]
        labels[self._known == NO_LABEL] = None
        return self._typed(labels)

    @property
    def agreement_(self) -> dict[str, Any]:
        """How often a student says what its teacher says: share, 95 % interval, number of rows; `distinct`: by texts."""
        rung = self._rung()
        if not isinstance(rung, Linear):
            raise NotFittedError("agreement_: it was not distilled.\n  rung.distill(clf, texts)")
        return rung.agreement_

    @property
    def loaded_backbone(self) -> Backbone:
        """The frozen backbone itself; it is shared between classifiers."""
        return opened(self.backbone)

    @property
    def geometry_backbone(self) -> Backbone:
        """The frozen backbone whose features say where texts lie."""
        if self.geometry is not None:
            return opened(self.geometry)
        own = self.loaded_backbone
        return own if "embed" in own.abilities else opened("auto")

    def parsed_labels(self) -> Labels:
        """The labels, checked and sorted. Raises UserError if none are given or they cannot be used."""
        if self.labels is None and not hasattr(self, "_classes"):
            raise NotFittedError("labels: none are given.\n  Name them:  Classifier(['billing', 'bug report'])")
        return Labels.parse(self._classes.tolist() if self.labels is None else self.labels)

    @property
    def learned(self) -> dict[str, Any]:
        """What a fit left, by the names of the attributes: what has to be saved besides the parameters."""
        return {name: vars(self)[name] for name in _LEARNED if name in vars(self)}

    @property
    def knows_numbers_only(self) -> bool:
        """Whether it was fitted on a matrix without label names, so that no backbone plays a part."""
        return hasattr(self, "_numbers")

    def meaning(self) -> Evidence:
        """Evidence of the labels alone, made once for these labels and this backbone."""
        sources, kept = self._sources(), getattr(self, "_kept", None)
        if kept is None or kept[0] != sources.key:
            self.keep_meaning(sources.meaning())
        return self._kept[1]

    def keep_meaning(self, meaning: Evidence) -> None:
        """Take this as the evidence of the labels, as long as labels and backbone stay what they are."""
        self._kept = (self._sources().key, meaning)

    def _saved(self) -> persistence.Saved:
        """What is kept of this classifier on disk."""
        geometry, parameters = self.geometry_backbone, self.get_params(deep=False)
        return persistence.Saved(
            rung=self.rung_,
            labels=self.parsed_labels().as_list(),
            settings={name: as_plain(parameters[name]) for name in _SETTINGS} | {"shares": self._named_shares()},
            backbone=persistence.BackboneIdentity.of(self.loaded_backbone),
            geometry=persistence.BackboneIdentity.of(geometry),
            geometry_asked=None if self.geometry is None else spelled(geometry),
            label_arrays=persistence.label_arrays(self.meaning()),
            learned=self.learned,
        )

    def _sources(self) -> Sources:
        """Where evidence comes from, as the parameters have it now."""
        check_parameters(self.get_params(deep=False))
        cache = Cache(self.cache if isinstance(self.cache, str | Path) else None) if self.cache else None
        how: dict[str, Any] = {"length": self.length, "shortlist": self.shortlist, "long": self.long}
        return Sources(self.parsed_labels(), self.loaded_backbone, self.geometry_backbone, **how, cache=cache)

    def _told(self, X: Any, y: Any, progress: Progress | None) -> tuple[Evidence, Any]:
        """Evidence of the texts, and what is known of them: places of labels (n,), or with multi_label marks (n, k)."""
        y = in_rows_of(X, y)
        if self.multi_label:
            evidence = self.evidence(X, progress=progress)
            return evidence, known_marks(y, len(evidence.features), self.classes_.tolist())
        if self.labels is None and not holds_texts(X):
            return self._told_by_numbers(X, y)
        texts = X if is_matrix(X) else as_items(X, self.loaded_backbone)
        if self.labels is None:
            if y is None:
                raise UserError("labels: none are given, and no y.", 'Classifier(["billing", "bug report"])')
            self._classes = as_array(distinct(each for each in label_column(y) if not is_gap(each)))
        known = self._places(X, y, len(texts))
        if not is_matrix(X):
            warn_of_contradictions(texts, known, self._names())
        evidence = self.evidence(texts, progress=progress)
        return self._sources().with_second(evidence, texts), known

    def _warn_of_language(self, X: Any) -> None:
        """Warn where texts or labels are in a language that a backbone does not read."""
        if not self.knows_numbers_only and not is_matrix(X):
            texts = as_items(X, self.loaded_backbone)
            warn_of_language(texts, self.parsed_labels(), self.loaded_backbone, self.geometry_backbone)

    def _told_by_numbers(self, X: Any, y: Any) -> tuple[Evidence, Indices]:
        if y is None:
            raise ValueError("This Classifier requires y to be passed, but the target y is None: no labels are given.")
        rows, target = validate_data(self, X, y, dtype=np.float64)
        self._numbers, known = Numbers.of(rows, target)
        self._classes = self._numbers.classes
        return self._numbers.evidence(rows), known

    def _places(self, X: Any, y: Any, n: int) -> Indices:
        y = in_rows_of(X, y)
        if self.multi_label:  # one of the labels that a text is known to carry
            marks = known_marks(y, n, self.classes_.tolist())
            first = np.where((marks == 1).any(axis=1), np.nan_to_num(marks).argmax(axis=1), NO_LABEL)
            return np.where(np.isnan(marks).all(axis=1), -1, first)
        return known_places(y, n, self._names(), minus_one_is_none=self.labels is not None)

    def _climb(self, evidence: Evidence, known: Indices) -> Rung:
        """The highest rung for these texts; those labelled with a parent are learned from at their likeliest leaf under it."""
        how: dict[str, Any] = {"shares": self._shares(), "balanced": self.balanced}
        rung = climb(evidence, np.where(known < len(self.classes_), known, -1), **how)
        if not (known >= len(self.classes_)).any():
            return rung
        return climb(evidence, with_leaves(known, rung.log_posterior(evidence), self._parents()[1]), **how)

    def _tree(self) -> Tree | None:
        return Tree.of(self.parsed_labels()) if self._is_tree else None

    def _parents(self) -> tuple[list[LabelValue], npt.NDArray[np.bool_]]:
        """The labels with children, and which leaves (p, k) lie under each; none where the labels are flat."""
        tree = self._tree()
        return ([], np.zeros((0, len(self.classes_)), dtype=bool)) if tree is None else parents_of(tree)

    def _names(self) -> list[LabelValue]:
        """What y may name: the leaves in the order of `classes_`, then the parents."""
        return [*self.classes_.tolist(), *self._parents()[0]]

    def _named_shares(self) -> dict[LabelValue, float] | None:
        return named_shares(self.shares, self.classes_.tolist())

    def _shares(self) -> Floats | None:
        """The shares that a person knows, (k,) in the order of `classes_`, NaN elsewhere."""
        named = self._named_shares()
        return None if named is None else np.array([named.get(value, np.nan) for value in self.classes_.tolist()])

    def _typed(self, labels: npt.NDArray[np.object_]) -> npt.NDArray[Any]:
        """Answers (n,) in the type of the labels; as objects where one of them is None."""
        if any(label is None for label in labels):
            return labels
        return labels.astype(
            as_array(Tree.of(self.parsed_labels()).values).dtype if self._is_tree else self.classes_.dtype
        )

    def check(self) -> None:
        """Raise UserError for labels, a backbone or parameters that `fit` would refuse, before any text is read."""
        self.meaning()
        given_shares(self._shares(), len(self.classes_), balanced=self.balanced)
        if self.reject is not None:
            checked_share(self.reject)
        if self.multi_label:
            self._check_several()

    def _check_several(self) -> None:
        if self.reject is not None or self._is_tree:
            raise UserError(
                "multi_label: it takes neither reject nor a tree of labels.",
                "Leave them out; a text that fits no label gets none anyway.",
            )

    def _fit_several(self, evidence: Evidence, marks: Floats) -> None:
        self._check_several()
        given = self._shares()
        shares = None if given is None else tuple(None if np.isnan(each) else float(each) for each in given)
        background = (evidence.general if len(evidence.general) else evidence.anchors).mean(axis=0)
        self.several_: MultiLabel | Marked
        self.several_ = MultiLabel(shares).fit(evidence.features[evidence.ok], evidence.anchors, background)
        self.guard_ = tr("every label is a yes or no by itself, at its share of the texts.")
        told = np.flatnonzero(~np.isnan(marks).all(axis=1) & evidence.ok)
        if len(told):
            self.several_ = Marked(self.several_).fit(evidence.features[told], marks[told])
            self.guard_ = self.several_.guard_

    def _fit_reject(self, evidence: Evidence, foreign: Array) -> None:
        """Learn which texts belong to none of the labels; foreign (f, d) are features of texts that are known to."""
        if self.reject is None:
            return
        readable, general = evidence.readable(), evidence.general
        posterior = np.exp(self.learned_.log_posterior(readable))
        means = label_means(readable.features, posterior, general)
        self.reject_ = Reject(self.reject).fit(readable.features, means, general, foreign)

    def _forget(self) -> None:
        for name in (*_LEARNED, "_known", "_fitted_on", "_fitted_as", "_classes", "_numbers"):
            self.__dict__.pop(name, None)

    def _as_asked(self) -> tuple[Any, ...]:
        """The parameters that what was learned depends on."""
        given = () if self.knows_numbers_only else (self.parsed_labels(), str(self.backbone), str(self.geometry))
        return (*given, self.multi_label)

    def _check_current(self) -> None:
        """Raise UserError where labels or backbone were set anew since the last fit: what was learned is of others."""
        if hasattr(self, "_fitted_as") and self._fitted_as != self._as_asked():
            raise UserError("labels or backbone changed since the last fit.", "fit again, or make a new Classifier.")

    def _check_calibrated(self) -> None:
        if not hasattr(self, "calibration_"):
            raise UserError(
                "label_sets: it was not calibrated.", "calibrate(texts, y) first, with labels not used in fit."
            )

    def _check_unseen(self, features: Array) -> None:
        """Raise UserError where labels of these texts were fitted on: what they confirm is only what was learned from them."""
        if not hasattr(self, "_fitted_on"):
            return
        known = ~np.isnan(self._known).all(axis=1) if self.multi_label else self._known >= 0
        seen = hashes(self._fitted_on.features[known])
        again = int(np.isin(hashes(features), seen).sum())
        if again:
            raise UserError(
                "calibrate: {again} of {n_features} labelled texts were labelled in fit already.",
                "Keep some labels apart:  fit(texts, y_of_some)  and  calibrate(other_texts, their_y)",
                again=again,
                n_features=len(features),
            )

    def _rung(self) -> Rung:
        self._check_current()
        return getattr(self, "learned_", None) or Names()

    @property
    def _is_tree(self) -> bool:
        return self.labels is not None and self.parsed_labels().is_tree

    def _probabilities(self, evidence: Evidence) -> Floats:
        calibration = getattr(self, "calibration_", None)
        if not self.multi_label:
            log_posterior = self._rung().log_posterior(evidence)
            if isinstance(calibration, Calibration):
                log_posterior = calibration.temperature_.log_posterior(log_posterior)
            return np.asarray(np.exp(log_posterior))
        log_odds = self._log_odds(evidence)
        if isinstance(calibration, MultiLabelCalibration):
            log_odds = calibration.log_odds(log_odds)
        return np.asarray(expit(log_odds))

    def _log_odds(self, evidence: Evidence) -> Floats:
        """Log-odds (n, k) of labels that are independent of each other, before any temperature."""
        self._check_current()
        if not hasattr(self, "several_"):
            raise UserError("multi_label: it needs texts to compare with.", "fit(texts) first.")
        return self.several_.log_odds(evidence.features)

    def _choose(self, evidence: Evidence) -> Choice:
        """The answer of each text, whatever kind of answer was asked for."""
        names, probabilities = self.classes_.tolist(), self._probabilities(evidence)
        because = tr_n("rung {rung}, {n} label", "rung {rung}, {n} labels", n=len(names), rung=self.rung_)
        if self.multi_label:
            return several(names, probabilities, because)
        if self._is_tree:
            chosen = deepest(Tree.of(self.parsed_labels()), probabilities, self.confidence, because)
        else:
            chosen = one(names, probabilities, because)
        if self.reject is not None:
            chosen = self._without_foreign(chosen, evidence)
        chosen.labels[~evidence.ok] = None
        return chosen

    def _without_foreign(self, chosen: Choice, evidence: Evidence) -> Choice:
        if not hasattr(self, "reject_"):
            raise UserError("reject: it needs texts to compare with.", "fit(texts) first.")
        foreign = self.reject_.rejected(evidence.features)
        return without(chosen, foreign, self.reject_.probability(evidence.features))

    def __sklearn_is_fitted__(self) -> bool:
        return self.labels is not None or hasattr(self, "_classes")  # label names are enough

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        return tags

    def __getstate__(self) -> dict[str, Any]:
        """Without the evidence of labels: it is made again when needed."""
        return {key: value for key, value in super().__getstate__().items() if key != "_kept"}


def _nothing_to_calibrate_by() -> UserError:
    return UserError("calibrate: no text has a label.", "Give labels that were not used in fit:  calibrate(texts, y)")
