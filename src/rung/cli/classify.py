"""`rung classify`: a file of texts in, the same file with labels out."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from rung.cli.options import (
    BackboneName,
    ClassifierFolder,
    Force,
    GeometryName,
    KnownSources,
    MultiLabel,
    NoCache,
    SheetName,
    TableFormat,
    TextColumn,
)
from rung.errors import UserError
from rung.messages import tr

if TYPE_CHECKING:
    from rung.estimator.classifier import Classifier
    from rung.runs.resume import Run


def classify(
    context: typer.Context,
    source: Annotated[
        str,
        typer.Argument(
            metavar="IN",
            help=".csv .tsv .txt .jsonl .parquet .xlsx (text formats also as .gz), or - for standard input.",
        ),
    ],
    labels: Annotated[
        str | None,
        typer.Option(help="a,b,c, or a file (.txt .csv .xlsx .yaml .json), or the name of a ready-made set."),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="The file for the answers; without it, standard output.")] = None,
    text: TextColumn = None,
    backbone: BackboneName = "auto",
    geometry: GeometryName = None,
    classifier: ClassifierFolder = None,
    save: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Save the classifier in this folder, for other files.")
    ] = None,
    known: KnownSources = None,
    no_pool: Annotated[
        bool,
        typer.Option("--no-pool", help="Answer every row by itself: do not learn from the unlabelled texts of IN."),
    ] = False,
    shares: Annotated[str | None, typer.Option(help="Known shares of the labels, such as  spam=0.1,ham=0.9")] = None,
    balanced: Annotated[bool, typer.Option("--balanced", help="All labels are about equally frequent.")] = False,
    reject: Annotated[
        str | None,
        typer.Option(
            metavar="auto|SHARE", help="Give no label to the texts that fit none of the labels; SHARE is their share."
        ),
    ] = None,
    multi_label: MultiLabel = False,
    calibrate: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMN|FILE",
            help="Held-out labels, not in --known, that calibrate the probabilities. A few dozen are a start.",
        ),
    ] = None,
    level: Annotated[
        float | None,
        typer.Option(
            metavar="P",
            help="Add the column labels: a set that contains the true label in this share of texts, such as 0.9.",
        ),
    ] = None,
    confidence: Annotated[
        float | None,
        typer.Option(
            metavar="P",
            help="In a tree, answer with the deepest label that is at least this probable; 0.5 by default.",
        ),
    ] = None,
    prefix: Annotated[str, typer.Option(help="A prefix for the names of the added columns.")] = "",
    long: Annotated[
        Literal["cut", "mean"],
        typer.Option(help="Texts beyond the model's maximum length: cut them, or take the mean over their pieces."),
    ] = "cut",
    sheet: SheetName = None,
    format: TableFormat = None,  # noqa: A002 - the option has this name
    engine: Annotated[
        Literal["here", "ray"],
        typer.Option(help="Where texts are classified: in this process, or on a Ray cluster."),
    ] = "here",
    explain: Annotated[
        bool,
        typer.Option("--explain", help="Add to the summary the figures that decided how much the texts of IN count."),
    ] = False,
    force: Force = False,
    no_cache: NoCache = False,
) -> None:
    """Label every text of a file, with a probability, offline.

    OUT keeps the columns of IN and adds label, probability and error. The classifier is fitted on the rows of IN itself,
    unless --no-pool or --classifier is given; then every row's answer is independent of the others.
    """
    from rung.cli import display
    from rung.cli.answering import Answering
    from rung.cli.calibration import added_columns, calibration_lines, check_level, held_out_labels
    from rung.cli.classifier_inputs import reads_images
    from rung.cli.classifier_options import (
        build_classifier,
        check_long,
        parse_reject,
        parse_shares,
        repeated_options,
        set_confidence,
    )
    from rung.cli.fitting import fit_or_resume
    from rung.cli.known_labels import KnownLabels
    from rung.cli.option_rules import check_options, refuse_input_as_output
    from rung.cli.parquet_on_ray import classify_on_ray, is_read_by_cluster
    from rung.cli.resuming import resume_notes, run_facts
    from rung.cli.summary import NextCommands, Tally, closing_lines
    from rung.estimator.persistence import check_free
    from rung.runs.resume import Run
    from rung.tables import open_output, open_table

    start = time.perf_counter()
    check_options(context)
    refuse_input_as_output(out, {"--labels": [labels], "--known": known or (), "--calibrate": [calibrate]})
    settings: dict[str, Any] = {"long": long, "balanced": balanced, "multi_label": multi_label, "cache": not no_cache}
    settings |= {"shares": parse_shares(shares), "reject": parse_reject(reject), "geometry": geometry}
    clf = build_classifier(labels, classifier, backbone, settings, command="classify")
    set_confidence(confidence, clf)
    check_long(long, clf, backbone)
    if save is not None:
        check_free(save, force=force)
    if engine == "ray" and is_read_by_cluster(source):
        fit = classifier is None and not no_pool
        classify_on_ray(source, out, clf, known, text=text or "text", prefix=prefix, fit=fit)
        return
    check_level(level, clf, calibrated_here=calibrate is not None)
    tally = Tally()
    with open_table(source, text=text, format=format, sheet=sheet, of_images=reads_images(clf)) as table:
        known_labels = KnownLabels(known or (), table, clf, parents=True)
        held_out = None if calibrate is None else held_out_labels(calibrate, table, known_labels, clf)
        facts = run_facts(
            table, clf, known=known or (), saved=classifier, options=[no_pool], calibration=[calibrate, level]
        )
        with Run(out, facts, table.rows) as run:
            with open_output(out, table, added_columns(level), prefix=prefix, force=force, part=run.part) as writer:
                for line in (*_destination_of_texts(clf), *resume_notes(run)):
                    display.say(line)
                if classifier is None and (known or not no_pool):
                    clf = fit_or_resume(run, table, known_labels, clf, pool=not no_pool)
                if held_out is not None:
                    held_out.calibrate(clf)
                Answering(table, known_labels, clf, engine, level).write_all(run, tally, writer)
            failure = None if save is None else _save(clf, save, run, force=force)
    saved = None if failure is not None else save
    places = [str(out or tr("standard output")), *([tr("{folder} (the classifier)", folder=saved)] if saved else [])]
    commands = NextCommands(source, repeated_options(context), known or ())
    for line in closing_lines(
        tally,
        clf,
        seconds=time.perf_counter() - start,
        places=places,
        saved=saved or classifier,
        fitted_here=classifier is None,
        commands=commands,
        notes=[*calibration_lines(clf, level)],
        remarks=known_labels.remarks(learned=classifier is None),
        explain=explain,
    ):
        display.say(line)
    if failure is not None:
        raise failure


def _destination_of_texts(classifier: Classifier) -> list[str]:
    """Where texts are sent, if they leave this machine."""
    host = getattr(classifier.loaded_backbone, "host", None)
    return [] if host is None else [tr("the texts are sent to {host}, which answers for them", host=host)]


def _save(classifier: Classifier, folder: Path, run: Run, *, force: bool) -> UserError | None:
    """Save the classifier; the error if that failed. The answers are written by then, and the run is kept to be resumed."""
    try:
        classifier.save(folder, force=force)
    except UserError as error:
        if run.keep_folder():
            hint = tr("Make room, then give the same command with --force: it reuses the kept answers and saves again.")
        else:
            hint = tr("Make room, or name another folder with --save, and give the command again.")
        return UserError("{fault} The answers are written; the classifier is not.", hint, fault=error.what)
    return None
