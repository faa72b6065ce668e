"""A folder of images as a table: one row per file."""

from __future__ import annotations

from collections.abc import Iterator

from rung.errors import UserError
from rung.evidence.images import SUFFIXES
from rung.tables.chunk import Cells, Chunk
from rung.tables.reader import Reader


class ImageFolder(Reader):
    """The images in a folder and in those under it, by name, in one column: `file`, relative to the folder."""

    def scan(self) -> None:
        """Find the files with an ending of images. Raises UserError if there are none."""
        self.columns = self.text_candidates = ["file"]
        found = (path for path in self.source.path.rglob("*") if path.name.lower().endswith(SUFFIXES))
        self._files = sorted(path.relative_to(self.source.path).as_posix() for path in found if path.is_file())
        self.rows = len(self._files)
        if not self.rows:
            raise UserError(
                "{name}: no images in this folder.",
                "Image files end in {endings} …",
                name=self.source.name,
                endings=" ".join(SUFFIXES[:9]),
            )

    def chunks(self, text_column: str, size: int) -> Iterator[Chunk]:
        """The file names, `size` at a time."""
        for start in range(0, self.rows, size):
            yield Cells(self.columns, text_column, [[name] for name in self._files[start : start + size]])
