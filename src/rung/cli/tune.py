"""`rung tune`: let an encoder learn from labelled texts, where held-out labels say that it pays."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from rung.messages import tr

if TYPE_CHECKING:
    from rung.estimator.classifier import Classifier

_MOST = 20_000  # unlabelled texts beside the labelled ones


def tune(
    context: typer.Context,
    source: Annotated[str, typer.Argument(metavar="IN", help="Texts, some of them with a label.")],
    out: Annotated[Path, typer.Option(help="The folder for the tuned classifier.")],
    known: Annotated[
        list[str],
        typer.Option(metavar="COLUMN|FILE", help="Labels that are known: a column of IN, or a file. Repeat it."),
    ],
    labels: Annotated[str | None, typer.Option(help="The labels, as for classify; else those of --classifier.")] = None,
    classifier: Annotated[
        Path | None, typer.Option(help="A saved classifier whose labels and model to start from.")
    ] = None,
    text: Annotated[str | None, typer.Option(metavar="COLUMN", help="The column that holds the texts.")] = None,
    backbone: Annotated[str, typer.Option(metavar="NAME", help="The sentence encoder to start from.")] = "minilm",
    way: Annotated[
        Literal["probe", "contrastive", "lora", "full"],
        typer.Option(
            help="Only a head; texts of a label move together; small matrices beside the weights; all weights."
        ),
    ] = "contrastive",
    teach: Annotated[
        bool, typer.Option("--teach", help="Learn from the unlabelled texts too, by the frozen answers.")
    ] = False,
    no_guard: Annotated[
        bool, typer.Option("--no-guard", help="Keep the new weights whatever held-out labels say.")
    ] = False,
    steps: Annotated[
        int | None, typer.Option(help="Updates of the weights; else 16 passes over the labelled texts.")
    ] = None,
    batch: Annotated[int, typer.Option(help="Texts in a step.")] = 16,
    accumulate: Annotated[int, typer.Option(help="Batches that one update sums up.")] = 1,
    learning_rate: Annotated[float | None, typer.Option(help="At its top.")] = None,
    weight_decay: Annotated[float, typer.Option(help="Of the weights.")] = 0.01,
    dropout: Annotated[float | None, typer.Option(help="Inside the encoder; else as the model has it.")] = None,
    token_dropout: Annotated[float, typer.Option(help="Share of words left out at each drawing of a text.")] = 0.0,
    rare_words: Annotated[
        float, typer.Option(help="Share of words of one text only that are hidden at each drawing.")
    ] = 0.0,
    class_weights: Annotated[Literal["none", "balanced"], typer.Option(help="For lora and full.")] = "none",
    precision: Annotated[Literal["float32", "bf16", "fp16"], typer.Option(help="What is computed in.")] = "float32",
    checkpointing: Annotated[bool, typer.Option("--checkpointing", help="Less memory, more time.")] = False,
    validation: Annotated[float, typer.Option(help="Share of labelled texts kept apart to stop early by.")] = 0.0,
    patience: Annotated[int, typer.Option(help="Looks without a gain before it stops.")] = 3,
    seed: Annotated[int, typer.Option(help="For everything that is drawn.")] = 0,
    sheet: Annotated[
        str | None, typer.Option(metavar="NAME", help="The sheet of a workbook (.xlsx) that has several.")
    ] = None,
    format: Annotated[str | None, typer.Option(help="csv, tsv, txt, jsonl, parquet or xlsx.")] = None,  # noqa: A002
    no_cache: Annotated[bool, typer.Option("--no-cache", help="Keep no embeddings on disk.")] = False,
) -> None:
    """Make an encoder of its own for these labels; kept only where labels held out are answered better than without.

    The folder is used like any saved classifier: rung classify OTHER.csv --classifier FOLDER. A run that was stopped goes on when
    the same command is given again.
    """
    from rung.cli import display
    from rung.cli.classify import chosen_classifier, sampled
    from rung.cli.known_labels import Known
    from rung.cli.option_rules import check_options
    from rung.cli.stopping import resumable
    from rung.estimator.persistence import check_free
    from rung.tables import open_table
    from rung.training.tuning.tune import tune as make

    check_options(context)
    check_free(out, force=False)
    begun = chosen_classifier(labels, classifier, backbone, {"cache": not no_cache}, command="tune")
    with open_table(source, text=text, format=format, sheet=sheet) as table:
        texts, given = sampled(table, Known(known, table, begun), size=_MOST)
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
    with resumable(out.absolute().parent / f".{out.name}.tuning"), display.training(tr("tuning")) as told:
        made = make(begun, texts, given, way=way, out=out, teach=teach, guard=not no_guard, progress=told, **settings)
    for line in _closing(made, out):
        display.say(line)


def _closing(made: Classifier, out: Path) -> list[str]:
    """What was made, why, and what to type next."""
    return [
        tr("rung {rung}; {guard}", rung=made.rung_, guard=made.guard_),
        tr("written to {out} (record.json: how it was made; curves.svg: how it went)", out=out),
        tr("next: rung classify OTHER.csv --classifier {folder}", folder=out),
    ]
