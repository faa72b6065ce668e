"""`rung pretrain`: a language model that has read a person's own texts, or a small one made of nothing but them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from rung.messages import tr

if TYPE_CHECKING:
    from rung.training.provenance import Record


def pretrain(
    context: typer.Context,
    source: Annotated[str, typer.Argument(metavar="IN", help="The texts to read; no labels are needed.")],
    out: Annotated[Path, typer.Option(help="The folder for the model; a run that was stopped goes on from it.")],
    start: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="A causal or masked model to go on with; without it, a new small one."),
    ] = None,
    kind: Annotated[
        Literal["causal", "masked", "masked+next"] | None,
        typer.Option(help="The next token; hidden words; or these and whether a sentence follows another."),
    ] = None,
    text: Annotated[str | None, typer.Option(metavar="COLUMN", help="The column that holds the texts.")] = None,
    join: Annotated[
        bool, typer.Option("--join", help="Rows are lines of one passage, until a blank one (a .txt of prose).")
    ] = False,
    epochs: Annotated[int, typer.Option(help="Times that the texts are read.")] = 5,
    batch: Annotated[int, typer.Option(help="Rows of one pass.")] = 16,
    accumulate: Annotated[int, typer.Option(help="Passes before the weights move.")] = 1,
    learning_rate: Annotated[
        float | None, typer.Option(help="The largest; 2e-3 for a new model, 5e-5 for one to go on with.")
    ] = None,
    max_tokens: Annotated[int, typer.Option(help="Tokens that are read at once.")] = 128,
    held_out: Annotated[float, typer.Option(help="Share of the texts to measure on, never to learn from.")] = 0.1,
    vocabulary: Annotated[int, typer.Option(help="Of a new model: tokens.")] = 2048,
    dimensions: Annotated[int, typer.Option(help="Of a new model: numbers that stand for a token.")] = 128,
    layers: Annotated[int, typer.Option(help="Of a new model.")] = 4,
    heads: Annotated[int, typer.Option(help="Of a new model, in each layer.")] = 4,
    precision: Annotated[
        Literal["float32", "bf16", "fp16"], typer.Option(help="The last two are mixed with float32.")
    ] = "float32",
    checkpointing: Annotated[bool, typer.Option("--checkpointing", help="Less memory, a third more time.")] = False,
    seed: Annotated[int, typer.Option(help="Of first weights, order, masks and what is held out.")] = 0,
    sheet: Annotated[
        str | None, typer.Option(metavar="NAME", help="The sheet of a workbook (.xlsx) that has several.")
    ] = None,
    format: Annotated[  # noqa: A002 - the flag is called so
        str | None, typer.Option(help="csv, tsv, txt, jsonl, parquet or xlsx, where the name of IN does not say so.")
    ] = None,
) -> None:
    """Learn to write, or to fill gaps, from texts without labels.

    FOLDER is a backbone like any other: rung.load("FOLDER") in Python. It also gets log.jsonl, curves.svg and record.json.
    On several GPUs: accelerate launch -m rung pretrain IN --out FOLDER
    """
    from rung.cli import display
    from rung.cli.option_rules import check_options
    from rung.cli.stopping import resumable
    from rung.tables import open_table
    from rung.training.pretraining.from_scratch import Size
    from rung.training.pretraining.pretrain import pretrain as make
    from rung.training.provenance import Record
    from rung.training.trainer_setup import is_main_process

    check_options(context)
    with open_table(source, text=text, format=format, sheet=sheet) as table:
        texts = table.column(table.text_column)
    with resumable(out), display.training(tr("reading")) as told:
        make(
            texts,
            out=out,
            start=start,
            kind=kind,
            join=join,
            max_tokens=max_tokens,
            held_out=held_out,
            size=Size(vocabulary, dimensions, layers, heads),
            progress=told,
            epochs=epochs,
            batch=batch,
            accumulate=accumulate,
            learning_rate=learning_rate,
            precision=precision,
            checkpointing=checkpointing,
            seed=seed,
        )
    if is_main_process():
        for line in _closing(Record.read(out), out):
            display.say(line)


def _closing(record: Record, out: Path) -> list[str]:
    """What was made, what it knows of held-out texts before and after, and what to type next."""
    results = record.results
    first, last = results["epochs"][0], results["epochs"][-1]
    lines = [
        tr(
            "{kind} model of {weights:,} weights, {texts:,} texts read {epochs} times",
            kind=record.settings["kind"],
            weights=results["weights"],
            texts=record.inputs["texts"]["rows"],
            epochs=record.settings["epochs"],
        ),
        tr(
            "perplexity of {texts:,} held-out texts: {before} before, {after} after",
            texts=record.inputs["held-out texts"]["rows"],
            before=_perplexity(first),
            after=_perplexity(last),
        ),
    ]
    if "next_sentence_accuracy" in last:
        low, high = last["next_sentence_interval"]
        share = last["next_sentence_accuracy"]
        lines.append(
            tr("next sentence told right: {share:.1%} [{low:.1%}, {high:.1%}]", share=share, low=low, high=high)
        )
    return [
        *lines,
        tr("written to {places}", places=out),
        tr('next: rung.load("{out}") in Python; {out}/curves.svg shows how it learned', out=out),
    ]


def _perplexity(line: dict[str, Any]) -> str:
    return f"{line['perplexity']:,.1f} [{line['perplexity_low']:,.1f}, {line['perplexity_high']:,.1f}]"
