"""One scikit-learn estimator that climbs the rungs: it wires labels, evidence, rungs and decisions, and computes nothing itself."""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from dataclasses import replace
from numbers import Integral
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import validate_data

from rung.decide.active_learning import suggest
from rung.decide.answer import Answer
from rung.decide.calibration import Calibration, MultiLabelCalibration
from rung.decide.correctness import NONE_OF_THESE_INDEX, share_right
from rung.decide.label_selection import Choice
from rung.decide.rejection import checked_share
from rung.errors import UserError
from rung.estimator import saved_state
from rung.estimator.answering import as_answers, choose_one, choose_several
from rung.estimator.fitted_state import LEARNED, FittedState
from rung.estimator.fitting import check_unseen, fit_multi_label, fit_rejection, fit_rung, multi_label_guard
from rung.estimator.label_space import LabelSpace
from rung.estimator.numeric_features import NumericFeatures
from rung.estimator.parameters import check_multi_label, check_parameters, evidence_sources, open_backbone
from rung.estimator.persistence import BackboneIdentity
from rung.evidence import Backbone, Evidence, Long, Progress
from rung.inference.evidence_sources import EvidenceSources
from rung.inference.inputs import as_items, holds_texts, is_matrix
from rung.inference.label_inputs import (
    align_to_rows,
    is_missing_label,
    label_column,
    named_shares,
    warn_of_contradictions,
)
from rung.inference.label_scoring import Length
from rung.inference.language import warn_of_language
from rung.labels import Labels, as_array, distinct
from rung.labels.normal_form import LabelValue
from rung.messages import tr
from rung.rungs.pool import given_shares

Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.intp]


class Classifier(FittedState, ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """Label texts from label names, from the unlabelled texts themselves, and from a few labels, without training.

    labels: a list of names, or a mapping from name to a description or to {"description", "words", "examples", "children"}.
    Children make a tree: texts are compared with its leaves. With None the labels are taken from the y of `fit`.
    backbone: a name that `rung.load` takes, or a loaded backbone; "auto" is the best that is installed.
    geometry: another backbone, whose features say where the texts lie, while `backbone` says what the labels mean. With None
    `backbone` serves for both; where it scores and does not embed, the best that is installed gives the features.
    length: how the score of a label of several tokens is normalized where the backbone scores: "sum", "token" or "byte".
    shortlist: how many labels of each text an entailment model reads, the likeliest by the geometry; with None it reads all.
    cache: whether embeddings are kept on disk, or the folder to keep them in.
    long: what happens to texts beyond the backbone's maximum length: "cut" drops their end, "mean" averages all of their pieces.
    shares: known shares of labels, as {"spam": 0.1}. balanced: all labels are about equally frequent. Without either, some
    labels may not occur at all.
    multi_label: every label is decided by itself; `predict` then gives an (n, k) array of 0 and 1, and y may be one.
    reject: the share of texts that belong to none of the labels, or "auto"; `predict` gives None for them.
    confidence: in a tree, the answer is the deepest label whose probability is at least this.

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
        """Climb as high as X and y allow: texts alone lead to the rung `pool`, labels of some of them to `shots`.

        X holds n texts, n images where the backbone reads images (paths or PIL images), or is an (n, d) array of embeddings.
        y (n,) holds None, NaN or pandas.NA where there is no label (−1 too, if labels are given and −1 is none of them). The
        word "none of these" marks a text that belongs to none of the labels: no label is learned from it, `transduction_` is
        None for it, and with `reject` it shows where such texts lie. In a tree y may name a parent: the text then counts for the
        leaf under it that is likeliest by everything else. With multi_label y holds a collection of names a text (an empty one:
        no label applies), or is an (n, k) array or a table, named by labels, of 0, 1 and NaN. A pandas y with a part of X's
        index, or a mapping from text to label, labels the rows that it names.
        A second fit forgets the first. The backbone does not change.
        Raises UserError for labels, texts, shares or y that cannot be used. Warns where one text carries two labels,
        and where the backbone does not read the language of the texts or of the labels.
        """
        check_parameters(self.get_params(deep=False))
        self._forget()
        evidence, known = self._training_data(X, y, progress)
        self._warn_of_language(X)
        if self.multi_label:
            self._fit_multi_label(evidence, known)
        else:
            self._fit_one_label(evidence, known)
        self._fitted_labels, self._fitted_evidence = known, replace(evidence, second=None)
        self._fitted_settings = self._current_settings()
        return self

    def _fit_one_label(self, evidence: Evidence, known: Indices) -> None:
        rows = np.flatnonzero(known != NONE_OF_THESE_INDEX)
        labelable = evidence if len(rows) == len(known) else evidence.part(rows)
        shares = self._shares()
        self.learned_ = fit_rung(labelable, known[rows], self._label_space(), shares, balanced=self.balanced)
        self.guard_ = getattr(self.learned_, "guard_", tr("no text could be read, so label names decide alone."))
        if self.reject is not None:
            unrelated = evidence.features[(known == NONE_OF_THESE_INDEX) & evidence.ok]
            self.reject_ = fit_rejection(self.reject, labelable, self.learned_, unrelated)

    def _fit_multi_label(self, evidence: Evidence, marks: Floats) -> None:
        check_multi_label(self.reject, is_tree=self._is_tree)
        self.several_ = fit_multi_label(evidence, marks, self._shares())
        self.guard_ = multi_label_guard(self.several_)

    def calibrate(self, X: Any, y: Any) -> Self:
        """Correct the probabilities by labelled texts that were not fitted on; `label_sets` needs it.

        y is as in `fit`; a few dozen labels are a start. One temperature rescales all probabilities, so answers stay; in a tree
        it rescales the leaves, whose sums their parents are, so that an answer may end at another depth.
        The next fit forgets it. Raises UserError without a label, and for texts whose labels were fitted on.
        """
        evidence, space, y = self.evidence(X), self._label_space(), align_to_rows(X, y)
        n = len(evidence.features)
        truth: Any = space.encode_indicators(y, n) if self.multi_label else space.encode(y, n)
        usable = _is_labelled(truth) if self.multi_label else (truth >= 0) & ~space.names_parent(truth)
        rows = np.flatnonzero(usable & evidence.ok)
        if not len(rows):
            raise UserError(
                "calibrate: no text has a label.", "Give labels that were not used in fit:  calibrate(texts, y)"
            )
        if hasattr(self, "_fitted_evidence"):
            check_unseen(evidence.features[rows], self._fitted_evidence.features[_is_labelled(self._fitted_labels)])
        calibration: Any = MultiLabelCalibration() if self.multi_label else Calibration()
        self.calibration_ = calibration.fit(self._scores(evidence)[rows], truth[rows])
        return self

    def label_sets(self, X: Any, level: float = 0.9) -> list[tuple[Any, ...] | None]:
        """For each text a set of labels that holds the true one, in `level` of all texts; None where it could not be read.

        In a tree they are leaves. With multi_label a set holds all true labels of a text, in `level` of all texts.
        That is true on average over texts like those of `calibrate`, however wrong the probabilities are; with too few of them
        every set holds all labels. Raises UserError before `calibrate`. Source: see `rung.decide.calibration.ConformalSets`.
        """
        self._check_calibrated()
        return self._label_sets(self.evidence(X), level)

    def _label_sets(self, evidence: Evidence, level: float) -> list[tuple[Any, ...] | None]:
        inside = self.calibration_.sets(self._scores(evidence), level)
        return [tuple(self.classes_[row].tolist()) if ok else None for row, ok in zip(inside, evidence.ok, strict=True)]

    def predict(self, X: Any) -> npt.NDArray[Any]:
        """The label of each text (n,); None where it could not be read or belongs to none.

        In a tree it is the deepest label that is sure enough. With multi_label: (n, k) of 0 and 1.
        """
        evidence = self.evidence(X)
        if self.multi_label:
            return self._predicted_indicators(evidence)
        return self._label_space().as_answers(self._choose(evidence).labels)

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """The share of right answers to texts X with the true labels y (n,), None where there is none: such texts do not count.

        A missing answer is not right, except for texts that belong to none of the labels, as y says. In a tree a label under
        the true one is right too; with multi_label a text is right if all of its labels are.
        Raises UserError if no text has a label.
        """
        answers, y, space = self.predict(X), align_to_rows(X, y), self._label_space()
        if self.multi_label:
            marks = space.encode_indicators(y, len(answers))
            return share_right((answers == marks).all(axis=1), ~np.isnan(marks).any(axis=1), sample_weight)
        truth = space.encode_truth(y, len(answers))
        return share_right(space.right(answers, truth), truth != -1, sample_weight)

    def predict_proba(self, X: Any) -> Floats:
        """Probabilities (n, k), columns in the order of `classes_`; NaN where a text could not be read.

        Rows sum to 1; with multi_label the columns are independent. In a tree they are those of the leaves.
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
        chosen = self._choose(evidence)
        label_sets = [None] * len(evidence.ok) if level is None else self._label_sets(evidence, level)
        return as_answers(chosen, evidence.reasons, self.rung_, label_sets)

    def suggest(self, X: Any, n: int = 10, y: Any = None) -> Indices:
        """Indices of the texts whose labels would help most (at most n of them), the most helpful first.

        They are spread evenly over the labels and over the texts, each text once; y says which texts have a label already.
        Raises UserError if n is no whole number above 0.
        """
        if isinstance(n, bool) or not isinstance(n, Integral) or n < 1:
            raise UserError("suggest: n={n!r}.", "Give a whole number of at least 1:  suggest(texts, n=20)", n=n)
        evidence, space, y = self.evidence(X), self._label_space(), align_to_rows(X, y)
        encode = space.encode_one_of_several if self.multi_label else space.encode
        known = encode(y, len(evidence.features))
        readable = np.flatnonzero(evidence.ok)
        probabilities = self._probabilities(evidence)[readable]
        leaves = space.leaves_of(known[readable], probabilities)
        return np.asarray(readable[suggest(evidence.features[readable], probabilities, n, leaves)])

    def evidence(self, X: Any, *, progress: Progress | None = None) -> Evidence:
        """What the backbone says about texts X and the labels: the costly part, worth keeping to try several rungs."""
        if self.knows_numbers_only:
            return self._numeric.evidence(validate_data(self, X, reset=False, dtype=np.float64))
        return self._sources().evidence(X, self.label_evidence(), progress=progress)

    def save(self, folder: str | Path, *, force: bool = False) -> None:
        """Write labels, anchors and what was learned as JSON + safetensors; `force` replaces a classifier saved before.

        The backbone itself is not saved, only its name and fingerprint; a student's backbone is saved too. On the rungs `pool`
        and `shots` the arrays hold embeddings of texts it was fitted on. Raises UserError if the folder is in use.
        """
        saved_state.save(self, Path(folder), force=force)

    @classmethod
    def load(cls, folder: str | Path, *, backbone: str | Backbone | None = None) -> Self:
        """A saved classifier, with the backbone that it was made with.

        Raises UserError for a folder that holds none, and for a backbone with another fingerprint.
        """
        made: Self = saved_state.load(cls, Path(folder), backbone)
        return made

    def with_backbone(self, backbone: Backbone) -> Self:
        """The same classifier with the same weights run in another way, such as another precision; anchors stay as they are.

        Raises UserError for a backbone with another fingerprint.
        """
        own = self.loaded_backbone
        BackboneIdentity(own.name, own.fingerprint, "").check(backbone, Path(own.name))
        made = copy(self)
        made.backbone = backbone
        made.set_label_evidence(self.label_evidence())
        if hasattr(self, "_fitted_settings"):
            made._fitted_settings = made._current_settings()
        return made

    @property
    def classes_(self) -> npt.NDArray[Any]:
        """Labels (k,) in the type they were given in: numbers by value, then texts, sorted; in a tree, its leaves."""
        if hasattr(self, "_classes"):
            return self._classes
        if self.labels is None:
            raise NotFittedError(
                "labels: none are given, and the classifier is not fitted.\n  Classifier([...]) or fit(texts, y)"
            )
        return as_array(self.parsed_labels().values)

    @property
    def transduction_(self) -> npt.NDArray[Any]:
        """The labels of the texts it was fitted on, given labels unchanged; with multi_label (n, k) of 0 and 1."""
        if not hasattr(self, "_fitted_evidence"):
            raise NotFittedError(
                "transduction_: the classifier is not fitted, or was loaded from a folder.\n  fit(texts) first"
            )
        evidence, known, space = self._fitted_evidence, self._fitted_labels, self._label_space()
        if self.multi_label:
            return np.where(np.isnan(known), self._predicted_indicators(evidence), known).astype(int)
        return space.as_answers(space.keep_given(self._choose(evidence).labels, known))

    @property
    def loaded_backbone(self) -> Backbone:
        """The frozen backbone itself; it is shared between classifiers."""
        return open_backbone(self.backbone)

    @property
    def geometry_backbone(self) -> Backbone:
        """The frozen backbone whose features say where texts lie."""
        if self.geometry is not None:
            return open_backbone(self.geometry)
        own = self.loaded_backbone
        return own if "embed" in own.abilities else open_backbone("auto")

    def parsed_labels(self) -> Labels:
        """The labels, checked and sorted. Raises an error if none are given or they cannot be used."""
        if self.labels is None and not hasattr(self, "_classes"):
            raise NotFittedError("labels: none are given.\n  Name them:  Classifier(['billing', 'bug report'])")
        return Labels.parse(self._classes.tolist() if self.labels is None else self.labels)

    @property
    def shares_by_label(self) -> dict[LabelValue, float] | None:
        """The shares that were given, by the labels they name; None where none were given."""
        return named_shares(self.shares, self.classes_.tolist())

    @property
    def knows_numbers_only(self) -> bool:
        """Whether it was fitted on a matrix without label names, so that no backbone is used."""
        return hasattr(self, "_numeric")

    def label_evidence(self) -> Evidence:
        """Evidence of the labels alone, computed once for these labels and this backbone."""
        sources, kept = self._sources(), getattr(self, "_label_evidence", None)
        if kept is None or kept[0] != sources.key:
            self.set_label_evidence(sources.label_evidence())
        return self._label_evidence[1]

    def set_label_evidence(self, evidence: Evidence) -> None:
        """Use this as the evidence of the labels, as long as labels and backbone do not change."""
        self._label_evidence = (self._sources().key, evidence)

    def check(self) -> None:
        """Raise UserError for labels, a backbone or parameters that `fit` would refuse, before any text is read."""
        self.label_evidence()
        given_shares(self._shares(), len(self.classes_), balanced=self.balanced)
        if self.reject is not None:
            checked_share(self.reject)
        if self.multi_label:
            check_multi_label(self.reject, is_tree=self._is_tree)

    def _sources(self) -> EvidenceSources:
        """Where evidence comes from, by the current parameters."""
        parameters = self.get_params(deep=False)
        check_parameters(parameters)
        return evidence_sources(parameters, self.parsed_labels(), self.loaded_backbone, self.geometry_backbone)

    def _training_data(self, X: Any, y: Any, progress: Progress | None) -> tuple[Evidence, Any]:
        """Evidence of the texts, and what is known of them: indices of labels (n,), or with multi_label marks (n, k)."""
        y = align_to_rows(X, y)
        if self.multi_label:
            evidence = self.evidence(X, progress=progress)
            return evidence, self._label_space().encode_indicators(y, len(evidence.features))
        if self.labels is None and not holds_texts(X):
            return self._numeric_training_data(X, y)
        texts = X if is_matrix(X) else as_items(X, self.loaded_backbone)
        if self.labels is None:
            if y is None:
                raise UserError("labels: none are given, and no y.", 'Classifier(["billing", "bug report"])')
            self._classes = as_array(distinct(each for each in label_column(y) if not is_missing_label(each)))
        space = self._label_space()
        known = space.encode(y, len(texts))
        if not is_matrix(X):
            warn_of_contradictions(texts, known, space.names)
        evidence = self.evidence(texts, progress=progress)
        return self._sources().with_second_opinion(evidence, texts), known

    def _numeric_training_data(self, X: Any, y: Any) -> tuple[Evidence, Indices]:
        if y is None:
            raise ValueError("This Classifier requires y to be passed, but the target y is None: no labels are given.")
        rows, target = validate_data(self, X, y, dtype=np.float64)
        self._numeric, known = NumericFeatures.of(rows, target)
        self._classes = self._numeric.classes
        return self._numeric.evidence(rows), known

    def _warn_of_language(self, X: Any) -> None:
        """Warn where texts or labels are in a language that a backbone does not read."""
        if not self.knows_numbers_only and not is_matrix(X):
            texts = as_items(X, self.loaded_backbone)
            warn_of_language(texts, self.parsed_labels(), self.loaded_backbone, self.geometry_backbone)

    def _label_space(self) -> LabelSpace:
        return LabelSpace.of(self.classes_, None if self.labels is None else self.parsed_labels())

    @property
    def _is_tree(self) -> bool:
        return self.labels is not None and self.parsed_labels().is_tree

    def _shares(self) -> Floats | None:
        """The shares that were given, (k,) in the order of `classes_`, NaN elsewhere; None where none were given."""
        given = self.shares_by_label
        return None if given is None else np.array([given.get(value, np.nan) for value in self.classes_.tolist()])

    def _forget(self) -> None:
        for name in (*LEARNED, "_fitted_labels", "_fitted_evidence", "_fitted_settings", "_classes", "_numeric"):
            self.__dict__.pop(name, None)

    def _current_settings(self) -> tuple[Any, ...]:
        """The parameters that what was learned depends on."""
        given = () if self.knows_numbers_only else (self.parsed_labels(), str(self.backbone), str(self.geometry))
        return (*given, self.multi_label)

    def _choose(self, evidence: Evidence) -> Choice:
        """The answer of each text: one label, several, or none."""
        space, probabilities = self._label_space(), self._probabilities(evidence)
        if self.multi_label:
            return choose_several(space, probabilities, self.rung_)
        how: dict[str, Any] = {"confidence": self.confidence, "reject": self._fitted_reject()}
        return choose_one(space, probabilities, evidence, self.rung_, **how)

    def __sklearn_is_fitted__(self) -> bool:
        return self.labels is not None or hasattr(self, "_classes")  # label names are enough

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        return tags

    def __getstate__(self) -> dict[str, Any]:
        """Without the evidence of labels: it is computed again when needed."""
        return {key: value for key, value in super().__getstate__().items() if key != "_label_evidence"}


def _is_labelled(known: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Whether something is known of each text: an index (n,) of 0 or more, or any mark of (n, k)."""
    return ~np.isnan(known).all(axis=1) if known.ndim == 2 else known >= 0
