"""`rung distill`: a small, fast student model that answers as a classifier does."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from rung.cli.options import BackboneName, KnownSources, NoCache, Seed, SheetName, TableFormat, TextColumn
from rung.messages import tr

if TYPE_CHECKING:
    from rung.estimator.classifier import Classifier

_MAX_TEXTS = 200_000  # that a student learns from: more of them take long and add little


def distill(
    context: typer.Context,
    source: Annotated[
        str,
        typer.Argument(metavar="IN", help="The texts to learn from: many of them, and similar to later ones."),
    ],
    out: Annotated[Path, typer.Option(help="The folder for the student model.")],
    labels: Annotated[
        str | None, typer.Option(help="The labels of the teacher, as for classify; it is fitted on IN.")
    ] = None,
    classifier: Annotated[
        Path | None, typer.Option(help="A saved classifier as the teacher, instead of --labels.")
    ] = None,
    student: Annotated[
        Literal["auto", "ngram", "static", "shallow"],
        typer.Option(
            help="Character and word n-grams, static token vectors, some layers of the teacher, or the fastest that is good."
        ),
    ] = "auto",
    text: TextColumn = None,
    known: KnownSources = None,
    backbone: BackboneName = "auto",
    no_pool: Annotated[bool, typer.Option("--no-pool", help="Fit the teacher on the known labels only.")] = False,
    temperature: Annotated[
        float | None, typer.Option(help="The temperature T of the distillation; by default chosen on held-out texts.")
    ] = None,
    ce_weight: Annotated[
        float | None,
        typer.Option(help="The weight of known labels beside the teacher; by default chosen on held-out texts."),
    ] = None,
    size: Annotated[
        int | None, typer.Option(help="The dimensions of an ngram or static student, or the layers of a shallow one.")
    ] = None,
    seed: Seed = 0,
    sheet: SheetName = None,
    format: TableFormat = None,  # noqa: A002 - the option has this name
    no_cache: NoCache = False,
) -> None:
    """Make a student model that labels thousands of texts a second; only a shallow one needs torch.

    The folder works like any saved classifier: rung classify OTHER.csv --classifier FOLDER. Its record.json says how it was made.
    """
    from rung.cli import display
    from rung.cli.classifier_options import build_classifier
    from rung.cli.fitting import fit_on_table, sample_texts
    from rung.cli.known_labels import KnownLabels
    from rung.cli.option_rules import check_options
    from rung.estimator.persistence import check_free
    from rung.tables import open_table
    from rung.training.students.distill import distill as make

    check_options(context)
    check_free(out, force=False)
    teacher = build_classifier(labels, classifier, backbone, {"cache": not no_cache}, command="distill")
    with open_table(source, text=text, format=format, sheet=sheet) as table:
        known_labels = KnownLabels(known or (), table, teacher)
        if classifier is None and (known or not no_pool):
            fit_on_table(table, known_labels, teacher, pool=not no_pool)
        texts, y = sample_texts(table, known_labels, size=_MAX_TEXTS)
    with display.progress(len(texts), tr("labelling by the teacher")) as advance:
        distilled = make(
            teacher,
            texts,
            y if any(y) else None,
            student=student,
            out=out,
            temperature=temperature,
            ce_weight=ce_weight,
            size=size,
            seed=seed,
            progress=advance,
        )
    for line in _summary(distilled, out, teacher.rung_, len(texts)):
        display.say(line)


def _summary(distilled: Classifier, out: Path, teacher_rung: str, texts: int) -> list[str]:
    """The student, how often it agrees with its teacher, how fast it is, and what to type next."""
    from rung.training.provenance import Record

    results = Record.read(out).results
    chosen = results["chosen"]
    return [
        tr(
            "{student} student of {texts:,} texts (teacher: rung {rung}); {guard}",
            student=chosen["student"],
            texts=texts,
            rung=teacher_rung,
            guard=distilled.guard_,
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
