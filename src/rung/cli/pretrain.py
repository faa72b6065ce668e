"""`rung pretrain`: train a language model further on a person's own texts, or a small new one on these texts alone."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from rung.cli.options import SheetName, TableFormat, TextColumn
from rung.messages import tr

if TYPE_CHECKING:
    from rung.training.provenance import Record


def pretrain(
    context: typer.Context,
    source: Annotated[str, typer.Argument(metavar="IN", help="The texts to train on; no labels are needed.")],
    out: Annotated[Path, typer.Option(help="The folder for the model; a stopped run resumes from it.")],
    start: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="A causal or masked model to train further; without it, a new small one."),
    ] = None,
    kind: Annotated[
        Literal["causal", "masked", "masked+next"] | None,
        typer.Option(help="Predict the next token; hidden tokens; or these and whether a sentence follows another."),
    ] = None,
    text: TextColumn = None,
    join: Annotated[
        bool, typer.Option("--join", help="Join rows to one passage until a blank row, as in a .txt of prose.")
    ] = False,
    epochs: Annotated[int, typer.Option(help="Passes over the texts.")] = 5,
    batch: Annotated[int, typer.Option(help="Rows in a batch.")] = 16,
    accumulate: Annotated[int, typer.Option(help="Batches whose gradients one update adds up.")] = 1,
    learning_rate: Annotated[
        float | None, typer.Option(help="The peak; by default 2e-3 for a new model, 5e-5 for --start.")
    ] = None,
    max_tokens: Annotated[int, typer.Option(help="Tokens in a row.")] = 128,
    held_out: Annotated[float, typer.Option(help="The share of texts that are only measured on.")] = 0.1,
    vocabulary: Annotated[int, typer.Option(help="The size of a new model's vocabulary, in tokens.")] = 2048,
    dimensions: Annotated[int, typer.Option(help="The hidden size of a new model.")] = 128,
    layers: Annotated[int, typer.Option(help="The layers of a new model.")] = 4,
    heads: Annotated[int, typer.Option(help="The attention heads in each layer of a new model.")] = 4,
    precision: Annotated[
        Literal["float32", "bf16", "fp16"],
        typer.Option(help="The precision of the computation; bf16 and fp16 are mixed with float32."),
    ] = "float32",
    checkpointing: Annotated[
        bool, typer.Option("--checkpointing", help="Recompute activations: less memory, a third more time.")
    ] = False,
    seed: Annotated[int, typer.Option(help="The seed of initial weights, order, masks and held-out texts.")] = 0,
    sheet: SheetName = None,
    format: TableFormat = None,  # noqa: A002 - the option has this name
) -> None:
    """Train a language model on texts without labels.

    The folder of --out is a backbone like any other: rung.load("FOLDER") in Python. It also holds log.jsonl, curves.svg and
    record.json.

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
    with resumable(out), display.training(tr("training")) as progress:
        make(
            texts,
            out=out,
            start=start,
            kind=kind,
            join=join,
            max_tokens=max_tokens,
            held_out=held_out,
            size=Size(vocabulary, dimensions, layers, heads),
            progress=progress,
            epochs=epochs,
            batch=batch,
            accumulate=accumulate,
            learning_rate=learning_rate,
            precision=precision,
            checkpointing=checkpointing,
            seed=seed,
        )
    if is_main_process():
        for line in _summary(Record.read(out), out):
            display.say(line)


def _summary(record: Record, out: Path) -> list[str]:
    """The model, its perplexity on held-out texts before and after the training, and what to type next."""
    results = record.results
    first, last = results["epochs"][0], results["epochs"][-1]
    lines = [
        tr(
            "{kind} model of {weights:,} weights, trained on {texts:,} texts for {epochs} epochs",
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
            tr("next sentence predicted right: {share:.1%} [{low:.1%}, {high:.1%}]", share=share, low=low, high=high)
        )
    return [
        *lines,
        tr("written to {places}", places=out),
        tr('next: rung.load("{out}") in Python; {out}/curves.svg shows how it learned', out=out),
    ]


def _perplexity(line: dict[str, Any]) -> str:
    return f"{line['perplexity']:,.1f} [{line['perplexity_low']:,.1f}, {line['perplexity_high']:,.1f}]"
