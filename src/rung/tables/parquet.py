"""Read Parquet: columns keep their Arrow types; only columns of strings can hold the texts."""

from __future__ import annotations

import math
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from rung.errors import UserError
from rung.messages import Localized, tr
from rung.tables.chunk import Chunk, dumps
from rung.tables.column import check_unique_names, looks_like_text
from rung.tables.reader import Reader
from rung.text_encoding import cannot_read

_BATCH_ROWS = 1 << 14


@dataclass
class Batch(Chunk):
    """Rows as an Arrow record batch."""

    columns: list[str]
    text_column: str
    batch: Any

    def __len__(self) -> int:
        return int(self.batch.num_rows)

    def column(self, name: str) -> list[str | None]:
        """One column's values as strings: numbers and times as Arrow writes them, lists and structs as JSON."""
        return [_cell(value) for value in _values(self.batch.column(self.columns.index(name)))]

    def objects(self) -> list[str]:
        """Each row as a JSON object; times and decimals are strings, not-a-number is null."""
        columns = [[_finite(value) for value in _values(array)] for array in self.batch.columns]
        return [dumps(dict(zip(self.columns, row, strict=True))) for row in zip(*columns, strict=True)]

    def arrays(self) -> list[Any]:
        """The columns themselves."""
        return list(self.batch.columns)


class ParquetFile(Reader):
    """A Parquet file, read batch by batch."""

    def scan(self) -> None:
        """Check every page, and learn the columns, their types, and which of them could hold texts."""
        with self._open() as file:
            self._schema = file.schema_arrow
            self.columns = list(self._schema.names)
            check_unique_names(self.source.name, enumerate(self.columns, 1))
            self._strings = [field.name for field in self._schema if _is_text(field.type)]
            if not self._strings:
                raise UserError(
                    "{name} has no column of text ({types}).",
                    "Write the texts as strings.",
                    name=self.source.name,
                    types=self._types(),
                )
            text_candidates: set[str] = set()
            for batch in file.iter_batches(_BATCH_ROWS):
                batch.validate(full=True)  # strings that are not UTF-8 would fail later, in the middle of the output
                self.rows += batch.num_rows
                text_candidates |= {
                    name for name in self._strings if name not in text_candidates and _has_text(batch.column(name))
                }
        if not self.rows:
            raise UserError(
                "{name} has columns but no rows.", "Check the program that wrote it.", name=self.source.name
            )
        self.text_candidates = [name for name in self._strings if name in text_candidates] or self._strings

    def chunks(self, text_column: str, size: int) -> Iterator[Chunk]:
        """The rows, `size` at a time."""
        with self._open() as file:
            for batch in file.iter_batches(size):
                yield Batch(self.columns, text_column, batch)

    def schema(self) -> Any:
        """The file's own Arrow schema."""
        return self._schema

    def check_text(self, text_column: str) -> None:
        """Raise UserError if this is not a column of strings."""
        if text_column not in self._strings:
            raise UserError(
                "{name}: column '{column}' is no text ({types}).",
                Localized(tr("  or  ").join(f"--text {shlex.quote(name)}" for name in self._strings[:3])),
                name=self.source.name,
                column=text_column,
                types=self._types(),
            )

    def _types(self) -> str:
        return ", ".join(f"{field.name}: {field.type}" for field in self._schema)

    @contextmanager
    def _open(self) -> Iterator[Any]:
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            with pq.ParquetFile(self.source.path) as file:
                yield file
        except (pa.ArrowException, OSError) as error:
            if isinstance(error, OSError) and error.errno:  # the file system's own error: the bytes are not to blame
                raise cannot_read(self.source.name, error) from None
            fault = str(error).splitlines()[0].rstrip(".")
            raise UserError(
                "{name}: broken Parquet: {fault}.",
                "Write the file again, or use CSV.",
                name=self.source.name,
                fault=fault,
            ) from None


def _is_text(kind: Any) -> bool:
    import pyarrow as pa

    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    return str(kind) in {"string", "large_string", "string_view"}


def _has_text(array: Any) -> bool:
    return any(looks_like_text(value) for value in array.to_pylist() if value is not None)


def _values(array: Any) -> list[Any]:
    """The values of an array: types that JSON has stay as they are, others (times, decimals, bytes) become strings."""
    import pyarrow as pa

    kind = array.type
    plain = (
        pa.types.is_integer,
        pa.types.is_floating,
        pa.types.is_boolean,
        pa.types.is_null,
        pa.types.is_nested,
        _is_text,
    )
    if any(test(kind) for test in plain):
        return list(array.to_pylist())
    try:
        return list(array.cast(pa.string()).to_pylist())
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):  # bytes that are no text, types without a written form
        values = array.to_pylist()
        return [value.hex() if isinstance(value, bytes) else None if value is None else str(value) for value in values]


def _cell(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return repr(value) if isinstance(value, float) else dumps(value)


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value
