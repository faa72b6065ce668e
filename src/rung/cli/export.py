"""`rung export`: a classifier as one graph that runs without rung."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer


def export(
    context: typer.Context,
    classifier: Annotated[Path, typer.Argument(metavar="FOLDER", help="A saved classifier on a sentence encoder.")],
    out: Annotated[Path, typer.Option(help="The folder for the graph.")],
    to: Annotated[Literal["onnx", "openvino"], typer.Option(help="What runs it.")] = "onnx",
    precision: Annotated[
        Literal["float32", "int8"], typer.Option(help="int8 is smaller and, on many processors, faster.")
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
    """Write encoder and decision as one graph, tokens in, log-probabilities out; checked from its file before it is kept."""
    from rung.cli import display
    from rung.cli.classify import sampled
    from rung.cli.known_labels import Known
    from rung.cli.option_rules import check_options
    from rung.estimator.classifier import Classifier
    from rung.messages import tr
    from rung.tables import open_table
    from rung.training.exporting.export import export as make

    check_options(context)
    clf = Classifier.load(classifier)
    given: list[str] | None = None
    if texts is not None:
        with open_table(texts, text=text) as table:
            given, _ = sampled(table, Known((), table, clf), size=4000)
    results = make(clf, out, to=to, precision=precision, texts=given, most_flips=most_flips, seed=seed).results
    kept, (low, high) = results["labels_kept"]["share"], results["labels_kept"]["interval"]
    for line in (
        tr(
            "{to} {precision}: {kept:.1%} [{low:.1%}, {high:.1%}] of {texts} texts kept apart have the same label",
            to=to,
            precision=precision,
            kept=kept,
            low=low,
            high=high,
            texts=results["texts"],
        ),
        tr(
            "decision: {decision}; mean cosine of embeddings {cosine}",
            decision=results["decision"],
            cosine=results["cosine"]["mean"],
        ),
        tr("written to {places}", places=out),
        tr("next: {out}/README.md has ten lines that run it without rung", out=out),
    ):
        display.say(line)
