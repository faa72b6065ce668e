"""What a classifier reads of a table: the cells themselves, or the images whose names they are."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rung.estimator.classifier import Classifier
    from rung.tables import Chunk, Table


def reads_images(classifier: Classifier) -> bool:
    """Whether the classifier reads images, so that the cells of a table are names of image files."""
    from rung.evidence import reads_images as backbone_reads_images

    return backbone_reads_images(classifier.loaded_backbone)


def inputs_of(cells: Sequence[str | None], table: Table, classifier: Classifier) -> Sequence[Any]:
    """Texts as they are; names of images as paths, relative to the table's folder, None where a cell is empty."""
    if not reads_images(classifier):
        return cells
    return [table.folder / cell.strip() if cell and cell.strip() else None for cell in cells]


def faults_of(chunk: Chunk, classifier: Classifier) -> list[str | None]:
    """Why a cell cannot be read as a text; for images None, since the answer itself says why."""
    return [None] * len(chunk) if reads_images(classifier) else chunk.reasons


def input_hash(table: Table, classifier: Classifier) -> str:
    """A hash of the input: of the bytes of the table or sheet, and of each image's name, size and time of change."""
    from rung.runs.resume import file_hash, value_hash

    table_hash = [] if table.path.is_dir() else [file_hash(table.content)]
    if not reads_images(classifier):
        return table_hash[0]
    images = (path for chunk in table.chunks() for path in inputs_of(chunk.texts, table, classifier) if path)
    return value_hash([table_hash, [(str(path), os.path.exists(path) and _size_and_time(path)) for path in images]])


def _size_and_time(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_size, found.st_mtime_ns
