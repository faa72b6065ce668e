"""Texts and labels that a training learns from, and parts of them hidden in turn to judge it by."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from rung.errors import UserError
from rung.estimator.classifier import Classifier
from rung.inference.inputs import as_texts
from rung.inference.label_inputs import NO_LABEL, in_rows_of, known_places
from rung.training.cross_validation import parts
from rung.training.provenance import of_rows

Indices = npt.NDArray[np.intp]

_OTHERS = 4  # unlabelled texts for each labelled one that are read beside a part


@dataclass(frozen=True)
class Given:
    """Texts that can be read, and the places (n,) of their labels, −1 where there is none."""

    texts: list[str]
    labels: Indices
    names: list[Any]

    @property
    def inputs(self) -> dict[str, Any]:
        """For a record: numbers and hashes."""
        told = [None if place < 0 else self.names[place] for place in self.labels]
        return {"texts": of_rows(self.texts), "labels": of_rows(told)}

    def part(self, rows: Indices) -> Given:
        """Some of the texts."""
        return Given([self.texts[i] for i in rows], self.labels[rows], self.names)

    def y(self) -> list[Any]:
        """The labels by name, as `fit` takes them."""
        return [None if place < 0 else self.names[place] for place in self.labels]

    def in_turn(self, count: int, seed: int) -> Iterator[tuple[Given, list[str], Indices]]:
        """Each of `count` parts of the labels hidden once: what is shown, the texts asked, and their labels' places.

        At most 4 unlabelled texts for each labelled one are shown beside them. A part whose hiding would leave labels of one kind
        only is left out.
        """
        known, others = np.flatnonzero(self.labels >= 0), np.flatnonzero(self.labels < 0)
        drawn = np.random.default_rng(seed).permutation(others)[: _OTHERS * len(known)]
        some = self.part(np.sort(np.concatenate([known, drawn])))
        known = np.flatnonzero(some.labels >= 0)
        part = parts(some.labels[known], [some.texts[i] for i in known], count, seed)
        for number in range(count):
            hidden = known[part == number]
            shown = replace(some, labels=np.where(np.isin(np.arange(len(some.labels)), hidden), -1, some.labels))
            if len(np.unique(shown.labels[shown.labels >= 0])) > 1 and len(hidden):
                yield shown, [some.texts[i] for i in hidden], some.labels[hidden]


def read_given(clf: Classifier, texts: Any, y: Any, what: str) -> Given:
    """Texts (n) and labels (n,) as `fit` takes them, for the labels of `clf`.

    Raises UserError, which begins with `what`, for a classifier that cannot be tuned, and for labels of one kind only.
    """
    if clf.multi_label or clf.knows_numbers_only or clf.labels is None:
        raise UserError(
            "{value}: it is for one label out of several that have names.",
            "Give label names, no multi_label.",
            value=what,
        )
    if clf.geometry is not None or "embed" not in clf.loaded_backbone.abilities:
        raise UserError(
            "{value}: {name} is no sentence encoder of its own.",
            'Take one:  backbone="minilm"',
            value=what,
            name=clf.loaded_backbone.name,
        )
    rows = as_texts(texts)
    names = clf.classes_.tolist()
    labels = known_places(in_rows_of(texts, y), len(rows), names, minus_one_is_none=True)
    readable = [isinstance(text, str) and bool(text.strip()) for text in rows]
    good = np.flatnonzero(np.array(readable, dtype=bool) & (labels != NO_LABEL))
    given = Given([rows[i] for i in good], labels[good], names)
    present = np.unique(given.labels[given.labels >= 0])
    if len(present) == 1:
        raise UserError(
            "{value}: all labels given are {names!r}; there is nothing to tell apart.",
            "Give labels of at least two kinds.",
            value=what,
            names=names[present[0]],
        )
    return given
