"""`rung suggest`: which texts to label next."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rung.errors import UserError
from rung.messages import tr, tr_n

if TYPE_CHECKING:
    from rung.cli.known_labels import Known
    from rung.estimator.classifier import Classifier
    from rung.tables import Table

_NAMED = 12  # labels that the closing line names


def suggest(
    context: typer.Context,
    source: Annotated[str, typer.Argument(metavar="IN", help="A table, as for classify.")],
    labels: Annotated[str | None, typer.Option(help="a,b,c, or a file, or a ready-made set")] = None,
    out: Annotated[
        Path, typer.Option(help="Where the rows go, with an empty column label; below those of a file of --known.")
    ] = Path("to-label.csv"),
    n: Annotated[int, typer.Option("-n", "--number", help="How many texts.")] = 20,
    text: Annotated[str | None, typer.Option(metavar="COLUMN", help="The column that holds the texts.")] = None,
    known: Annotated[
        list[str] | None,
        typer.Option(
            metavar="COLUMN|FILE",
            help="Labels known already: a column of IN, or a file with text and label; may be given several times.",
        ),
    ] = None,
    classifier: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Ask a saved classifier instead of --labels.")
    ] = None,
    multi_label: Annotated[
        bool, typer.Option("--multi-label", help="A text may have several labels, or none.")
    ] = False,
    backbone: Annotated[str, typer.Option(help="A name of `rung models`, hf:owner/name, or a folder.")] = "auto",
    sheet: Annotated[
        str | None, typer.Option(metavar="NAME", help="The sheet of a workbook (.xlsx) that has several.")
    ] = None,
    geometry: Annotated[
        str | None, typer.Option(metavar="NAME", help="Another model, which says where the texts lie.")
    ] = None,
    format: Annotated[str | None, typer.Option(help="How to read IN where its name does not say.")] = None,  # noqa: A002
    force: Annotated[bool, typer.Option("--force", help="Replace what is there already.")] = False,
    no_cache: Annotated[bool, typer.Option("--no-cache", help="Keep no embeddings on disk.")] = False,
) -> None:
    """Write the rows whose labels would help most, to be labelled by hand.

    Fill in the column label (none of these, where no label fits) and hand the file back:

    rung classify IN --labels … --known to-label.csv

    Given to --known as well, the same file grows by the next rows; its labels stay.
    """
    from rung.cli.classifier_inputs import of_images
    from rung.cli.classify import chosen_classifier, same_options
    from rung.cli.display import say
    from rung.cli.known_labels import Known, opened
    from rung.cli.option_rules import check_options, refuse_input_as_output
    from rung.cli.summary import Loop
    from rung.tables import open_table
    from rung.tables.append import check_appendable

    check_options(context)
    if n < 1:
        raise UserError("suggest: {n} texts.", "Ask for at least one:  -n 20", n=n)
    refuse_input_as_output(out, {"--labels": [labels]})
    below = _is_among(out, known or ())
    _check_free(out, force=force or below)
    settings: dict[str, Any] = {"multi_label": multi_label, "geometry": geometry, "cache": not no_cache}
    chosen = chosen_classifier(labels, classifier, backbone, settings, command="suggest")
    with open_table(source, text=text, format=format, sheet=sheet, of_images=of_images(chosen)) as table:
        told = Known(known or (), table, chosen)
        if below:
            with opened(str(out), table) as there:
                check_appendable(out, there)
        texts = _chosen(table, told, chosen, n, fit=classifier is None)
        if texts:
            _write(out, table, texts, below=below, force=force)
    if not texts:
        say(tr("nothing to suggest: every text of {source} has a label, or is in a file of --known", source=source))
        return
    same = same_options(labels, classifier, text, backbone, format, multi_label=multi_label)
    same |= {"--sheet": sheet, "--geometry": geometry}
    loop = Loop(source, same, known or ())
    for line in (*told.remarks(learned=classifier is None), *_closing(out, len(texts), chosen, below=below)):
        say(line)
    say(tr("next: {command}", command=loop.classify(out)))


def _chosen(table: Table, told: Known, classifier: Classifier, n: int, *, fit: bool) -> list[str]:
    """At most n texts, the most helpful first; none that is in a file of --known already, be its label filled in or not."""
    from rung.cli.classifier_inputs import about
    from rung.cli.classify import as_given, fit_on, sampled
    from rung.cli.known_labels import same_text

    texts, given = fit_on(table, told, classifier, pool=True) if fit else sampled(table, told)
    if not texts:
        return []
    y = as_given(given, classifier) if any(given) else None
    places = classifier.suggest(about(texts, table, classifier), n + len(told.listed), y)
    return [texts[i] for i in places if same_text(texts[i]) not in told.listed][:n]


def _write(out: Path, table: Table, texts: Sequence[str], *, below: bool, force: bool) -> None:
    """The rows of these texts with all their columns, and an empty label: in a new file, or below what is there."""
    from rung.cli.known_labels import LABEL, opened
    from rung.tables import open_output
    from rung.tables.append import append_rows

    columns = [column for column in table.columns if column != LABEL]  # a label that IN has is no answer of a person
    rows = _rows_of(table, texts)
    if not below:
        some = table.selection(columns, [[row[column] for column in columns] for row in rows])
        with open_output(out, some, {LABEL: str}, force=force) as writer:
            for chunk in some.chunks():
                writer.write(chunk, [[None] * len(chunk)])
        return
    with opened(str(out), table) as there:
        for row in rows:
            row |= {there.text_column: row[table.text_column], LABEL: ""}
        append_rows(out, there, [[row.get(column, "") for column in there.columns] for row in rows])


def _rows_of(table: Table, texts: Sequence[str]) -> list[dict[str, str]]:
    """The first row of each text, its cells by column."""
    wanted, found = set(texts), dict[str, dict[str, str]]()
    for chunk in table.chunks():
        for text, cells in zip(chunk.texts, chunk.cells(), strict=True):
            if text in wanted and text not in found:
                found[text] = dict(zip(table.columns, cells, strict=True))
    return [found[text] for text in texts]


def _closing(out: Path, n: int, classifier: Classifier, *, below: bool) -> list[str]:
    """Where the rows are, and how to fill them in."""
    from rung.cli.known_labels import LABEL, SEPARATOR
    from rung.labels.none_of_these import NONE_OF_THESE

    names = [str(name) for name in classifier.classes_.tolist()]
    shown = ", ".join([*names[:_NAMED], *(["…"] if len(names) > _NAMED else [])])
    lines: list[str] = [
        tr_n("{n:,} text written below the rows of {out}", "{n:,} texts written below the rows of {out}", n=n, out=out)
        if below
        else tr_n("{n:,} text written to {out}", "{n:,} texts written to {out}", n=n, out=out),
        tr("fill in the column {column} with one of: {names}", column=LABEL, names=shown),
        tr("where no label fits, write: {word}", word=NONE_OF_THESE),
    ]
    if classifier.multi_label:
        lines[1] = tr("fill in the column {column} with any of: {names}", column=LABEL, names=shown)
        lines.insert(2, tr("several labels of a text stand with {separator} between them", separator=SEPARATOR))
    return lines


def _is_among(out: Path, known: Sequence[str]) -> bool:
    """Whether --out is a file of --known as well."""
    return out.is_file() and any(Path(each).is_file() and out.samefile(each) for each in known)


def _check_free(out: Path, *, force: bool) -> None:
    from rung.tables.formats import output_format

    if not out.absolute().parent.is_dir():
        raise UserError(
            "--out {out}: the folder {parent} does not exist.", "mkdir -p {parent}", out=out, parent=out.parent
        )
    if out.is_dir():
        raise UserError(
            "--out {out} is a folder.", "Name a file in it:  --out {out_2}", out=out, out_2=out / "to-label.csv"
        )
    if out.exists() and not force:
        raise UserError(
            "--out {out} exists already.",
            "It may hold labels. To add rows below them:  --known {out}   To replace it:  --force",
            out=out,
        )
    output_format(out)
