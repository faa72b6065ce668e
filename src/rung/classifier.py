"""One estimator that climbs the rungs: it wires labels, evidence and rungs, and knows the mathematics of none."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, ClassifierMixin

from rung import saving
from rung.backbones.loading import load
from rung.cache import Cache
from rung.errors import UserError
from rung.evidence import Backbone, Evidence, Long, Progress, about_labels, about_texts, is_missing
from rung.inputs import as_features, as_texts, is_matrix
from rung.labels import Labels
from rung.rungs.names import Names


@dataclass(frozen=True)
class Answer:
    """What is said of one text.

    label is None when no answer can be given: `error` then says why the text could not be read.
    probability is that of the label; rung is where the answer stands; reason says in words what it rests on.
    """

    label: str | None
    probability: float | None
    rung: str
    reason: str
    error: str | None = None


class Classifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """Label texts from label names, without training.

    labels: a list of names, or a mapping from name to a description or to {"description", "words", "examples"}.
    backbone: a name that `rung.load` takes, or a loaded backbone; "auto" is the best that is installed.
    cache: whether embeddings are kept on disk, or the folder to keep them in.
    long: what happens to texts beyond the backbone's maximum length: "cut" their end, or "mean" over all of their pieces.

    >>> clf = Classifier(["billing", "bug report"], backbone="builtin")
    >>> clf.predict(["I was charged twice on my invoice", "the app crashes when I open it"]).tolist()
    ['billing', 'bug report']
    """

    def __init__(
        self,
        labels: Any = None,
        *,
        backbone: str | Backbone = "auto",
        cache: bool | str | Path = True,
        long: Long = "cut",
    ) -> None:
        self.labels = labels
        self.backbone = backbone
        self.cache = cache
        self.long = long

    def fit(self, X: Any, y: Any = None) -> Self:
        """Check labels and texts, and stand on the rung that they allow: so far `names`, which learns nothing from X.

        A second fit forgets the first. Raises UserError for labels or texts that cannot be used.
        """
        if y is not None and not all(is_missing(each) for each in y):
            raise UserError(
                "fit: y holds labels, and no rung here learns from labelled texts yet.",
                'Give them with the label:  Classifier({"billing": {"examples": ["I was charged twice"]}, ...})',
            )
        dimensions = self.meaning().anchors.shape[1]
        if is_matrix(X):
            as_features(X, dimensions)
        else:
            as_texts(X)
        return self

    def predict(self, X: Any) -> npt.NDArray[Any]:
        """The most probable label of each text (n,); None where a text could not be read."""
        evidence = self.evidence(X)
        best: npt.NDArray[Any] = self.classes_[self._log_posterior(evidence).argmax(axis=1)]
        if not evidence.ok.all():
            best = best.astype(object)
            best[~evidence.ok] = None
        return best

    def predict_proba(self, X: Any) -> npt.NDArray[np.float64]:
        """Probabilities (n, k), columns in the order of `classes_`; NaN where a text could not be read."""
        evidence = self.evidence(X)
        probabilities = np.exp(self._log_posterior(evidence))
        probabilities[~evidence.ok] = np.nan
        return probabilities

    def answers(self, X: Any, *, progress: Progress | None = None) -> list[Answer]:
        """One `Answer` a text, with its probability, rung and, where there is none, the reason."""
        evidence = self.evidence(X, progress=progress)
        logs = self._log_posterior(evidence)
        best = logs.argmax(axis=1)
        chances = np.exp(logs[np.arange(len(best)), best])
        names = self.classes_.tolist()
        reason = f"nearest of {len(names)} labels by name, {self.loaded_backbone.name}"
        return [
            Answer(names[k], float(p), self.rung_, reason)
            if error is None
            else Answer(None, None, self.rung_, error, error)
            for k, p, error in zip(best, chances, evidence.reasons, strict=True)
        ]

    def evidence(self, X: Any, *, progress: Progress | None = None) -> Evidence:
        """What the backbone says about texts X and the labels: the costly part, worth keeping to try several rungs."""
        meaning = self.meaning()
        if is_matrix(X):
            return meaning.of_texts(as_features(X, meaning.anchors.shape[1]), [None] * len(X))
        texts = as_texts(X)
        if self.long not in ("cut", "mean"):
            raise UserError(f"long: got {self.long!r}.", 'Choose long="cut" or long="mean".')
        found = about_texts(texts, self.loaded_backbone, cache=self._cache(), long=self.long, progress=progress)
        return meaning.of_texts(*found)

    def save(self, folder: str | Path, *, force: bool = False) -> None:
        """Write labels, anchors and what was learned as JSON + safetensors; `force` replaces a classifier saved before.

        The backbone itself is not saved, only its name and fingerprint. Raises UserError if the folder is in use.
        """
        saving.save(self, Path(folder), force=force)

    @classmethod
    def load(cls, folder: str | Path, *, backbone: str | Backbone | None = None) -> Self:
        """A saved classifier, with the backbone that it was made with.

        Raises UserError for a folder that holds none, and for a backbone with another fingerprint.
        """
        loaded: Self = saving.load(cls, Path(folder), backbone=backbone)
        return loaded

    @property
    def classes_(self) -> npt.NDArray[np.str_]:
        """Label names (k,), sorted."""
        return np.array(self.parsed_labels().names)

    @property
    def rung_(self) -> str:
        """Where the answers stand."""
        return "names"

    @property
    def loaded_backbone(self) -> Backbone:
        """The frozen backbone itself; it is shared between classifiers."""
        return load(self.backbone) if isinstance(self.backbone, str) else self.backbone

    def parsed_labels(self) -> Labels:
        """The labels, checked and sorted. Raises UserError if none are given or they cannot be used."""
        if self.labels is None:
            raise UserError("labels: none are given.", 'Name them:  Classifier(["billing", "bug report"])')
        return Labels.parse(self.labels)

    def meaning(self) -> Evidence:
        """Evidence of the labels alone, made once for these labels and this backbone."""
        labels, backbone = self.parsed_labels(), self.loaded_backbone
        kept = getattr(self, "_kept", None)
        if kept is None or kept[0] != (labels, backbone.fingerprint):
            self.keep_meaning(about_labels(labels, backbone, cache=self._cache()))
        return self._kept[1]

    def keep_meaning(self, meaning: Evidence) -> None:
        """Take this as the evidence of the labels, as long as labels and backbone stay what they are."""
        self._kept = ((self.parsed_labels(), self.loaded_backbone.fingerprint), meaning)

    def _cache(self) -> Cache | None:
        if self.cache is False or self.cache is None:
            return None
        return Cache(None if self.cache is True else self.cache)

    def _log_posterior(self, evidence: Evidence) -> npt.NDArray[np.float64]:
        return Names().log_posterior(evidence)

    def __sklearn_is_fitted__(self) -> bool:
        return self.labels is not None  # label names are enough

    def __getstate__(self) -> dict[str, Any]:
        """Without the evidence of labels: it is made again when needed."""
        return {key: value for key, value in super().__getstate__().items() if key != "_kept"}
