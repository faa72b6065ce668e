"""Options that several commands have, each with its name and help in one place."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

TextColumn = Annotated[str | None, typer.Option(metavar="COLUMN", help="The column that holds the texts.")]
BackboneName = Annotated[
    str, typer.Option(metavar="NAME", help="The model: a name from `rung models`, hf:owner/name, or a folder.")
]
GeometryName = Annotated[
    str | None, typer.Option(metavar="NAME", help="A second model, whose embeddings place the texts.")
]
ClassifierFolder = Annotated[
    Path | None, typer.Option(metavar="FOLDER", help="Apply a saved classifier instead of --labels.")
]
LabelsOfClassifier = Annotated[
    str | None, typer.Option(help="The labels, as for classify; without them, those of --classifier.")
]
_KNOWN = typer.Option(
    metavar="COLUMN|FILE",
    help="Known labels: a column of IN, or a file with the columns text and label. Can be given several times.",
)
KnownSources = Annotated[list[str] | None, _KNOWN]
RequiredKnownSources = Annotated[list[str], _KNOWN]
MultiLabel = Annotated[bool, typer.Option("--multi-label", help="A text may have several labels, or none.")]
SheetName = Annotated[
    str | None, typer.Option(metavar="NAME", help="The sheet to read from a workbook (.xlsx) that has several.")
]
TableFormat = Annotated[
    str | None,
    typer.Option(help="The format of IN, if its name does not tell it: csv, tsv, txt, jsonl, parquet or xlsx."),
]
Force = Annotated[bool, typer.Option("--force", help="Overwrite existing output.")]
NoCache = Annotated[bool, typer.Option("--no-cache", help="Do not keep embeddings on disk.")]
Seed = Annotated[int, typer.Option(help="The seed of all random choices.")]
