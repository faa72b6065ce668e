"""`rung compare`: which settings predict held-out labels best, as a table with intervals and a chart."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rung.cli.options import (
    BackboneName,
    LabelsOfClassifier,
    NoCache,
    RequiredKnownSources,
    Seed,
    SheetName,
    TableFormat,
    TextColumn,
)
from rung.errors import UserError
from rung.messages import tr, tr_n

if TYPE_CHECKING:
    from rung.training.settings.comparison import Comparison

_MAX_UNLABELLED = 20_000  # texts beside the labelled ones
_CONSTANTS: dict[str, Any] = {"true": True, "false": False, "none": None}


def compare(
    source: Annotated[str, typer.Argument(metavar="IN", help="Texts, some of them with a label.")],
    known: RequiredKnownSources,
    setting: Annotated[
        list[str],
        typer.Option(
            "--try",
            metavar="NAME=A,B",
            help="Values of a setting; A..B is a range, for --trials. Can be given several times.",
        ),
    ],
    labels: LabelsOfClassifier = None,
    classifier: Annotated[Path | None, typer.Option(help="A saved classifier to start from.")] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="A folder for the table, the chart and the log; a stopped comparison resumes from it."),
    ] = None,
    text: TextColumn = None,
    backbone: BackboneName = "auto",
    trials: Annotated[
        int | None,
        typer.Option(help="Try this many settings, chosen by a search; without it, try all combinations."),
    ] = None,
    folds: Annotated[int, typer.Option(help="Parts of the labels, each of which is held out once.")] = 3,
    seed: Seed = 0,
    sheet: SheetName = None,
    format: TableFormat = None,  # noqa: A002 - the option has this name
    no_cache: NoCache = False,
) -> None:
    """Compare settings of a training, models, or options of the classifier on the same held-out labels.

    rung compare messages.csv --known label --labels labels.txt --try way=frozen,contrastive --try learning_rate=2e-5,1e-4
    """
    from rung.cli import display
    from rung.cli.classifier_options import build_classifier
    from rung.cli.fitting import sample_texts
    from rung.cli.known_labels import KnownLabels
    from rung.cli.stopping import resumable
    from rung.tables import open_table
    from rung.training.settings.compare import compare as run

    space = dict(parse_setting(each) for each in setting)
    clf = build_classifier(labels, classifier, backbone, {"cache": not no_cache}, command="compare")
    with open_table(source, text=text, format=format, sheet=sheet) as table:
        texts, y = sample_texts(table, KnownLabels(known, table, clf), size=_MAX_UNLABELLED)
    with resumable(out), display.training(tr("comparing")) as progress:
        comparison = run(clf, texts, y, space, trials=trials, folds=folds, seed=seed, out=out, progress=progress)
    for line in _summary(comparison, out):
        display.say(line)


def parse_setting(option: str) -> tuple[str, Any]:
    """A setting and its values from  name=a,b  or  name=low..high .

    >>> parse_setting("learning-rate=1e-5,1e-4")
    ('learning_rate', [1e-05, 0.0001])
    >>> parse_setting("steps=10..100")
    ('steps', SearchRange(low=10, high=100))
    """
    from rung.training.settings.compare import SearchRange

    name, sign, values = option.partition("=")
    if not sign or not values.strip():
        raise UserError(
            "--try {option}: there are no values.", "Give some:  --try way=frozen,contrastive", option=option
        )
    low, dots, high = values.partition("..")
    ends = _value(low), _value(high)
    if dots and all(isinstance(end, int | float) for end in ends):
        return _parameter_name(name), SearchRange(*ends)
    return _parameter_name(name), [_value(value) for value in values.split(",") if value.strip()]


def _parameter_name(name: str) -> str:
    return name.strip().replace("-", "_")


def _value(word: str) -> Any:
    """The word as a number, True, False or None where it means one of these; else the word itself."""
    word = word.strip()
    for kind in (int, float):
        try:
            return kind(word)
        except ValueError:
            continue
    return _CONSTANTS.get(word.lower(), word)


def _summary(comparison: Comparison, out: Path | None) -> list[str]:
    """The table of settings, the best first, and the verdict."""
    from rung.cli import display

    lines = [
        *display.columns(_table(comparison)),
        *(tr("not tried: {name} ({why})", name=row.name, why=row.error) for row in comparison.rows if row.error),
        tr_n(
            "{n:,} label, held out once; {verdict}",
            "{n:,} labels, each held out once; {verdict}",
            n=len(comparison.rows[0].right),
            verdict=comparison.verdict,
        ),
        tr("the best of several settings looks better than it is: measure it again on other labels"),
    ]
    return lines if out is None else [*lines, tr("written to {out} (comparison.csv, comparison.svg)", out=out)]


def _table(comparison: Comparison) -> list[tuple[str, ...]]:
    """A row for each setting that was measured, below a header."""
    from rung.training.settings.comparison import BASELINE

    rows: list[tuple[str, ...]] = [
        (
            tr("setting"),
            tr("accuracy"),
            "95 %",
            tr("gain"),
            tr("95 % of all together"),
            tr("log loss"),
            tr("seconds"),
        )
    ]
    for line in comparison.table():
        if line["error"] is not None:
            continue
        is_baseline = line["setting"] == BASELINE
        rows.append(
            (
                line["setting"],
                f"{line['share']:.1%}",
                f"[{line['low']:.1%}, {line['high']:.1%}]",
                "" if is_baseline else f"{line['gain']:+.1%}",
                "" if is_baseline else f"[{line['gain_low']:+.1%}, {line['gain_high']:+.1%}]",
                f"{line['log_loss']:.3f}",
                f"{line['seconds']:.0f}",
            )
        )
    return rows
