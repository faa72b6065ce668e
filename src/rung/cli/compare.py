"""`rung compare`: which settings answer held-out labels best, as a table with intervals and a picture."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rung.errors import UserError
from rung.messages import tr, tr_n

if TYPE_CHECKING:
    from rung.training.settings.comparison import Comparison

_MOST = 20_000  # unlabelled texts beside the labelled ones
_WORDS: dict[str, Any] = {"true": True, "false": False, "none": None}


def compare(
    source: Annotated[str, typer.Argument(metavar="IN", help="Texts, some of them with a label.")],
    known: Annotated[
        list[str],
        typer.Option(metavar="COLUMN|FILE", help="Labels that are known: a column of IN, or a file. Repeat it."),
    ],
    setting: Annotated[
        list[str],
        typer.Option(
            "--try", metavar="NAME=A,B", help="Values of one setting; A..B is a range, for --trials. Repeat it."
        ),
    ],
    labels: Annotated[str | None, typer.Option(help="The labels, as for classify; else those of --classifier.")] = None,
    classifier: Annotated[Path | None, typer.Option(help="A saved classifier to start from.")] = None,
    out: Annotated[
        Path | None, typer.Option(help="A folder for table, picture and log; it can be gone on with.")
    ] = None,
    text: Annotated[str | None, typer.Option(metavar="COLUMN", help="The column that holds the texts.")] = None,
    backbone: Annotated[str, typer.Option(metavar="NAME", help="The model to start from.")] = "auto",
    trials: Annotated[
        int | None, typer.Option(help="So many settings, each where the study looks for more; else all of them.")
    ] = None,
    folds: Annotated[int, typer.Option(help="Parts of the labels, each hidden once.")] = 3,
    seed: Annotated[int, typer.Option(help="For everything that is drawn.")] = 0,
    sheet: Annotated[
        str | None, typer.Option(metavar="NAME", help="The sheet of a workbook (.xlsx) that has several.")
    ] = None,
    format: Annotated[str | None, typer.Option(help="csv, tsv, txt, jsonl, parquet or xlsx.")] = None,  # noqa: A002
    no_cache: Annotated[bool, typer.Option("--no-cache", help="Keep no embeddings on disk.")] = False,
) -> None:
    """Try settings of a training, models, or options of the classifier on labels held out, all on the same ones.

    rung compare messages.csv --known label --labels labels.txt --try way=frozen,contrastive --try learning_rate=2e-5,1e-4
    """
    from rung.cli import display
    from rung.cli.classify import chosen_classifier, sampled
    from rung.cli.known_labels import Known
    from rung.cli.stopping import resumable
    from rung.tables import open_table
    from rung.training.settings.compare import compare as run

    space = dict(asked(each) for each in setting)
    begun = chosen_classifier(labels, classifier, backbone, {"cache": not no_cache}, command="compare")
    with open_table(source, text=text, format=format, sheet=sheet) as table:
        texts, given = sampled(table, Known(known, table, begun), size=_MOST)
    with resumable(out), display.training(tr("comparing")) as told:
        found = run(begun, texts, given, space, trials=trials, folds=folds, seed=seed, out=out, progress=told)
    for line in _closing(found, out):
        display.say(line)


def asked(option: str) -> tuple[str, Any]:
    """A setting and its values from  name=a,b  or  name=low..high .

    >>> asked("learning-rate=1e-5,1e-4")
    ('learning_rate', [1e-05, 0.0001])
    >>> asked("steps=10..100")
    ('steps', SearchRange(low=10, high=100))
    """
    from rung.training.settings.compare import SearchRange

    name, sign, values = option.partition("=")
    if not sign or not values.strip():
        raise UserError("--try {option}: no values.", "Give some:  --try way=frozen,contrastive", option=option)
    low, dots, high = values.partition("..")
    ends = _value(low), _value(high)
    if dots and all(isinstance(end, int | float) for end in ends):
        return _plain(name), SearchRange(*ends)
    return _plain(name), [_value(value) for value in values.split(",") if value.strip()]


def _plain(name: str) -> str:
    return name.strip().replace("-", "_")


def _value(word: str) -> Any:
    """A number, true, false or none where it is one; else the word."""
    word = word.strip()
    for kind in (int, float):
        try:
            return kind(word)
        except ValueError:
            continue
    return _WORDS.get(word.lower(), word)


def _closing(found: Comparison, out: Path | None) -> list[str]:
    """The table, best first, and what it says."""
    from rung.cli import display
    from rung.training.settings.comparison import BASELINE

    rows: list[tuple[str, ...]] = [
        (
            tr("setting"),
            tr("right"),
            "95 %",
            tr("over as it is"),
            tr("all together"),
            tr("log loss"),
            tr("seconds"),
        )
    ]
    measured = [line for line in found.table() if line["error"] is None]
    for line in measured:
        first = line["setting"] == BASELINE
        rows.append(
            (
                line["setting"],
                f"{line['share']:.1%}",
                f"[{line['low']:.1%}, {line['high']:.1%}]",
                "" if first else f"{line['gain']:+.1%}",
                "" if first else f"[{line['gain_low']:+.1%}, {line['gain_high']:+.1%}]",
                f"{line['log_loss']:.3f}",
                f"{line['seconds']:.0f}",
            )
        )
    lines = [
        *display.columns(rows),
        *(tr("not tried: {name} ({why})", name=row.name, why=row.error) for row in found.rows if row.error),
        tr_n(
            "{n:,} label, held out once; {verdict}",
            "{n:,} labels, each held out once; {verdict}",
            n=len(found.rows[0].right),
            verdict=found.verdict,
        ),
        tr("the best of several looks better than it is: measure it again on other labels"),
    ]
    return lines if out is None else [*lines, tr("written to {out} (comparison.csv, comparison.svg)", out=out)]
