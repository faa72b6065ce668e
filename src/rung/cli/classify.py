"""`rung classify`: a file of texts in, the same file with labels out."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from rung.errors import UserError

if TYPE_CHECKING:
    from rung.classifier import Answer, Classifier
    from rung.evidence import Long

_AT_ONCE = 4096  # rows in memory at a time


def classify(
    source: Annotated[
        str, typer.Argument(metavar="IN", help=".csv .tsv .txt .jsonl .parquet, each also .gz, or - for standard input")
    ],
    labels: Annotated[
        str | None, typer.Option(help="a,b,c, or a file (.txt .csv .yaml .json), or a ready-made set")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Where the answers go; else standard output.")] = None,
    text: Annotated[str | None, typer.Option(metavar="COLUMN", help="The column that holds the texts.")] = None,
    backbone: Annotated[str, typer.Option(help="A name of `rung models`, hf:owner/name, or a folder.")] = "auto",
    classifier: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Apply a saved classifier instead of --labels.")
    ] = None,
    save: Annotated[Path | None, typer.Option(metavar="FOLDER", help="Keep the classifier for other files.")] = None,
    prefix: Annotated[str, typer.Option(help="Put before the names of the added columns.")] = "",
    long: Annotated[
        Literal["cut", "mean"],
        typer.Option(help="Texts beyond the model's maximum length: cut, or mean over their pieces."),
    ] = "cut",
    format: Annotated[str | None, typer.Option(help="How to read IN where its name does not say.")] = None,  # noqa: A002
    force: Annotated[bool, typer.Option("--force", help="Replace what is there already.")] = False,
    no_cache: Annotated[bool, typer.Option("--no-cache", help="Keep no embeddings on disk.")] = False,
) -> None:
    """Label every text of a file, with a probability, offline.

    OUT keeps the columns of IN and adds label, probability and error.
    """
    from rung.cli import display
    from rung.cli.summary import Tally, closing_lines
    from rung.saving import check_free
    from rung.tables import open_output, open_table

    start = time.perf_counter()
    chosen = _classifier(labels, classifier, backbone, long, cache=not no_cache)
    if save is not None:
        check_free(save, force=force)
    with open_table(source, text=text, format=format) as table:
        tally = Tally()
        with (
            open_output(out, table, prefix=prefix, force=force) as writer,
            display.progress(table.rows, "classifying") as advance,
        ):
            for chunk in table.chunks(_AT_ONCE):
                answers = chosen.answers(chunk.texts, progress=advance)
                tally.add(chunk.texts, answers, chosen)
                writer.write(chunk, _columns(answers, chunk.reasons))
        if save is not None:
            chosen.save(save, force=force)
    places = [str(out or "standard output"), *([f"{save} (the classifier)"] if save else [])]
    for line in closing_lines(
        tally, chosen, seconds=time.perf_counter() - start, places=places, saved=save or classifier
    ):
        display.say(line)


def _classifier(labels: str | None, saved: Path | None, backbone: str, long: Long, *, cache: bool) -> Classifier:
    """The classifier that was asked for, its labels and backbone checked before any file is read."""
    if (labels is None) == (saved is None):
        what = "both --labels and --classifier are given" if saved else "no labels are given"
        raise UserError(f"classify: {what}.", "Give one of  --labels billing,bug  or  --classifier FOLDER")
    from rung.classifier import Classifier

    if saved is not None:
        chosen = Classifier.load(saved, backbone=None if backbone == "auto" else backbone)
        chosen.set_params(cache=cache)
        return chosen
    from rung.labels import read_labels

    chosen = Classifier(read_labels(str(labels)), backbone=backbone, cache=cache, long=long)
    chosen.meaning()
    return chosen


def _columns(answers: list[Answer], reasons: list[str | None]) -> list[list[Any]]:
    """The three added columns: a number that people read has four digits."""
    return [
        [answer.label for answer in answers],
        [None if answer.probability is None else round(answer.probability, 4) for answer in answers],
        [reason or answer.error for reason, answer in zip(reasons, answers, strict=True)],
    ]
