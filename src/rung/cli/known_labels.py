"""Labels that a person already knows: columns of the table, and other files with texts and labels; all of them add up."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from rung.cli.label_files import LABEL, SEPARATOR, LabelReader, labelled_rows, open_label_file, row_location, text_key
from rung.decide.answer import GIVEN
from rung.errors import UserError
from rung.labels.none_of_these import NONE_OF_THESE
from rung.messages import Localized, tr, tr_n

if TYPE_CHECKING:
    from rung.decide.answer import Answer
    from rung.estimator.classifier import Classifier
    from rung.tables import Chunk, Table

_SHOWN = 3  # contradictions that a warning lists


class KnownLabels:
    """The known labels of the texts of a table: a column gives them row by row, a file text by text, also for texts elsewhere.

    With `parents` a label may be a parent in a tree. A row takes the label of its own columns before that of a file, and the one
    given last before earlier ones; all labels are learned from. Warns where one text has two labels.
    Raises UserError, naming the person's own file and line, for a source that is neither a column nor a file, for one without a
    label, and for a label that the classifier does not have.
    """

    def __init__(self, sources: Sequence[str], table: Table, classifier: Classifier, *, parents: bool = False) -> None:
        self.columns = [source for source in sources if source in table.columns]
        self.files = [_LabelFile(source) for source in dict.fromkeys(sources) if source not in table.columns]
        self.keys_in_files: set[str] = set()  # the keys of all texts of the files, with a label or without one yet
        self._table = table
        self._reader = LabelReader(classifier, parents=parents)
        self._by_key: dict[str, str] = {}
        self._first_labels: dict[str, tuple[str, Table, int]] = {}
        self._contradictions: list[Localized] = []
        if sources:
            self._read_files()
            self._read_columns()
            self._warn_of_contradictions()

    def labels_of(self, chunk: Chunk) -> list[str | None]:
        """The known label of each row, or None."""
        if not self._by_key:
            found: list[str | None] = [None] * len(chunk)
        else:
            found = [None if text is None else self._by_key.get(text_key(text)) for text in chunk.texts]
        for column in self.columns:
            labels = map(self._reader.parse, chunk.column(column))
            found = [label or earlier for label, earlier in zip(labels, found, strict=True)]
        return found

    def override(self, chunk: Chunk, answers: Sequence[Answer]) -> list[Answer]:
        """The answers to a chunk, replaced by the known labels; an answer under a known parent stays, since it says more."""
        known = self.labels_of(chunk)
        given = {label: self._reader.answer(label) for label in known if label is not None}
        return [
            answer
            if label is None or self._reader.is_refined_by(given[label], answer.label)
            else replace(answer, label=given[label], probability=1.0, rung=GIVEN, reason=tr("given"), error=None)
            for label, answer in zip(known, answers, strict=True)
        ]

    def for_fit(self, labels: Sequence[str | None]) -> list[Any] | None:
        """Labels in their own type, as `Classifier.fit` takes them: with multi_label a tuple a text; None if all are missing."""
        return [None if label is None else self._reader.typed(label) for label in labels] if any(labels) else None

    def pairs_beyond(self, pairs: set[tuple[str, str]]) -> list[tuple[str, str]]:
        """Text and label of the files, without the `pairs` that are known from the table already."""
        known = {(text_key(text), label) for text, label in pairs}
        return [
            (text, label) for file in self.files for text, label in file.pairs if (text_key(text), label) not in known
        ]

    def remarks(self, *, learned: bool) -> list[str]:
        """Lines for the summary: texts of the files that the table lacks, labels without a text, rows without a label."""
        return [line for file in self.files for line in file.remarks(self._table.name, learned=learned)]

    def _read_files(self) -> None:
        for file in self.files:
            self._read_file(file)
            if not file.pairs:
                raise UserError(
                    "--known {source}: no row has a label.",
                    "Fill in the column  label  (where no label fits:  {word}), or leave this --known out.",
                    source=file.name,
                    word=NONE_OF_THESE,
                )
            file.absent_keys = {text_key(text) for text, _ in file.pairs}

    def _read_file(self, file: _LabelFile) -> None:
        with open_label_file(file.name, self._table) as table:
            for row, text, label in labelled_rows(table, LABEL, self._reader):
                if text is None:
                    file.labels_without_text += label is not None
                    continue
                self.keys_in_files.add(text_key(text))
                if label is None:
                    file.rows_without_label += 1
                    continue
                self._note(text, label, table, row)
                self._by_key[text_key(text)] = label
                file.pairs[text, label] = None

    def _read_columns(self) -> None:
        """Check the labels in the columns, and find out which texts of the files are in the table."""
        for column in self.columns:
            labelled = 0
            for row, text, label in labelled_rows(self._table, column, self._reader):
                labelled += label is not None
                if text is not None and label is not None:
                    self._note(text, label, self._table, row)
            if not labelled:
                raise UserError(
                    "--known {column}: no row of {table} has a label in this column.",
                    "Fill in some labels there, or leave this --known out.",
                    column=column,
                    table=self._table.name,
                )
        if self.files:
            keys = {text_key(text) for chunk in self._table.chunks() for text in chunk.texts if text}
            for file in self.files:
                file.absent_keys -= keys

    def _note(self, text: str, label: str, table: Table, row: int) -> None:
        """Keep the first label of every text, and note where the same text has another one."""
        first, first_table, first_row = self._first_labels.setdefault(text_key(text), (label, table, row))
        if set(first.split(SEPARATOR)) == set(label.split(SEPARATOR)):
            return
        if len(self._contradictions) >= _SHOWN:
            self._contradictions.append(Localized())  # it is counted, not shown
            return
        pair = {"first": row_location(first_table, first_row), "label": first}
        pair |= {"second": row_location(table, row), "other": label}
        self._contradictions.append(tr("{first} ({label}) and {second} ({other})", **pair))

    def _warn_of_contradictions(self) -> None:
        if not self._contradictions:
            return
        from rung.inference.label_inputs import ContradictionWarning

        more = len(self._contradictions) - _SHOWN
        places = "; ".join(self._contradictions[:_SHOWN])
        shown = tr("{places}; and {more} more", places=places, more=more) if more > 0 else places
        warning = tr(
            "the same text has two labels: {places}. All of them are learned from; a row keeps its own, else the one given last.",
            places=shown,
        )
        warnings.warn(warning, ContradictionWarning, stacklevel=2)


@dataclass
class _LabelFile:
    """A file of --known: its labels in their order, and what of it is not in the table or not filled in."""

    name: str
    pairs: dict[tuple[str, str], None] = field(default_factory=dict)
    absent_keys: set[str] = field(default_factory=set)  # of labelled texts that the table lacks
    labels_without_text: int = 0
    rows_without_label: int = 0

    def remarks(self, table: str, *, learned: bool) -> list[str]:
        """A line for each kind of label or row that the table does not show."""
        lines = [
            (len(self.absent_keys), self._absent_from(table, learned=learned)),
            (
                self.labels_without_text,
                tr_n(
                    "{n:,} label of {file} belongs to an empty text: not used",
                    "{n:,} labels of {file} belong to empty texts: not used",
                    n=self.labels_without_text,
                    file=self.name,
                ),
            ),
            (
                self.rows_without_label,
                tr_n(
                    "{n:,} row of {file} has no label yet",
                    "{n:,} rows of {file} have no label yet",
                    n=self.rows_without_label,
                    file=self.name,
                ),
            ),
        ]
        return [line for count, line in lines if count]

    def _absent_from(self, table: str, *, learned: bool) -> str:
        values = {"file": self.name, "table": table}
        if learned:
            return tr_n(
                "{n:,} labelled text of {file} is not in {table}: it is learned from all the same",
                "{n:,} labelled texts of {file} are not in {table}: they are learned from all the same",
                n=len(self.absent_keys),
                **values,
            )
        return tr_n(
            "{n:,} labelled text of {file} is not in {table}: not used",
            "{n:,} labelled texts of {file} are not in {table}: not used",
            n=len(self.absent_keys),
            **values,
        )
