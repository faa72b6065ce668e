"""Read JSON Lines: one object per line, whose keys may differ from row to row."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from rung.errors import UserError
from rung.evidence.text_faults import fault
from rung.messages import message, tr
from rung.tables.chunk import Chunk, dumps
from rung.tables.column import looks_like_text
from rung.tables.dialect import Dialect
from rung.tables.reader import Reader

_SPACE = " \t\r\n"  # the whitespace of JSON; str.strip() would remove more
_SURROGATE = re.compile(
    r"\\\\|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(\\u[dD][89a-fA-F][0-9a-fA-F]{2})"
)


class Number(str):
    """A number as it was written: 1.0 is not 1, and no digit is lost."""

    __slots__ = ()


_decode = json.JSONDecoder(parse_int=Number, parse_float=Number, parse_constant=Number).decode
_KINDS = {
    bool: message("true or false"),
    Number: message("a number"),
    list: message("a list"),
    dict: message("an object"),
}


@dataclass
class Objects(Chunk):
    """Rows as JSON objects: their original `lines` and their parsed `values`."""

    columns: list[str]
    text_column: str
    lines: list[str]
    values: list[dict[str, Any]]

    def __len__(self) -> int:
        return len(self.lines)

    def column(self, name: str) -> list[str | None]:
        """One key's values: strings and numbers as written, the rest as JSON, None where it is null or missing."""
        return [_cell(row.get(name)) for row in self.values]

    def objects(self) -> list[str]:
        """The lines themselves, unchanged."""
        return self.lines

    @property
    def texts(self) -> list[str | None]:
        """The texts, None where a row has no such key or where its value is not a string."""
        values = [row.get(self.text_column) for row in self.values]
        return [value if type(value) is str else None for value in values]

    @property
    def reasons(self) -> list[str | None]:
        """Why a row's text cannot be answered, None where it can."""
        return [_reason(row.get(self.text_column)) for row in self.values]


class JsonLines(Reader):
    """A file with a JSON object in every line that is not blank. The columns are all keys, in order of appearance."""

    def scan(self) -> None:
        """Check every line, and learn the keys and which of them could hold texts."""
        columns: dict[str, bool] = {}
        for _, row in self._rows():
            self.rows += 1
            for key, value in row.items():
                if not columns.get(key):
                    columns[key] = type(value) is str and looks_like_text(value)
        if not self.rows:
            raise self.source.empty()
        self.dialect = Dialect(line_end=self.source.first_line_end(), byte_order_mark=self.source.byte_order_mark())
        self.columns = list(columns)
        self.text_candidates = [key for key, text_candidates in columns.items() if text_candidates]

    def chunks(self, text_column: str, size: int) -> Iterator[Chunk]:
        """The rows, `size` at a time."""
        rows = self._rows()
        while batch := list(islice(rows, size)):
            lines, values = zip(*batch, strict=True)
            yield Objects(self.columns, text_column, list(lines), list(values))

    def _rows(self) -> Iterator[tuple[str, dict[str, Any]]]:
        try:
            with self.source.text() as lines:
                for number, line in enumerate(lines, 1):
                    if bare := line.strip(_SPACE):
                        self._line = number
                        yield bare, self._parse(number, line)
        except UnicodeDecodeError:
            raise self.source.not_utf8() from None

    def _parse(self, number: int, line: str) -> dict[str, Any]:
        if "\\ud" in line or "\\uD" in line:  # an unpaired surrogate is no character: tokenizers and files refuse it
            line = _SURROGATE.sub(lambda found: r"\ufffd" if found[1] else found[0], line)
        try:
            value = _decode(line)
        except json.JSONDecodeError as error:
            raise self._broken_file(
                number,
                tr("line {number}, column {column}: {fault}", number=number, column=error.colno, fault=error.msg),
                line,
            ) from None
        except RecursionError:
            raise self._broken_file(number, tr("line {number}: nested too deeply", number=number), line) from None
        if not isinstance(value, dict):
            kind = _KINDS.get(type(value), message("a string") if isinstance(value, str) else message("null"))
            raise self._broken_file(
                number, tr("line {number} is {kind}, not an object", number=number, kind=tr(kind)), line
            )
        return value

    def _broken_file(self, number: int, what: str, line: str) -> UserError:
        file = self.source.name
        hint = tr(
            'Every line must be one object:  {{"text": "…"}}   Look at it:  sed -n {number}p {file}',
            number=number,
            file=file,
        )
        if number == 1 and line.lstrip(_SPACE)[:1] in ("[", "{"):
            each = ".[]" if line.lstrip(_SPACE)[0] == "[" else "."
            hint = tr(
                "If it is one JSON document, put one object on each line:  jq -c '{each}' {file} > lines.jsonl",
                each=each,
                file=file,
            )
        return UserError("{file}: broken JSON: {fault}.", hint, file=file, fault=what)


def _cell(value: Any) -> str | None:
    return value if value is None or isinstance(value, str) else _json(value)


def _json(value: Any) -> str:
    """The JSON text of a value, with numbers as they were written."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{dumps(key)}: {_json(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_json, value)) + "]"
    return str(value) if isinstance(value, Number) else dumps(value)


def _reason(value: Any) -> str | None:
    if value is None or type(value) is str:
        return fault(value)
    return tr("the text is {kind}, not a string", kind=tr(_KINDS[type(value)]))
