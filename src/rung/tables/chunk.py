"""Some rows of a table, in whichever of three shapes the output needs: cells, JSON objects, an Arrow batch."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rung.evidence.text_faults import fault

dumps: Callable[[object], str] = json.JSONEncoder(ensure_ascii=False, default=str).encode


class Chunk(ABC):
    """Some rows, in the order of the file. `columns` are the table's, `text_column` the one that holds the texts."""

    columns: list[str]
    text_column: str

    @abstractmethod
    def __len__(self) -> int:
        """How many rows."""

    @abstractmethod
    def column(self, name: str) -> list[str | None]:
        """One column's values as strings, None where there is none (an empty CSV cell is the empty string)."""

    @abstractmethod
    def objects(self) -> list[str]:
        """Each row as a JSON object."""

    @property
    def texts(self) -> list[str | None]:
        """The texts, None where a row has none or where it is not a string."""
        return self.column(self.text_column)

    @property
    def reasons(self) -> list[str | None]:
        """Why a row's text cannot be answered, None where it can."""
        return [fault(text) for text in self.texts]

    def cells(self) -> list[list[str]]:
        """Each row as strings, a missing value as the empty string."""
        columns = [[value or "" for value in self.column(name)] for name in self.columns]
        return [list(row) for row in zip(*columns, strict=True)]

    def arrays(self) -> list[Any]:
        """Each column as an Arrow array of strings, or of its own type where it came from Parquet."""
        import pyarrow as pa

        return [pa.array(self.column(name), pa.string()) for name in self.columns]


@dataclass
class Cells(Chunk):
    """Rows of strings, as CSV and plain text have them."""

    columns: list[str]
    text_column: str
    rows: list[list[str]]

    def __len__(self) -> int:
        return len(self.rows)

    def column(self, name: str) -> list[str | None]:
        """One column's values, exactly as they were written."""
        index = self.columns.index(name)
        return [row[index] for row in self.rows]

    def cells(self) -> list[list[str]]:
        """The rows themselves."""
        return self.rows

    def objects(self) -> list[str]:
        """Each row as a JSON object whose values are strings, so that 007 stays 007."""
        keys = [dumps(column) + ": " for column in self.columns]
        # put together by hand: the encoder is set up anew for every object, but not for a string
        return [
            "{" + ", ".join([key + dumps(value) for key, value in zip(keys, row, strict=True)]) + "}"
            for row in self.rows
        ]
