"""Label names as people write them down: a list on the command line, or a .txt, .csv, .yaml or .json file."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Any

from rung.errors import UserError, nearest
from rung.labels.label import Label, Labels, _label, _listed
from rung.text_encoding import read_text

Found = Iterator[tuple[Label, str]]  # a label, and where it stands

FORMATS = ".txt (one per line,  name: description), .csv (name,description), .yaml, .json"


def read_labels(spec: str) -> Labels:
    """Labels from a file, from a ready-made set such as `sentiment-en`, or from `a,b,c`.

    Raises UserError for a file that cannot be read, and for everything that `Labels.parse` refuses.

    >>> read_labels("billing, bug report").names
    ['billing', 'bug report']
    """
    path = Path(spec)
    if path.is_file():
        return _of_file(path)
    if spec in ready_made():
        return _of_file(Path(str(resources.files("rung.labels") / "sets" / f"{spec}.yaml")))
    if path.is_dir():
        raise UserError("labels: {spec} is a folder.", "Name a file: {FORMATS}.", spec=spec, FORMATS=FORMATS)
    if path.suffix.lower() in READERS or ("," not in spec and ("/" in spec or "\\" in spec)):
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


def _of_list(spec: str) -> Labels:
    names = [name.strip() for name in spec.split(",")]
    if len(names) == 1:
        meant = nearest(spec, ready_made())
        also = f"Did you mean {meant}?" if meant else f"Ready-made sets: {', '.join(ready_made())}."
        raise UserError(
            "labels: {spec!r} is one name, and no file or ready-made set.",
            "Write  a,b,c  or a file. {also}",
            spec=spec,
            also=also,
        )
    return Labels.of([_label(name, "") for name in names])


def _of_file(path: Path) -> Labels:
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise UserError(
            "labels: {path} is none of the formats that are read.",
            "Write them as {FORMATS}.",
            path=path,
            FORMATS=FORMATS,
        )
    found = list(reader(read_text(path), path.name))
    if not found:
        raise UserError(
            "labels: {path} is empty.", "Write one label per line, as in  billing: invoices and refunds", path=path
        )
    return Labels.of([label for label, _ in found], [place for _, place in found])


def _lines(text: str, file: str) -> Found:  # noqa: ARG001 (all readers are called alike)
    for number, line in enumerate(text.splitlines(), start=1):
        if line.strip():
            name, _, description = line.partition(":")
            yield _at(name, description, f"line {number}")


def _at(name: Any, value: Any, place: str) -> tuple[Label, str]:
    return _placed(place, _label, name, value)


def _placed(place: str, read: Callable[..., Label], *given: Any) -> tuple[Label, str]:
    """The label that `read` finds, with its place, which errors name too."""
    try:
        return read(*given), place
    except UserError as error:
        raise UserError("{value} ({place}).", error.hint, value=error.what.rstrip("."), place=place) from None


def _table(text: str, file: str) -> Found:
    head = text.split("\n", 1)[0]
    reader = csv.DictReader(text.splitlines(keepends=True), delimiter=max(",;\t", key=head.count), strict=True)
    columns = [str(each).strip().lower() for each in reader.fieldnames or []]
    named = next((each for each in ("name", "label") if each in columns), None)
    if named is None:
        raise UserError(
            "labels: {file} has no column 'name' (columns: {columns}).",
            "Make its first line  name,description",
            file=file,
            columns=", ".join(columns),
        )
    reader.fieldnames = columns
    try:
        rows = [(*_at(row[named] or "", _row_details(row), f"line {reader.line_num}"), row) for row in reader]
    except csv.Error as error:
        raise UserError(
            "labels: {file} is not valid CSV ({error}, line {line_num}).",
            "Mend that line.",
            file=file,
            error=error,
            line_num=reader.line_num,
        ) from None
    return _grown([(label, place, (row.get("parent") or "").strip()) for label, place, row in rows])


def _grown(rows: list[tuple[Label, str, str]]) -> Found:
    """The labels at the top with all that lies under them, from rows that name each label's parent, or none.

    A parent that has no row of its own is a label without any wording. A name given twice stays twice, so that it is refused.
    """
    named = {label.name for label, _, _ in rows}
    implied = {parent: place for _, place, parent in reversed(rows) if parent and parent not in named}
    rows = [*rows, *((Label(parent), place, "") for parent, place in implied.items())]
    _refuse_circles({label.name: parent for label, _, parent in rows}, {label.name: place for label, place, _ in rows})
    under: dict[str, list[Label]] = {}
    for label, _, parent in rows:
        under.setdefault(parent, []).append(label)

    def whole(label: Label) -> Label:
        children = sorted(map(whole, under.get(label.name, ())), key=lambda child: child.name)
        return replace(label, children=tuple(children))

    return ((whole(label), place) for label, place, parent in rows if not parent)


def _refuse_circles(parents: dict[str, str], places: dict[str, str]) -> None:
    for name in parents:
        above, up = parents[name], 0
        while above and up <= len(parents):
            above, up = parents[above], up + 1
        if above:
            raise UserError(
                "labels: {name!r} lies under itself ({places}).",
                "Leave the column parent empty for labels at the top.",
                name=name,
                places=places[name],
            )


def _row_details(row: dict[str, str]) -> dict[str, Any]:
    """Words and examples stand in one cell each, separated by |."""
    lists = {key: [each for each in (row.get(key) or "").split("|") if each.strip()] for key in ("words", "examples")}
    return {"description": row.get("description") or "", **lists}


def _json(text: str, file: str) -> Found:
    try:
        return _structure(json.loads(text, object_pairs_hook=_Pairs), file)
    except json.JSONDecodeError as error:
        raise UserError(
            "labels: {file} is not valid JSON ({msg}, line {lineno}).",
            "Mend that line.",
            file=file,
            msg=error.msg,
            lineno=error.lineno,
        ) from None


def _yaml(text: str, file: str) -> Found:
    import yaml

    try:
        return _structure(_plain(yaml.compose(text, yaml.BaseLoader)), file)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise UserError(
            "labels: {file} is not valid YAML ({problem}, line {line}).",
            'Mend that line; a text with a colon in it needs quotes: "..."',
            file=file,
            problem=error.problem,
            line=line,
        ) from None


class _Pairs(Mapping[str, Any]):
    """A mapping as it was written: `items` gives a name that stands there twice twice, so that it is seen and not swallowed."""

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
    return [_plain(each) for each in node.value] if node.id == "sequence" else node.value


def _structure(given: Any, file: str) -> Found:
    if isinstance(given, Mapping):
        for i, (name, value) in enumerate(given.items(), start=1):
            yield _at(name, value, f"entry {i}")
    elif isinstance(given, list):
        for i, each in enumerate(given, start=1):
            yield _placed(f"entry {i}", _listed, each)
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
