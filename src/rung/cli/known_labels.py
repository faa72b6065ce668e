"""Labels that a person knows already: a column of the table, or another file with texts and labels."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from rung.errors import UserError

if TYPE_CHECKING:
    from rung.tables import Chunk, Table

LABEL = "label"


class Known:
    """What is known of the texts of a table: by column, row for row; by file, text for text, also of texts elsewhere."""

    def __init__(self, source: str | None, table: Table) -> None:
        self.column: str | None = None
        self.by_text: dict[str, str] = {}
        if source is None:
            return
        if source in table.columns:
            self.column = source
        elif Path(source).exists():
            self.by_text = dict(_of_file(source))
        else:
            columns = ", ".join(table.columns)
            raise UserError(
                "--known: there is neither a column nor a file {source!r} (columns: {columns}).",
                "Name a column of IN that holds labels, or a file with the columns text and label.",
                source=source,
                columns=columns,
            )

    def elsewhere(self, met: set[str]) -> list[tuple[str, str]]:
        """Text and label of what is known of other texts than those that were `met` in the table."""
        return [(text, label) for text, label in self.by_text.items() if text not in met]

    def of(self, chunk: Chunk) -> list[str | None]:
        """The known label of each row, or None."""
        if self.column is not None:
            return [(value or "").strip() or None for value in chunk.column(self.column)]
        return [self.by_text.get(text) if text is not None else None for text in chunk.texts]


def _of_file(source: str) -> Iterator[tuple[str, str]]:
    """Text and label of every row that has both."""
    from rung.tables import open_table

    with open_table(source, text="text" if _has_text(source) else None) as table:
        if LABEL not in table.columns:
            raise UserError(
                "--known {source}: there is no column '{LABEL}' (columns: {columns}).",
                "Name the column of labels  label  and that of texts  text",
                source=source,
                LABEL=LABEL,
                columns=", ".join(table.columns),
            )
        for chunk in table.chunks():
            for text, label in zip(chunk.texts, chunk.column(LABEL), strict=True):
                if text and text.strip() and label and label.strip():
                    yield text, label.strip()


def _has_text(source: str) -> bool:
    """Whether the file has a column that is called text; a file of labels may hold other columns of words."""
    from rung.tables import open_table

    try:
        with open_table(source, text="text"):
            return True
    except UserError:
        return False
