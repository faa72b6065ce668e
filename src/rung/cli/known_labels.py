"""Labels that a person knows already: columns of the table, and other files with texts and labels; all of them add up."""

from __future__ import annotations

import os
import unicodedata
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from rung.decide.answer import GIVEN
from rung.errors import UserError, did_you_mean
from rung.labels.none_of_these import NONE_OF_THESE, is_none_of_these
from rung.labels.normal_form import LabelValue, normal_text
from rung.messages import Localized, tr, tr_n

if TYPE_CHECKING:
    from rung.decide.answer import Answer
    from rung.estimator.classifier import Classifier
    from rung.tables import Chunk, Table

LABEL = "label"
SEPARATOR = "|"  # between several labels of one text
_TOLD = 3  # contradictions that a warning names


class Known:
    """What is known of the texts of a table: by column, row for row; by file, text for text, also of texts elsewhere.

    Raises UserError, naming the person's own file and line, for a source that is neither, for one without a single label, and for
    a label that is none of the classifier's. Warns where one text carries two labels. A row is answered by its own columns before
    the files, and by what was given last; every label is learned from.
    """

    def __init__(self, sources: Sequence[str], table: Table, classifier: Classifier) -> None:
        self.columns = [source for source in sources if source in table.columns]
        self.files = [_File(source) for source in dict.fromkeys(sources) if source not in table.columns]
        self._table = table
        self._reader = _Labels(classifier)
        self.listed: set[str] = (
            set()
        )  # all texts of the files, by `same_text`, also those whose label is not filled in yet
        self._by_text: dict[str, str] = {}
        self._first: dict[str, tuple[str, Table, int]] = {}
        self._twice: list[Localized] = []
        if sources:
            self._read_files()
            self._read_table()
            self._warn()

    def of(self, chunk: Chunk) -> list[str | None]:
        """The known label of each row, or None."""
        if not self._by_text:
            found: list[str | None] = [None] * len(chunk)
        else:
            found = [None if text is None else self._by_text.get(same_text(text)) for text in chunk.texts]
        for column in self.columns:
            own = map(self._reader.label, chunk.column(column))
            found = [mine or before for mine, before in zip(own, found, strict=True)]
        return found

    def heeded(self, chunk: Chunk, answers: Sequence[Answer]) -> list[Answer]:
        """The answers to a chunk, with the labels that are known in their place."""
        known = self.of(chunk)
        given = {label: self._reader.answer(label) for label in known if label is not None}
        return [
            answer
            if label is None
            else replace(answer, label=given[label], probability=1.0, rung=GIVEN, reason=tr("given"), error=None)
            for label, answer in zip(known, answers, strict=True)
        ]

    def elsewhere(self, met: set[tuple[str, str]]) -> list[tuple[str, str]]:
        """Text and label of all that files say beyond the pairs that were `met` in the table."""
        seen = {(same_text(text), label) for text, label in met}
        return [
            (text, label) for file in self.files for text, label in file.pairs if (same_text(text), label) not in seen
        ]

    def remarks(self, *, learned: bool) -> list[str]:
        """What the summary says of files: texts that are not in the table, and labels without a text."""
        return [line for file in self.files for line in file.remarks(self._table.name, learned=learned)]

    def _read_files(self) -> None:
        for file in self.files:
            with opened(file.name, self._table) as table:
                for row, text, label in _rows(table, LABEL, self._reader):
                    if text is None:
                        file.textless += label is not None
                        continue
                    self.listed.add(same_text(text))
                    if label is None:
                        file.open_rows += 1
                        continue
                    self._note(text, label, table, row)
                    self._by_text[same_text(text)] = label
                    file.pairs[text, label] = None
            if not file.pairs:
                raise UserError(
                    "--known {source}: no row has a label.",
                    "Fill in the column  label  (where no label fits:  {word}), or leave this --known out.",
                    source=file.name,
                    word=NONE_OF_THESE,
                )
            file.away = {same_text(text) for text, _ in file.pairs}

    def _read_table(self) -> None:
        """Check the labels in columns, and find out which texts of the files are in the table."""
        empty = []
        for column in self.columns:
            found = False
            for row, text, label in _rows(self._table, column, self._reader):
                found = found or label is not None
                if text is not None and label is not None:
                    self._note(text, label, self._table, row)
            empty += [] if found else [column]
        if empty:
            raise UserError(
                "--known {column}: no row of {name} has a label in this column.",
                "Fill in some labels there, or leave this --known out.",
                column=empty[0],
                name=self._table.name,
            )
        if self.files:
            here = {same_text(text) for chunk in self._table.chunks() for text in chunk.texts if text}
            for file in self.files:
                file.away -= here

    def _note(self, text: str, label: str, table: Table, row: int) -> None:
        """Keep the first label of every text, and say where another one stands."""
        first, where, before = self._first.setdefault(same_text(text), (label, table, row))
        if set(first.split(SEPARATOR)) != set(label.split(SEPARATOR)):
            if len(self._twice) < _TOLD:
                pair = {"first": place(where, before), "label": first, "second": place(table, row), "other": label}
                self._twice.append(tr("{first} ({label}) and {second} ({other})", **pair))
            else:
                self._twice.append(Localized())

    def _warn(self) -> None:
        if not self._twice:
            return
        from rung.inference.label_inputs import ContradictionWarning

        more = len(self._twice) - _TOLD
        places = "; ".join(self._twice[:_TOLD])
        shown = tr("{places}; and {more} more", places=places, more=more) if more > 0 else places
        warnings.warn(
            tr(
                "the same text carries two labels: {places}. All are learned from; a row keeps its own, else the last one given.",
                places=shown,
            ),
            ContradictionWarning,
            stacklevel=2,
        )


@dataclass
class _File:
    """A file of --known: its labels in their order, texts that are not in the table, and rows without a text or a label."""

    name: str
    pairs: dict[tuple[str, str], None] = field(default_factory=dict)
    away: set[str] = field(default_factory=set)
    textless: int = 0
    open_rows: int = 0

    def remarks(self, table: str, *, learned: bool) -> list[str]:
        """A line for each kind of label that no row of the table shows."""
        lines: list[str] = []
        names = {"file": self.name, "table": table}
        if self.away and learned:
            lines.append(
                tr_n(
                    "{n:,} labelled text of {file} is not in {table}: learned from all the same",
                    "{n:,} labelled texts of {file} are not in {table}: learned from all the same",
                    n=len(self.away),
                    **names,
                )
            )
        elif self.away:
            lines.append(
                tr_n(
                    "{n:,} labelled text of {file} is not in {table}: not used",
                    "{n:,} labelled texts of {file} are not in {table}: not used",
                    n=len(self.away),
                    **names,
                )
            )
        if self.textless:
            lines.append(
                tr_n(
                    "{n:,} label of {file} stands beside an empty text: not used",
                    "{n:,} labels of {file} stand beside an empty text: not used",
                    n=self.textless,
                    file=self.name,
                )
            )
        if self.open_rows:
            lines.append(
                tr_n(
                    "{n:,} row of {file} has no label yet",
                    "{n:,} rows of {file} have no label yet",
                    n=self.open_rows,
                    file=self.name,
                )
            )
        return lines


class _Labels:
    """Cells as labels of a classifier: stripped, None where they are empty, checked once for every spelling."""

    def __init__(self, classifier: Classifier) -> None:
        self._index = classifier.parsed_labels().index
        self._several = classifier.multi_label
        self._checked: set[str] = set()

    def label(self, cell: str | None) -> str | None:
        """The label in a cell, in its usual spelling; −1 is none where no label is called so."""
        label = normal_text(cell or "")
        if label == "" or (label == "-1" and label not in self._index):
            return None
        return SEPARATOR.join(str(self._index.named(name)) for name in self._parts(label))

    def check(self, label: str, table: Table, row: int) -> None:
        """Raise UserError unless it is one of the classifier's labels, or with several labels some of them."""
        if label in self._checked:
            return
        names = self._parts(label)
        for name in names:
            if name in self._index or (is_none_of_these(name) and len(names) == 1):
                continue
            hint = did_you_mean(name, self._index, self._choice())
            where = place(table, row)
            raise UserError("{where}: {name!r} is none of the labels.", hint, where=where, name=name)
        self._checked.add(label)

    def answer(self, label: str) -> LabelValue | tuple[LabelValue, ...] | None:
        """The label as an answer has it, in its own type: several as a tuple; nothing for "none of these"."""
        if label not in self._index and is_none_of_these(label):
            return () if self._several else None
        named = tuple(self._index.named(name) for name in self._parts(label))
        return named if self._several else named[0]

    def _parts(self, label: str) -> list[str]:
        return [name for name in map(str.strip, label.split(SEPARATOR)) if name] if self._several else [label]

    def _choice(self) -> Localized:
        names = ", ".join(str(name) for name in self._index.labels[:10])
        return tr("The labels are {names}; where none fits, write  {word}", names=names, word=NONE_OF_THESE)


def same_text(text: str) -> str:
    r"""What equal texts have in common after an editor or a spreadsheet saved one of them: line ends and spaces may differ.

    >>> same_text("two\r\nlines ") == same_text("two\nlines")
    True
    """
    return " ".join(unicodedata.normalize("NFC", text).split())


def place(table: Table, row: int) -> Localized:
    """Where a row stands in the person's own file."""
    return tr("{file}, {place}", file=table.name, place=table.place(row))


def _rows(table: Table, column: str, reader: _Labels) -> Iterator[tuple[int, str | None, str | None]]:
    """Number, text and checked label of every row; None for a text or a label that is missing or empty."""
    row = -1
    for chunk in table.chunks():
        for text, cell in zip(chunk.texts, chunk.column(column), strict=True):
            row += 1
            if (label := reader.label(cell)) is not None:
                reader.check(label, table, row)
            yield row, text if text and text.strip() else None, label


def opened(source: str, table: Table) -> Table:
    """The file of labels; its texts are in a column called as that of the table, or text, or in the only one there can be."""
    from rung.tables import open_table

    if not os.path.exists(source):
        columns = ", ".join(table.columns)
        raise UserError(
            "--known: there is neither a column nor a file {source!r} (columns: {columns}).",
            "Name a column of IN that holds labels, or a file with the columns text and label.",
            source=source,
            columns=columns,
        )
    unclear = tr("Name the column of texts  {column}  as in {table}.", column=table.text_column, table=table.name)
    known = open_table(source, usual=(table.text_column, "text"), apart=(LABEL,), unclear=unclear)
    if LABEL not in known.columns:
        known.close()
        raise UserError(
            "--known {source}: there is no column '{LABEL}' (columns: {columns}).",
            "Name the column of labels  label  and that of texts  text",
            source=source,
            LABEL=LABEL,
            columns=", ".join(known.columns),
        )
    return known
