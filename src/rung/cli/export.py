"""`rung export`: write a classifier that runs without rung, an encoder as a graph, a student as arrays for NumPy."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from rung.cli.options import Seed, TextColumn
from rung.messages import tr

if TYPE_CHECKING:
    from rung.training.provenance import Record

_MAX_TEXTS = 4000  # for calibration and for the check


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
        typer.Option(help="What runs it: by default numpy for n-gram and static students, and onnx for encoders."),
    ] = None,
    precision: Annotated[
        Literal["float32", "int8"],
        typer.Option(help="The precision of a graph: int8 is smaller and, on many processors, faster."),
    ] = "float32",
    texts: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="Your own texts, without labels: half of them calibrate int8, half of them check the export.",
        ),
    ] = None,
    text: TextColumn = None,
    most_flips: Annotated[
        float, typer.Option(help="The share of labels that may change; if more change, nothing is written.")
    ] = 0.02,
    seed: Seed = 0,
) -> None:
    """Write a classifier as a folder that runs without rung; its files are checked before they are kept.

    An encoder becomes one ONNX or OpenVINO graph; an n-gram or static student becomes arrays and a predict.py for NumPy.
    """
    from rung.cli import display
    from rung.cli.fitting import sample_texts
    from rung.cli.known_labels import KnownLabels
    from rung.cli.option_rules import check_options
    from rung.estimator.classifier import Classifier
    from rung.tables import open_table
    from rung.training.exporting.export import export as make

    check_options(context)
    clf = Classifier.load(classifier)
    own_texts: list[str] | None = None
    if texts is not None:
        with open_table(texts, text=text) as table:
            own_texts, _ = sample_texts(table, KnownLabels((), table, clf), size=_MAX_TEXTS)
    record = make(clf, out, to=to, precision=precision, texts=own_texts, most_flips=most_flips, seed=seed)
    for line in _summary(record, out):
        display.say(line)


def _summary(record: Record, out: Path) -> list[str]:
    """How often the export agrees with the classifier, how its decision was made, and what to type next."""
    settings, results = record.settings, record.results
    kept, (low, high) = results["labels_kept"]["share"], results["labels_kept"]["interval"]
    return [
        tr(
            "{to} {precision}: {kept:.1%} [{low:.1%}, {high:.1%}] of {texts} held-out texts have the same label",
            to=settings["to"],
            precision=settings["precision"],
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
        if settings["to"] == "numpy"
        else tr("next: {out}/README.md has ten lines of code that run it without rung", out=out),
    ]
