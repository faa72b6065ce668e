"""Fit a classifier on the rows of a table, or on a sample of them, and on the labels that are known."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

from rung.messages import tr

if TYPE_CHECKING:
    from rung.cli.known_labels import KnownLabels
    from rung.estimator.classifier import Classifier
    from rung.runs.resume import Run
    from rung.tables import Table


def fit_or_resume(
    run: Run, table: Table, known_labels: KnownLabels, classifier: Classifier, *, pool: bool
) -> Classifier:
    """The classifier fitted on the table; where a stopped run had fitted it already, that one."""
    from rung.inference.language import without_language_warnings

    if run.classifier is not None:
        loaded = type(classifier).load(run.classifier, backbone=classifier.backbone)
        loaded.set_params(cache=classifier.cache)
        return loaded
    with without_language_warnings():  # the summary warns about all rows
        texts, _ = fit_on_table(table, known_labels, classifier, pool=pool)
    if texts:
        run.save_classifier(classifier)
    return classifier


def fit_on_table(
    table: Table, known_labels: KnownLabels, classifier: Classifier, *, pool: bool
) -> tuple[list[str], list[str | None]]:
    """Fit on the table; the texts that were used, and the label of each that is known.

    Without `pool` only the labelled texts are used.
    """
    from rung.cli import display
    from rung.cli.classifier_inputs import inputs_of
    from rung.inference.label_inputs import ContradictionWarning

    texts, labels = sample_texts(table, known_labels, pool=pool)
    if texts:
        with display.progress(len(texts), tr("learning")) as advance, warnings.catch_warnings():
            # `KnownLabels` has warned already, with the lines of the person's own files.
            warnings.simplefilter("ignore", ContradictionWarning)
            classifier.fit(inputs_of(texts, table, classifier), known_labels.for_fit(labels), progress=advance)
    return texts, labels


def sample_texts(
    table: Table, known_labels: KnownLabels, *, pool: bool = True, size: int | None = None
) -> tuple[list[str], list[str | None]]:
    """Texts of the table, all of them or a sample of the usual size or of `size`, and the label of each that is known.

    All labelled texts are among them, also those of files of labels; without `pool` there are no others.
    """
    from rung.runs.sampling import Sample

    sample = Sample() if size is None else Sample(size)
    pairs: set[tuple[str, str]] = set()
    for chunk in table.chunks():
        rows = zip(chunk.texts, known_labels.labels_of(chunk), strict=True)
        used = [(text, label) for text, label in rows if text and text.strip() and (pool or label)]
        sample.add((text for text, _ in used), (label for _, label in used))
        pairs |= {(text, label) for text, label in used if label}
    for text, label in known_labels.pairs_beyond(pairs):
        sample.add([text], [label])
    return sample.rows()
