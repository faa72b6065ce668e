"""`rung classify`: a file of texts in, the same file with labels out."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from rung.errors import UserError

if TYPE_CHECKING:
    from rung.classifier import Answer, Classifier
    from rung.evidence import Long
    from rung.tables import Table

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
                writer.write(chunk, _columns(answers))
        if save is not None:
            chosen.save(save, force=force)
        _summarize(tally, chosen, table, out, save, time.perf_counter() - start)


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


def _columns(answers: list[Answer]) -> list[list[Any]]:
    """The three added columns: a number that people read has four digits."""
    return [
        [answer.label for answer in answers],
        [None if answer.probability is None else round(answer.probability, 4) for answer in answers],
        [answer.error for answer in answers],
    ]


@dataclass
class Tally:
    """What the closing summary needs to know, counted chunk by chunk."""

    labels: Counter[str] = field(default_factory=Counter)
    probability: float = 0.0
    errors: int = 0
    cut: int = 0
    sample: list[str] = field(default_factory=list)

    def add(self, texts: list[str | None], answers: list[Answer], classifier: Classifier) -> None:
        """Count one chunk."""
        given = [answer for answer in answers if answer.label is not None]
        self.labels.update(answer.label for answer in given if answer.label is not None)
        self.probability += sum(answer.probability or 0.0 for answer in given)
        self.errors += sum(answer.error is not None for answer in answers)
        readable = [str(text) for text, answer in zip(texts, answers, strict=True) if answer.error is None]
        self.sample += readable[: max(0, 500 - len(self.sample))]
        if classifier.long == "cut":
            self.cut += classifier.loaded_backbone.cut(readable)

    @property
    def answered(self) -> int:
        """Rows that got a label."""
        return self.labels.total()


def _summarize(
    tally: Tally, classifier: Classifier, table: Table, out: Path | None, save: Path | None, seconds: float
) -> None:
    from rung.cli.display import bar, columns, say
    from rung.language import warning

    backbone = classifier.loaded_backbone
    say(
        f"\n{table.rows:,} rows in {seconds:.1f} s · rung {classifier.rung_} · backbone {backbone.name}{_why(classifier)}"
    )
    rows = [
        (name, f"{n:,}", f"{n / tally.answered:.1%}", bar(n / tally.answered))
        for name, n in tally.labels.most_common(20)
    ]
    for line in columns(rows) if rows else []:
        say(line)
    if len(tally.labels) > len(rows):
        say(f"  … and {len(tally.labels) - len(rows)} more labels")
    if tally.answered:
        say(
            f"mean probability {tally.probability / tally.answered:.2f}: what rung expects of itself, not a measured accuracy"
        )
    for line in _remarks(tally, classifier):
        say(line)
    alarm = warning(tally.sample, backbone)
    if alarm is not None:
        say(f"warning: {alarm}")
    say(_written(out, save))
    say(f"next: {_next(classifier, save)}")


def _why(classifier: Classifier) -> str:
    return " (auto: the best installed)" if classifier.backbone == "auto" else ""


def _remarks(tally: Tally, classifier: Classifier) -> list[str]:
    missing = len(classifier.classes_) - len(tally.labels)
    limit = classifier.loaded_backbone.max_tokens
    said = {
        f"{tally.errors:,} rows have no label: see the column error": tally.errors,
        f"{tally.cut:,} texts are longer than {limit} tokens, their end was not read: --long mean reads all": tally.cut,
        f"{missing} of {len(classifier.classes_)} labels were given to no text": missing and tally.answered,
    }
    return [line for line, count in said.items() if count]


def _written(out: Path | None, save: Path | None) -> str:
    places = [str(out) if out is not None else "standard output"] + ([f"{save} (the classifier)"] if save else [])
    return "written to " + " and ".join(places)


def _next(classifier: Classifier, save: Path | None) -> str:
    """The one thing that would help most."""
    if any(not label.description for label in classifier.parsed_labels()):
        return "describe the labels, which often helps:  name: a few words about it,  one a line in a file for --labels"
    if classifier.loaded_backbone.name == "builtin":
        return "pip install 'rung[torch]'  for the backbone minilm: slower, and better where labels are many"
    if save is None:
        return "--save FOLDER  keeps this classifier for other files"
    return f"rung classify OTHER.csv --classifier {save}"
