"""`rung export`: a classifier that runs without rung: an encoder as one graph, a student as arrays and lines of NumPy."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from rung.training.provenance import Record


def export(
    context: typer.Context,
    classifier: Annotated[
        Path,
        typer.Argument(
            metavar="FOLDER",
            help="A saved classifier on a sentence encoder, an n-gram or static student, or the built-in model.",
        ),
    ],
    out: Annotated[Path, typer.Option(help="The new folder.")],
    to: Annotated[
        Literal["onnx", "openvino", "numpy"] | None,
        typer.Option(
            help="What runs it: numpy for n-gram and static students, else onnx unless openvino is asked for."
        ),
    ] = None,
    precision: Annotated[
        Literal["float32", "int8"],
        typer.Option(help="Of a graph: int8 is smaller and, on many processors, faster."),
    ] = "float32",
    texts: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Texts of yours, without labels: half to learn ranges from, half to check."),
    ] = None,
    text: Annotated[str | None, typer.Option(metavar="COLUMN", help="The column that holds the texts.")] = None,
    most_flips: Annotated[
        float, typer.Option(help="The share of labels that may change; beyond it nothing is written.")
    ] = 0.02,
    seed: Annotated[int, typer.Option(help="For the texts that are kept apart.")] = 0,
) -> None:
    """Write a classifier as a folder that runs without rung; checked from its files before it is kept.

    An encoder becomes one ONNX or OpenVINO graph; an n-gram or static student becomes arrays and a predict.py for NumPy.
    """
    from rung.cli import display
    from rung.cli.classify import sampled
    from rung.cli.known_labels import Known
    from rung.cli.option_rules import check_options
    from rung.estimator.classifier import Classifier
    from rung.tables import open_table
    from rung.training.exporting.export import export as make

    check_options(context)
    clf = Classifier.load(classifier)
    given: list[str] | None = None
    if texts is not None:
        with open_table(texts, text=text) as table:
            given, _ = sampled(table, Known((), table, clf), size=4000)
    record = make(clf, out, to=to, precision=precision, texts=given, most_flips=most_flips, seed=seed)
    for line in _closing(record, out):
        display.say(line)


def _closing(record: Record, out: Path) -> list[str]:
    """How far the export agrees with the classifier, what it decides by, and what to type next."""
    from rung.messages import tr

    asked, results = record.settings, record.results
    kept, (low, high) = results["labels_kept"]["share"], results["labels_kept"]["interval"]
    return [
        tr(
            "{to} {precision}: {kept:.1%} [{low:.1%}, {high:.1%}] of {texts} texts kept apart have the same label",
            to=asked["to"],
            precision=asked["precision"],
            kept=kept,
            low=low,
            high=high,
            texts=results["texts"],
        ),
        tr("the decision is exported exactly; mean cosine of embeddings {cosine}", cosine=results["cosine"]["mean"])
        if results["decision"] == "exact"
        else tr(
            "the decision is a linear head fitted to the answers of the rung; mean cosine of embeddings {cosine}",
            cosine=results["cosine"]["mean"],
        ),
        tr("written to {places}", places=out),
        tr('next: python {predict} "a text"', predict=out / "predict.py")
        if asked["to"] == "numpy"
        else tr("next: {out}/README.md has ten lines that run it without rung", out=out),
    ]
