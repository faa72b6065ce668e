"""`rung tune`: fine-tune an encoder on labelled texts, and keep it where held-out labels are predicted better."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

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
from rung.messages import tr

if TYPE_CHECKING:
    from rung.estimator.classifier import Classifier

_MAX_UNLABELLED = 20_000  # texts beside the labelled ones


def tune(
    context: typer.Context,
    source: Annotated[str, typer.Argument(metavar="IN", help="Texts, some of them with a label.")],
    out: Annotated[Path, typer.Option(help="The folder for the tuned classifier.")],
    known: RequiredKnownSources,
    labels: LabelsOfClassifier = None,
    classifier: Annotated[
        Path | None, typer.Option(help="A saved classifier to start from, with its labels and its model.")
    ] = None,
    text: TextColumn = None,
    backbone: BackboneName = "minilm",
    way: Annotated[
        Literal["probe", "contrastive", "lora", "full"],
        typer.Option(
            help="Fit a linear head only; train the encoder contrastively; train low-rank adapters; train all weights."
        ),
    ] = "contrastive",
    teach: Annotated[
        bool,
        typer.Option(
            "--teach", help="Learn from the unlabelled texts too, with the answers of the frozen model as labels."
        ),
    ] = False,
    no_guard: Annotated[
        bool, typer.Option("--no-guard", help="Keep the new weights without a check on held-out labels.")
    ] = False,
    steps: Annotated[
        int | None, typer.Option(help="Updates of the weights; by default 16 passes over the labelled texts.")
    ] = None,
    batch: Annotated[int, typer.Option(help="Texts in a batch.")] = 16,
    accumulate: Annotated[int, typer.Option(help="Batches whose gradients one update adds up.")] = 1,
    learning_rate: Annotated[float | None, typer.Option(help="The peak of the learning rate.")] = None,
    weight_decay: Annotated[float, typer.Option(help="The weight decay.")] = 0.01,
    dropout: Annotated[
        float | None, typer.Option(help="The dropout inside the encoder; by default the model's own.")
    ] = None,
    token_dropout: Annotated[
        float, typer.Option(help="The share of words that are left out each time a text is drawn.")
    ] = 0.0,
    rare_words: Annotated[
        float, typer.Option(help="The share of words found in one text only that are hidden each time.")
    ] = 0.0,
    class_weights: Annotated[
        Literal["none", "balanced"], typer.Option(help="The weights of the labels in the loss, for lora and full.")
    ] = "none",
    precision: Annotated[
        Literal["float32", "bf16", "fp16"], typer.Option(help="The precision of the computation.")
    ] = "float32",
    checkpointing: Annotated[
        bool, typer.Option("--checkpointing", help="Recompute activations: less memory, more time.")
    ] = False,
    validation: Annotated[
        float, typer.Option(help="The share of labelled texts that are held out for early stopping.")
    ] = 0.0,
    patience: Annotated[int, typer.Option(help="Checks without a gain before the training stops.")] = 3,
    seed: Seed = 0,
    sheet: SheetName = None,
    format: TableFormat = None,  # noqa: A002 - the option has this name
    no_cache: NoCache = False,
) -> None:
    """Fine-tune an encoder for these labels; it is kept only if it predicts held-out labels better than before.

    The folder works like any saved classifier: rung classify OTHER.csv --classifier FOLDER. If a run was stopped, the same
    command resumes it.
    """
    from rung.cli import display
    from rung.cli.classifier_options import build_classifier
    from rung.cli.fitting import sample_texts
    from rung.cli.known_labels import KnownLabels
    from rung.cli.option_rules import check_options
    from rung.cli.stopping import resumable
    from rung.estimator.persistence import check_free
    from rung.tables import open_table
    from rung.training.tuning.tune import tune as make

    check_options(context)
    check_free(out, force=False)
    clf = build_classifier(labels, classifier, backbone, {"cache": not no_cache}, command="tune")
    with open_table(source, text=text, format=format, sheet=sheet) as table:
        texts, y = sample_texts(table, KnownLabels(known, table, clf), size=_MAX_UNLABELLED)
    settings: dict[str, Any] = {
        "steps": steps,
        "batch": batch,
        "accumulate": accumulate,
        "learning_rate": learning_rate,
        "weight_decay": weight_decay,
        "dropout": dropout,
        "token_dropout": token_dropout,
        "rare_words": rare_words,
        "class_weights": class_weights,
        "precision": precision,
        "checkpointing": checkpointing,
        "validation": validation,
        "patience": patience,
        "seed": seed,
    }
    with resumable(out.absolute().parent / f".{out.name}.tuning"), display.training(tr("tuning")) as progress:
        tuned = make(clf, texts, y, way=way, out=out, teach=teach, guard=not no_guard, progress=progress, **settings)
    for line in _summary(tuned, out):
        display.say(line)


def _summary(tuned: Classifier, out: Path) -> list[str]:
    """What was kept and why, and what to type next."""
    return [
        tr("rung {rung}; {guard}", rung=tuned.rung_, guard=tuned.guard_),
        tr("written to {out} (record.json: how it was made; curves.svg: its learning curves)", out=out),
        tr("next: rung classify OTHER.csv --classifier {folder}", folder=out),
    ]
