"""Classify Parquet on a Ray cluster, which reads and writes the files itself: a folder, a pattern, an object store."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rung.errors import UserError
from rung.messages import tr

if TYPE_CHECKING:
    from rung.estimator.classifier import Classifier


def is_read_by_cluster(source: str) -> bool:
    """Whether the input is not one file here, so that the cluster reads it."""
    return "://" in source or "*" in source or os.path.isdir(source)


def classify_on_ray(
    source: str, out: Path | None, classifier: Classifier, known: Sequence[str] | None, **settings: Any
) -> None:
    """Classify Parquet into the folder `out`; settings are those of `classify_parquet`.

    Raises UserError for labels in `known`, and without a folder.
    """
    from rung.cli import display
    from rung.runs.distributed import classify_parquet

    if known:
        raise UserError(
            "classify --engine ray: --known works with one local file only.",
            "Leave --known out, or read one file:  rung classify messages.parquet --engine ray",
        )
    if out is None:
        raise UserError("classify --engine ray: a folder for the answers is missing.", "Give  --out FOLDER")
    target = str(out)
    if ":/" in target:  # a Path makes s3:/… of s3://…
        target = target.replace(":/", "://", 1)
    try:
        used = classify_parquet(source, target, classifier, **settings)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(
            tr(
                "stopped; {out} may hold a part of the answers.\n  This run cannot be resumed: remove the folder, and start again.",
                out=target,
            )
        ) from None
    display.say(
        tr(
            "rung {rung}, backbone {backbone} · written to {out}",
            rung=used.rung_,
            backbone=used.loaded_backbone.name,
            out=target,
        )
    )
