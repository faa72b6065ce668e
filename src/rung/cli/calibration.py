"""Labels kept apart, by which probabilities are made honest, and the sets of labels that they vouch for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rung.errors import UserError
from rung.messages import tr, tr_n

if TYPE_CHECKING:
    from rung.estimator.classifier import Classifier
    from rung.tables import Table


def added_columns(level: float | None) -> Mapping[str, type]:
    """The columns that are added to a table: those of an answer, and with a level the set of labels."""
    from rung.tables import ANSWER

    return ANSWER if level is None else {**ANSWER, "labels": str}


class KeptApart:
    """The labelled texts of --calibrate and their labels; nothing is learned from them but a temperature.

    learned: the texts that have a label in --known. Raises UserError where one of them is in --calibrate too.
    """

    def __init__(
        self, source: str, table: Table, texts: Sequence[str], labels: Sequence[Any], learned: Sequence[str]
    ) -> None:
        from rung.cli.known_labels import same_text

        self._table, self.texts, self._labels = table, texts, labels
        again = {same_text(text) for text in learned} & {same_text(text) for text in self.texts}
        if again:
            raise UserError(
                "--calibrate {source}: {n} of {all} labelled texts are in --known too.",
                "Keep some labels apart: a text is for --known, or for --calibrate.",
                source=source,
                n=len(again),
                all=len(self.texts),
            )

    def calibrate(self, classifier: Classifier) -> None:
        """Make the classifier's probabilities honest by them."""
        from rung.cli.classifier_inputs import about

        classifier.calibrate(about(self.texts, self._table, classifier), self._labels)


def closing(classifier: Classifier, level: float | None) -> list[str]:
    """For the summary: by how many labels it was calibrated, and what the sets hold."""
    from rung.decide.calibration import ConformalSets, least_labels

    calibration = getattr(classifier, "calibration_", None)
    if calibration is None:
        return []
    n = len(calibration.losses_)
    said: list[str] = [
        tr_n(
            "probabilities are calibrated by {n:,} label that was kept apart",
            "probabilities are calibrated by {n:,} labels that were kept apart",
            n=n,
        )
    ]
    if level is None:
        return said
    if n < least_labels(level):
        few = tr(
            "the sets of --level {level:g} hold all labels: it takes {least} labels kept apart to leave one out",
            level=level,
            least=least_labels(level),
        )
        return [*said, few]
    spread = ConformalSets(level).fit_losses(calibration.losses_).spread_
    holds = tr(
        "the column labels holds the true label in {level:.0%} of texts, give or take {spread:.0%} (one standard deviation)",
        level=level,
        spread=spread,
    )
    return [*said, holds]


def check_level(level: float | None, classifier: Classifier, *, calibrated_here: bool) -> None:
    """Raise UserError for a level that is no share, and where nothing was calibrated."""
    if level is None:
        return
    if not 0 < level < 1:
        raise UserError("--level: got {level}.", "Give a share between 0 and 1, such as 0.9.", level=level)
    if not calibrated_here and not hasattr(classifier, "calibration_"):
        raise UserError(
            "--level needs labels that were kept apart.",
            "Give some:  --calibrate COLUMN|FILE   or a saved classifier that was calibrated",
        )
