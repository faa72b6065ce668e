"""`rung distill`: a small, fast student that answers as a classifier does."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from rung.messages import tr

_MOST = 200_000  # texts that a student reads: more of them take long and add little


def distill(
    context: typer.Context,
    source: Annotated[
        str,
        typer.Argument(
            metavar="IN", help="The texts to learn from: the more, and the more like later ones, the better."
        ),
    ],
    out: Annotated[Path, typer.Option(help="The folder for the student.")],
    labels: Annotated[
        str | None, typer.Option(help="Labels of a teacher that is fitted on IN, as for classify.")
    ] = None,
    classifier: Annotated[
        Path | None, typer.Option(help="A saved classifier as the teacher, instead of --labels.")
    ] = None,
    student: Annotated[
        Literal["auto", "ngram", "static", "shallow"],
        typer.Option(
            help="Words and pieces of words, token vectors, some of the teacher's layers, or the fastest of the good ones."
        ),
    ] = "auto",
    text: Annotated[str | None, typer.Option(metavar="COLUMN", help="The column that holds the texts.")] = None,
    known: Annotated[
        list[str] | None,
        typer.Option(metavar="COLUMN|FILE", help="Labels that are known: a column of IN, or a file. Repeat it."),
    ] = None,
    backbone: Annotated[str, typer.Option(metavar="NAME", help="The teacher's model.")] = "auto",
    no_pool: Annotated[
        bool, typer.Option("--no-pool", help="Fit the teacher on nothing but the known labels.")
    ] = False,
    temperature: Annotated[
        float | None, typer.Option(help="T of the distillation; chosen on texts kept apart.")
    ] = None,
    ce_weight: Annotated[
        float | None, typer.Option(help="What known labels weigh beside the teacher; chosen likewise.")
    ] = None,
    size: Annotated[
        int | None, typer.Option(help="Dimensions of an ngram or static student, layers of a shallow one.")
    ] = None,
    seed: Annotated[int, typer.Option(help="For the texts that are kept apart.")] = 0,
    sheet: Annotated[
        str | None, typer.Option(metavar="NAME", help="The sheet of a workbook (.xlsx) that has several.")
    ] = None,
    format: Annotated[  # noqa: A002 - the flag is called so
        str | None, typer.Option(help="csv, tsv, txt, jsonl, parquet or xlsx, where the name of IN does not say so.")
    ] = None,
    no_cache: Annotated[bool, typer.Option("--no-cache", help="Keep no embeddings on disk.")] = False,
) -> None:
    """Make a student: thousands of texts a second, and, but for a shallow one, without torch.

    The folder is used like any saved classifier: rung classify OTHER.csv --classifier FOLDER. Its record.json says how it was made.
    """
    from rung.cli import display
    from rung.cli.classify import chosen_classifier, fit_on, sampled
    from rung.cli.known_labels import Known
    from rung.cli.option_rules import check_options
    from rung.estimator.persistence import check_free
    from rung.tables import open_table
    from rung.training.students.distill import distill as make

    check_options(context)
    check_free(out, force=False)
    teacher = chosen_classifier(labels, classifier, backbone, {"cache": not no_cache}, command="distill")
    with open_table(source, text=text, format=format, sheet=sheet) as table:
        told = Known(known or (), table, teacher)
        if classifier is None and (known or not no_pool):
            fit_on(table, told, teacher, pool=not no_pool)
        texts, given = sampled(table, told, size=_MOST)
    with display.progress(len(texts), tr("asking the teacher")) as advance:
        made = make(
            teacher,
            texts,
            given if any(given) else None,
            student=student,
            out=out,
            temperature=temperature,
            ce_weight=ce_weight,
            size=size,
            seed=seed,
            progress=advance,
        )
    for line in _closing(made, out, teacher.rung_, len(texts)):
        display.say(line)


def _closing(made: object, out: Path, rung_: str, texts: int) -> list[str]:
    """What was made, how well it agrees, how fast it is, and what to type next."""
    from rung.training.provenance import Record

    results = Record.read(out).results
    chosen = results["chosen"]
    return [
        tr(
            "{student} student of {texts:,} texts (teacher: rung {rung}); {guard}",
            student=chosen["student"],
            texts=texts,
            rung=rung_,
            guard=getattr(made, "guard_", ""),
        ),
        tr(
            "T {temperature:g}, weight of known labels {ce_weight:g}, size {size} · {speed:,} texts a second here",
            temperature=chosen["temperature"],
            ce_weight=chosen["ce_weight"],
            size=chosen["size"],
            speed=results["texts_per_s"],
        ),
        *(
            tr("{student} student was not tried: {reason}", student=each["student"], reason=each["skipped"])
            for each in results["tried"]
            if "skipped" in each
        ),
        tr("written to {places}", places=out),
        tr("next: rung classify OTHER.csv --classifier {folder}", folder=out),
    ]
