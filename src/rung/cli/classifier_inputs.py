"""What a classifier is asked about: the cells of a table themselves, or the images whose names they are."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rung.estimator.classifier import Classifier
    from rung.tables import Chunk, Table


def of_images(classifier: Classifier) -> bool:
    """Whether the cells name images."""
    from rung.evidence import reads_images

    return reads_images(classifier.loaded_backbone)


def about(cells: Sequence[str | None], table: Table, classifier: Classifier) -> Sequence[Any]:
    """Texts as they are; names of images as paths, relative to the table's folder, None where a cell is empty."""
    if not of_images(classifier):
        return cells
    return [table.folder / cell.strip() if cell and cell.strip() else None for cell in cells]


def faults(chunk: Chunk, classifier: Classifier) -> list[str | None]:
    """Why a cell cannot be answered, by the kind of its value; of an image the answer itself says so."""
    return [None] * len(chunk) if of_images(classifier) else chunk.reasons


def of_input(table: Table, classifier: Classifier) -> str:
    """A hash of what is asked: of the bytes of the table or sheet, and of each image's name, size and time of change."""
    from rung.runs.resume import file_hash, value_hash

    own = [] if table.path.is_dir() else [file_hash(table.content)]
    if not of_images(classifier):
        return own[0]
    named = (path for chunk in table.chunks() for path in about(chunk.texts, table, classifier) if path)
    return value_hash([own, [(str(path), os.path.exists(path) and _changed(path)) for path in named]])


def _changed(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_size, found.st_mtime_ns
