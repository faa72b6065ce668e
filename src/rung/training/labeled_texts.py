"""The labelled texts of a training, and their splits for cross-validation."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from rung.decide.correctness import NONE_OF_THESE_INDEX
from rung.errors import UserError
from rung.estimator.classifier import Classifier
from rung.evidence.text_faults import fault
from rung.inference.inputs import as_texts
from rung.inference.label_inputs import align_to_rows, encode_labels
from rung.training.cross_validation import stratified_folds
from rung.training.provenance import rows_digest

Indices = npt.NDArray[np.intp]

_UNLABELED_PER_LABELED = 4  # at most so many unlabelled texts for each labelled one take part in a split


@dataclass(frozen=True)
class LabeledTexts:
    """Readable texts (n), the index of each one's label (n,), −1 where there is none, and the names (k) of the labels."""

    texts: list[str]
    labels: Indices
    names: list[Any]

    @property
    def inputs(self) -> dict[str, Any]:
        """The inputs for a record: numbers of rows and hashes."""
        return {"texts": rows_digest(self.texts), "labels": rows_digest(self.y())}

    def subset(self, rows: Indices) -> LabeledTexts:
        """The texts at the given rows, with their labels."""
        return LabeledTexts([self.texts[i] for i in rows], self.labels[rows], self.names)

    def y(self) -> list[Any]:
        """The name of each text's label, None where there is none, as `fit` takes them."""
        return [None if label < 0 else self.names[label] for label in self.labels]

    def cross_validation_splits(self, count: int, seed: int) -> Iterator[tuple[LabeledTexts, list[str], Indices]]:
        """For each of `count` folds: the training texts, the held-out texts, and the indices of the held-out labels.

        In the training texts the labels of the fold are hidden; its texts stay there as unlabelled ones. At most 4 unlabelled texts
        for each labelled one take part. A fold is skipped if the labels that remain are all equal.
        """
        known, unlabeled = np.flatnonzero(self.labels >= 0), np.flatnonzero(self.labels < 0)
        sampled = np.random.default_rng(seed).permutation(unlabeled)[: _UNLABELED_PER_LABELED * len(known)]
        kept = self.subset(np.sort(np.concatenate([known, sampled])))
        known = np.flatnonzero(kept.labels >= 0)
        fold = stratified_folds(kept.labels[known], [kept.texts[i] for i in known], count, seed)
        for number in range(count):
            hidden = known[fold == number]
            train = replace(kept, labels=np.where(np.isin(np.arange(len(kept.labels)), hidden), -1, kept.labels))
            if len(np.unique(train.labels[train.labels >= 0])) > 1 and len(hidden):
                yield train, [kept.texts[i] for i in hidden], kept.labels[hidden]


def read_labeled_texts(clf: Classifier, texts: Any, y: Any, command: str) -> LabeledTexts:
    """Read texts (n) and labels (n,), given as `fit` takes them, for the labels of `clf`.

    Raises UserError, which begins with the name of the `command`, for a classifier that cannot be tuned, and if all labels are
    equal.
    """
    if clf.multi_label or clf.knows_numbers_only or clf.labels is None:
        raise UserError(
            "{command} needs a classifier that gives each text one of several named labels.",
            "Give label names, and leave multi_label out.",
            command=command,
        )
    if clf.geometry is not None or "embed" not in clf.loaded_backbone.abilities:
        raise UserError(
            "{command}: {backbone} is no sentence encoder of its own.",
            'Choose a sentence encoder:  backbone="minilm"',
            command=command,
            backbone=clf.loaded_backbone.name,
        )
    rows = as_texts(texts)
    names = clf.classes_.tolist()
    labels = encode_labels(align_to_rows(texts, y), len(rows), names, minus_one_is_missing=True)
    readable = np.array([fault(text) is None for text in rows], dtype=bool)
    kept = np.flatnonzero(readable & (labels != NONE_OF_THESE_INDEX))
    labeled = LabeledTexts([rows[i] for i in kept], labels[kept], names)
    present = np.unique(labeled.labels[labeled.labels >= 0])
    if len(present) == 1:
        raise UserError(
            "{command}: all labels given are {label!r}; there is nothing to tell apart.",
            "Give at least two different labels.",
            command=command,
            label=names[present[0]],
        )
    return labeled
