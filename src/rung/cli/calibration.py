"""Held-out labels that calibrate the probabilities of a classifier, and the sets of labels that depend on them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rung.errors import UserError
from rung.messages import tr, tr_n

if TYPE_CHECKING:
    from rung.cli.known_labels import KnownLabels
    from rung.estimator.classifier import Classifier
    from rung.tables import Table


def added_columns(level: float | None) -> Mapping[str, type]:
    """The columns that are added to a table: those of an answer, and with a level the set of labels."""
    from rung.tables import ANSWER

    return ANSWER if level is None else {**ANSWER, "labels": str}


class HeldOutLabels:
    """The labelled texts of --calibrate; nothing but a temperature is learned from them.

    fitted_texts are the texts that have a label in --known. Raises UserError where one of them is in --calibrate too.
    """

    def __init__(
        self, source: str, table: Table, texts: Sequence[str], labels: list[Any] | None, fitted_texts: Sequence[str]
    ) -> None:
        from rung.cli.label_files import text_key

        self._table, self._texts, self._labels = table, texts, labels
        shared = {text_key(text) for text in fitted_texts} & {text_key(text) for text in texts}
        if shared:
            raise UserError(
                "--calibrate {source}: {n} of {total} labelled texts are in --known too.",
                "Use each labelled text once: either in --known, or in --calibrate.",
                source=source,
                n=len(shared),
                total=len(texts),
            )

    def calibrate(self, classifier: Classifier) -> None:
        """Calibrate the classifier's probabilities."""
        from rung.cli.classifier_inputs import inputs_of

        classifier.calibrate(inputs_of(self._texts, self._table, classifier), self._labels)


def held_out_labels(source: str, table: Table, known_labels: KnownLabels, classifier: Classifier) -> HeldOutLabels:
    """The labels of --calibrate, checked against those of --known."""
    from rung.cli.fitting import sample_texts
    from rung.cli.known_labels import KnownLabels

    held_out = KnownLabels([source], table, classifier)
    texts, labels = sample_texts(table, held_out, pool=False)
    fitted_texts, _ = sample_texts(table, known_labels, pool=False)
    return HeldOutLabels(source, table, texts, held_out.for_fit(labels), fitted_texts)


def calibration_lines(classifier: Classifier, level: float | None) -> list[str]:
    """Lines for the summary: how many labels calibrated the classifier, and how often a set contains the true label."""
    from rung.decide.calibration import ConformalSets, least_labels

    calibration = getattr(classifier, "calibration_", None)
    if calibration is None:
        return []
    n = len(calibration.losses_)
    calibrated = tr_n(
        "probabilities are calibrated by {n:,} held-out label",
        "probabilities are calibrated by {n:,} held-out labels",
        n=n,
    )
    if level is None:
        return [calibrated]
    least = least_labels(level)
    if n < least:
        sets = tr(
            "the sets of --level {level:g} contain all labels: at least {least} held-out labels are needed to exclude one",
            level=level,
            least=least,
        )
    else:
        spread = ConformalSets(level).fit_losses(calibration.losses_).spread_
        sets = tr(
            "the column labels contains the true label in {level:.0%} of texts, give or take {spread:.0%} (one standard deviation)",
            level=level,
            spread=spread,
        )
    return [calibrated, sets]


def check_level(level: float | None, classifier: Classifier, *, calibrated_here: bool) -> None:
    """Raise UserError for a level that is not a share, and for one without a calibration."""
    if level is None:
        return
    if not 0 < level < 1:
        raise UserError("--level: got {level}.", "Give a share between 0 and 1, such as 0.9.", level=level)
    if not calibrated_here and not hasattr(classifier, "calibration_"):
        raise UserError(
            "--level needs held-out labels.",
            "Give some:  --calibrate COLUMN|FILE   or use a saved classifier that was calibrated",
        )
