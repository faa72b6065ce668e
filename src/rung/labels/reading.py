"""Label names as people write them down: a list on the command line, or a .txt, .csv, .yaml or .json file."""

from __future__ import annotations

import csv
import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from difflib import get_close_matches
from importlib import resources
from pathlib import Path
from shlex import quote
from typing import Any

from rung.errors import UserError, did_you_mean
from rung.labels.label import Label, listed_label, parse_label
from rung.labels.label_set import Labels
from rung.labels.label_table import grow_tree, row_details
from rung.messages import tr
from rung.text_encoding import declared_separator, line_number, read_text, split_lines
from rung.workbook import sheet_rows

Found = Iterator[tuple[Label, str]]  # a label, and where it stands

_SEPARATORS = re.compile(r"[,;|，；、｜]")
_COLON = re.compile("[:：]")
_DESCRIBED = re.compile(r":\s|：|:(?=[^\x00-\x7f])")  # "10:30" and "topic:sports" are names
_BRACKETS = ("[]", "{}", "()")  # what Python and JSON write around a list
_OPENING, _CLOSING = "\"'“„”‘«「『＂", '"”“’»」』＂'  # an apostrophe may end a name, and no name begins with one
_QUOTES = _OPENING + _CLOSING
FORMATS = ".txt (one per line,  name: description), .csv or .xlsx (name,description), .yaml, .json"

_WORKBOOKS = (".xlsx", ".xlsm")
_COLUMNS = ("name", "label", "description", "words", "examples", "parent")  # of a table of labels
# YAML ends lines at these characters and editors do not, so private-use characters replace them while YAML reads.
_HIDDEN = {0x85: 0xF0085, 0x2028: 0xF2028, 0x2029: 0xF2029}
_SHOWN = {private: sign for sign, private in _HIDDEN.items()}


def read_labels(spec: str) -> Labels:
    """Labels from a file, from a ready-made set such as `sentiment-en`, or from `a,b,c`.

    Commas, semicolons or bars separate names, also the wide ones of Chinese; a name that holds one is given in a file.
    Raises UserError for a file that cannot be read, and for everything that `Labels.parse` refuses.

    >>> read_labels("billing, bug report").names, read_labels("账单；故障").names
    (['billing', 'bug report'], ['故障', '账单'])
    """
    path = Path(spec)
    if os.path.isfile(path):  # unlike Path.is_file it takes a list of a hundred names for no file, and not for an error
        return _of_file(path)
    if spec in ready_made():
        return _of_file(Path(str(resources.files("rung.labels") / "sets" / f"{spec}.yaml")))
    if os.path.isdir(path):
        raise UserError("labels: {spec} is a folder.", "Name a file: {formats}.", spec=spec, formats=FORMATS)
    if path.suffix.lower() in (*READERS, *_WORKBOOKS) or (
        not _SEPARATORS.search(spec) and ("/" in spec or "\\" in spec)
    ):
        raise UserError(
            "labels: there is no file {spec}.", "Check the path, or list the names:  --labels billing,bug", spec=spec
        )
    return _of_list(spec)


def ready_made() -> list[str]:
    """Names of the label sets that come with the package.

    >>> "sentiment-en" in ready_made()
    True
    """
    folder = resources.files("rung.labels") / "sets"
    return sorted(each.name.removesuffix(".yaml") for each in folder.iterdir() if each.name.endswith(".yaml"))


def _label_files_beside(spec: str) -> list[str]:
    """The files of labels in the folder that `spec` names a file of, written as `spec` is: one of them may be meant."""
    try:
        found = sorted(path for path in Path(spec).parent.iterdir() if path.suffix.lower() in READERS)
    except OSError:
        return []
    return [str(path) for path in found[:1000]]


def _of_list(spec: str) -> Labels:
    names = [name.strip() for name in _SEPARATORS.split(spec)]
    if len(names) == 1:
        others = tr("Write  a,b,c  or a file. Ready-made sets: {sets}.", sets=", ".join(ready_made()))
        raise UserError(
            "labels: {spec!r} is a single name; it is not a list (a,b,c), a file or a ready-made set.",
            did_you_mean(spec, [*ready_made(), *_label_files_beside(spec)], others),
            spec=spec,
        )
    _refuse_quoted(spec, names)
    described = next((name for name in names if _DESCRIBED.search(name)), None)
    if described is not None:
        raise UserError(
            "labels: {name!r} is a name with a description, and a list holds names only.",
            "Write them into a file, one label a line:  --labels labels.txt",
            name=described,
        )
    return Labels.of([parse_label(name, "") for name in names])


def _refuse_quoted(spec: str, names: list[str]) -> None:
    """Signs around a list or a name, as Python, JSON and editors write them, would become a part of names in silence."""
    bracketed = next((pair for pair in _BRACKETS if spec.strip()[:1] == pair[0] and spec.strip()[-1:] == pair[1]), "")
    bare = [name.strip(f" {bracketed}{_QUOTES}") for name in names]
    quoted = any(name[:1] in _OPENING or name[-1:] in _CLOSING for name in names if name)
    if bracketed or quoted:
        raise UserError(
            "labels: {spec} has brackets or quotation marks in it, which would become a part of the names.",
            "Write  --labels {bare}  ; names that hold such signs are given in a file.",
            spec=spec,
            bare=quote(",".join(name for name in bare if name)),
        )


def _of_file(path: Path) -> Labels:
    ending = path.suffix.lower()
    if ending not in READERS and ending not in _WORKBOOKS:
        raise UserError(
            "labels: {path} has an unknown format.",
            "Write them as {formats}.",
            path=path,
            formats=FORMATS,
        )
    found = list(_sheet(path) if ending in _WORKBOOKS else READERS[ending](read_text(path), path.name))
    if not found:
        raise UserError(
            "labels: {path} is empty.", "Write one label per line, as in  billing: invoices and refunds", path=path
        )
    return Labels.of([label for label, _ in found], [place for _, place in found])


def _lines(text: str, file: str) -> Found:
    for number, line in enumerate(split_lines(text), start=1):
        if line.strip():
            if "\t" in line.strip():
                raise UserError(
                    "labels: {file} has tabs, so it is a table (line {number}).",
                    "Rename it to  {table}  with the header  name, description.",
                    file=file,
                    number=number,
                    table=Path(file).with_suffix(".tsv"),
                )
            if re.match(r"\s*[-*•#]+\s", line):
                raise UserError(
                    "labels: {file} has the sign of a list or a comment before a name (line {number}).",
                    "Take the sign out, and lines that are no labels; a name that begins so is given in a .csv.",
                    file=file,
                    number=number,
                )
            name, *description = _COLON.split(line, maxsplit=1)
            yield _at(name, "".join(description), f"line {number}")


def _at(name: Any, value: Any, place: str) -> tuple[Label, str]:
    return _placed(place, parse_label, name, value)


def _placed(place: str, read: Callable[..., Label], *given: Any) -> tuple[Label, str]:
    """The label that `read` finds, with its place, which errors name too."""
    try:
        return read(*given), place
    except UserError as error:
        raise UserError("{fault} ({place}).", error.hint, fault=error.what.rstrip("."), place=place) from None


def _table(text: str, file: str) -> Found:
    lines = split_lines(text)
    declared = declared_separator(lines[0]) if lines else None
    head = next((line for line in lines[declared is not None :] if line.strip()), "")
    if declared:
        lines[0] = "\n"  # so that numbers of lines stay those of the file
    reader = csv.reader(lines, delimiter=declared or max(",;\t", key=head.count), strict=True)
    try:
        return _rows([(f"line {reader.line_num}", row) for row in reader], file)
    except csv.Error as error:
        raise UserError(
            "labels: {file} is not valid CSV ({fault}, line {line}).",
            "Correct that line.",
            file=file,
            fault=error,
            line=reader.line_num,
        ) from None


def _sheet(path: Path) -> Found:
    return _rows(((f"row {number}", row) for number, row in sheet_rows(path, str(path))), path.name)


def _rows(placed: Iterable[tuple[str, list[str]]], file: str) -> Found:
    """The labels of a table, from its rows and where each stands; the first that is not blank is the header."""
    filled = [(place, row) for place, row in placed if any(cell.strip() for cell in row)]
    columns = [cell.strip().lower() for cell in filled[0][1]] if filled else []
    named = next((each for each in ("name", "label") if each in columns), None)
    if filled and named is None:
        raise UserError(
            "labels: {file} has no column 'name' (columns: {columns}).",
            "Make its first line  name,description",
            file=file,
            columns=", ".join(columns),
        )
    _refuse_misspelled(columns, file)
    found = []
    for place, row in filled[1:]:
        _refuse_wide(row, columns, place, file)
        cells = dict(zip(columns, [*row, *[""] * len(columns)], strict=False))
        found.append((*_at(cells[str(named)], row_details(cells), place), cells.get("parent")))
    return grow_tree(found)


def _refuse_misspelled(columns: list[str], file: str) -> None:
    """Raise UserError for a repeated or misspelled column, whose content would be lost without a message."""
    for column in columns:
        if meant := None if column in _COLUMNS else _meant(column, [each for each in _COLUMNS if each not in columns]):
            raise UserError(
                "labels: {file} has a column {column!r}, which is not read.",
                "Rename it to  {meant}  ; if it is something else, give it another name.",
                file=file,
                column=column,
                meant=meant,
            )
        if column in _COLUMNS and columns.count(column) > 1:
            raise UserError(
                "labels: {file} has the column {column!r} twice.", "Keep one of them.", file=file, column=column
            )


def _meant(column: str, absent: list[str]) -> str | None:
    """The column that `column` is a beginning of (desc), or nearly is (keywords)."""
    begun = [each for each in absent if len(column) > 2 and each.startswith(column)]
    return next(iter(begun or get_close_matches(column, absent, 1, 0.7)), None)


def _refuse_wide(row: list[str], columns: list[str], place: str, file: str) -> None:
    """Raise UserError for cells beyond the last column (a comma in a text without quotes), which would be lost."""
    if any(cell.strip() for cell in row[len(columns) :]):
        raise UserError(
            "labels: {file} has {fields} fields and its header has {width} ({place}).",
            "Put a text that holds the separator in double quotes.",
            file=file,
            fields=len(row),
            width=len(columns),
            place=place,
        )


def _json(text: str, file: str) -> Found:
    try:
        return _structure(json.loads(text, object_pairs_hook=_Pairs), file)
    except json.JSONDecodeError as error:
        fault, offset = error.msg, error.pos
    except RecursionError:
        fault, offset = "it is nested too deeply", 0
    raise UserError(
        "labels: {file} is not valid JSON ({fault}, line {line}).",
        "Correct that line.",
        file=file,
        fault=fault,
        line=line_number(text, offset),
    )


def _yaml(text: str, file: str) -> Found:
    import yaml

    try:
        return _structure(_plain(yaml.compose(text.translate(_HIDDEN), yaml.BaseLoader)), file)
    except yaml.MarkedYAMLError as error:
        fault, line = error.problem, error.problem_mark.line + 1 if error.problem_mark else 1
    except yaml.reader.ReaderError as error:  # a control character
        fault, line = error.reason, line_number(text, error.position)
    except RecursionError:
        fault, line = "it is nested too deeply", 1
    raise UserError(
        "labels: {file} is not valid YAML ({fault}, line {line}).",
        'Correct that line; a text with a colon in it needs quotes: "..."',
        file=file,
        fault=fault,
        line=line,
    )


class _Pairs(Mapping[str, Any]):
    """A mapping as it was written: `items` gives a repeated name every time, so that it is refused and not lost."""

    def __init__(self, pairs: Iterable[tuple[str, Any]]) -> None:
        self.pairs = list(pairs)

    def items(self) -> Any:
        return self.pairs

    def __getitem__(self, key: str) -> Any:
        return dict(self.pairs)[key]

    def __iter__(self) -> Iterator[str]:
        return iter(dict(self.pairs))

    def __len__(self) -> int:
        return len(self.pairs)


def _plain(node: Any) -> Any:
    """YAML's tree as lists, pairs and texts: `yes`, `no` and 007 stay the texts that were written."""
    if node is None:
        return []
    if node.id == "mapping":
        return _Pairs((_plain(key), _plain(value)) for key, value in node.value)
    return [_plain(each) for each in node.value] if node.id == "sequence" else node.value.translate(_SHOWN)


def _structure(given: Any, file: str) -> Found:
    if isinstance(given, Mapping):
        for i, (name, value) in enumerate(given.items(), start=1):
            yield _at(name, value, f"entry {i}")
    elif isinstance(given, list):
        for i, each in enumerate(given, start=1):
            yield _placed(f"entry {i}", listed_label, each)
    else:
        raise UserError(
            "labels: {file} holds neither a list nor a mapping.", 'Write  {{"name": "description", ...}}', file=file
        )


READERS: dict[str, Callable[[str, str], Found]] = {
    ".txt": _lines,
    ".csv": _table,
    ".tsv": _table,
    ".yaml": _yaml,
    ".yml": _yaml,
    ".json": _json,
}
