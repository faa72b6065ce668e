"""`rung suggest`: which texts to label next."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

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
from rung.messages import tr, tr_n

if TYPE_CHECKING:
    from rung.cli.known_labels import KnownLabels
    from rung.estimator.classifier import Classifier
    from rung.tables import Table

_SHOWN = 12  # labels that the summary lists


def suggest(
    context: typer.Context,
    source: Annotated[str, typer.Argument(metavar="IN", help="A table, as for classify.")],
    labels: Annotated[str | None, typer.Option(help="a,b,c, or a file, or the name of a ready-made set.")] = None,
    out: Annotated[
        Path, typer.Option(help="The file for the rows, with an empty column label; a file of --known gets more rows.")
    ] = Path("to-label.csv"),
    n: Annotated[int, typer.Option("-n", "--number", help="The number of texts.")] = 20,
    text: TextColumn = None,
    known: KnownSources = None,
    classifier: ClassifierFolder = None,
    multi_label: MultiLabel = False,
    backbone: BackboneName = "auto",
    sheet: SheetName = None,
    geometry: GeometryName = None,
    format: TableFormat = None,  # noqa: A002 - the option has this name
    force: Force = False,
    no_cache: NoCache = False,
) -> None:
    """Write the rows whose labels would help most, to be labelled by hand.

    Fill in the column label (none of these, where no label fits) and give the file back:

    rung classify IN --labels … --known to-label.csv

    If the file is also given to --known, the next rows are added below its own, whose labels stay.
    """
    from rung.cli.classifier_inputs import reads_images
    from rung.cli.classifier_options import build_classifier, repeated_options
    from rung.cli.display import say
    from rung.cli.known_labels import KnownLabels
    from rung.cli.label_files import open_label_file
    from rung.cli.option_rules import check_options, refuse_input_as_output
    from rung.cli.summary import NextCommands
    from rung.tables import open_table
    from rung.tables.append import check_appendable

    check_options(context)
    if n < 1:
        raise UserError("suggest: {n} texts.", "Ask for at least one:  -n 20", n=n)
    refuse_input_as_output(out, {"--labels": [labels]})
    append = _is_known_file(out, known or ())
    _check_output(out, force=force or append)
    settings: dict[str, Any] = {"multi_label": multi_label, "geometry": geometry, "cache": not no_cache}
    clf = build_classifier(labels, classifier, backbone, settings, command="suggest")
    with open_table(source, text=text, format=format, sheet=sheet, of_images=reads_images(clf)) as table:
        known_labels = KnownLabels(known or (), table, clf, parents=True)
        if append:
            with open_label_file(str(out), table) as label_file:
                check_appendable(out, label_file)
        texts = _suggested_texts(table, known_labels, clf, n, fit=classifier is None)
        if texts:
            _write(out, table, texts, append=append, force=force)
    if not texts:
        say(tr("nothing to suggest: every text of {source} has a label, or is in a file of --known", source=source))
        return
    commands = NextCommands(source, repeated_options(context), known or ())
    for line in (
        *known_labels.remarks(learned=classifier is None),
        *_summary(out, len(texts), clf, appended=append),
        tr("next: {command}", command=commands.classify(out)),
    ):
        say(line)


def _suggested_texts(
    table: Table, known_labels: KnownLabels, classifier: Classifier, n: int, *, fit: bool
) -> list[str]:
    """At most n texts, the most helpful first; none that is in a file of --known, with a label or without one yet."""
    from rung.cli.classifier_inputs import inputs_of
    from rung.cli.fitting import fit_on_table, sample_texts
    from rung.cli.label_files import text_key

    if fit:
        texts, labels = fit_on_table(table, known_labels, classifier, pool=True)
    else:
        texts, labels = sample_texts(table, known_labels)
    if not texts:
        return []
    in_files = known_labels.keys_in_files
    inputs = inputs_of(texts, table, classifier)
    places = classifier.suggest(inputs, n + len(in_files), known_labels.for_fit(labels))
    return [texts[i] for i in places if text_key(texts[i]) not in in_files][:n]


def _write(out: Path, table: Table, texts: Sequence[str], *, append: bool, force: bool) -> None:
    """Write the rows of these texts with all their columns and an empty label, to a new file or below the rows of `out`."""
    from rung.cli.label_files import LABEL, open_label_file
    from rung.tables import open_output
    from rung.tables.append import append_rows

    columns = [
        column for column in table.columns if column != LABEL
    ]  # labels in IN may come from a model, not from a person
    rows = _first_rows(table, texts)
    if append:
        with open_label_file(str(out), table) as label_file:
            for row in rows:
                row |= {label_file.text_column: row[table.text_column], LABEL: ""}
            append_rows(out, label_file, [[row.get(column, "") for column in label_file.columns] for row in rows])
        return
    selection = table.selection(columns, [[row[column] for column in columns] for row in rows])
    with open_output(out, selection, {LABEL: str}, force=force) as writer:
        for chunk in selection.chunks():
            writer.write(chunk, [[None] * len(chunk)])


def _first_rows(table: Table, texts: Sequence[str]) -> list[dict[str, str]]:
    """The first row of each text, its cells by column."""
    wanted, found = set(texts), dict[str, dict[str, str]]()
    for chunk in table.chunks():
        for text, cells in zip(chunk.texts, chunk.cells(), strict=True):
            if text in wanted and text not in found:
                found[text] = dict(zip(table.columns, cells, strict=True))
    return [found[text] for text in texts]


def _summary(out: Path, n: int, classifier: Classifier, *, appended: bool) -> list[str]:
    """Where the rows are, and how to fill them in."""
    from rung.cli.label_files import LABEL, SEPARATOR
    from rung.labels.none_of_these import NONE_OF_THESE

    labels = [str(label) for label in classifier.classes_.tolist()]
    names = ", ".join([*labels[:_SHOWN], *(["…"] if len(labels) > _SHOWN else [])])
    lines: list[str] = [
        tr_n("{n:,} text added below the rows of {out}", "{n:,} texts added below the rows of {out}", n=n, out=out)
        if appended
        else tr_n("{n:,} text written to {out}", "{n:,} texts written to {out}", n=n, out=out)
    ]
    if classifier.multi_label:
        lines += [
            tr("fill in the column {column} with one or more of: {names}", column=LABEL, names=names),
            tr("where no label fits, write: {word}", word=NONE_OF_THESE),
            tr("separate several labels of a text with {separator}", separator=SEPARATOR),
        ]
    else:
        lines += [
            tr("fill in the column {column} with one of: {names}", column=LABEL, names=names),
            tr("where no label fits, write: {word}", word=NONE_OF_THESE),
        ]
    return lines


def _is_known_file(out: Path, known: Sequence[str]) -> bool:
    """Whether --out is a file of --known as well."""
    return out.is_file() and any(os.path.isfile(each) and out.samefile(each) for each in known)


def _check_output(out: Path, *, force: bool) -> None:
    """Raise UserError where the file cannot be written, or exists and may not be overwritten."""
    from rung.tables.formats import output_format

    if not out.absolute().parent.is_dir():
        raise UserError(
            "--out {out}: the folder {parent} does not exist.", "mkdir -p {parent}", out=out, parent=out.parent
        )
    if out.is_dir():
        raise UserError(
            "--out {out} is a folder.", "Name a file in it:  --out {file}", out=out, file=out / "to-label.csv"
        )
    if out.exists() and not force:
        raise UserError(
            "--out {out} exists already.",
            "It may hold labels. To add rows below them:  --known {out}   To overwrite it:  --force",
            out=out,
        )
    output_format(out)
