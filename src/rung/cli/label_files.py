"""Read labels from the cells of a table: which label a cell means, where its row is, and which column holds the texts."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from rung.errors import UserError, did_you_mean
from rung.labels.none_of_these import NONE_OF_THESE, is_none_of_these
from rung.labels.normal_form import LabelValue, normal_text
from rung.labels.order import LabelIndex
from rung.messages import Localized, tr

if TYPE_CHECKING:
    from rung.estimator.classifier import Classifier
    from rung.labels import Labels
    from rung.tables import Table

LABEL = "label"  # the column of labels in a file of --known
SEPARATOR = "|"  # between several labels of one text
_SHOWN = 10  # labels that a hint lists


class LabelReader:
    """Reads cells as labels of a classifier: stripped, None where a cell is empty; each spelling is checked once.

    With `parents` a cell may also name a parent in a tree of labels.
    """

    def __init__(self, classifier: Classifier, *, parents: bool = False) -> None:
        labels = classifier.parsed_labels()
        self._leaves = LabelIndex(labels.values)
        self._multi_label = classifier.multi_label
        self._checked: set[str] = set()
        self._under: Mapping[Any, set[LabelValue]] = _labels_under(labels) if labels.is_tree else {}
        self._parents = LabelIndex(self._under)
        self._index = labels.index if parents else self._leaves

    def parse(self, cell: str | None) -> str | None:
        """The label in a cell, in its usual spelling; −1 means no label, unless a label has this name."""
        label = normal_text(cell or "")
        if label == "" or (label == "-1" and label not in self._index):
            return None
        return SEPARATOR.join(str(self._index.named(name)) for name in self._parts(label))

    def check(self, label: str, table: Table, row: int) -> None:
        """Raise UserError unless the text is a label of the classifier, or with multi_label several of them."""
        if label in self._checked:
            return
        names = self._parts(label)
        for name in names:
            if name not in self._index and not (is_none_of_these(name) and len(names) == 1):
                raise self._unknown(name, row_location(table, row))
        self._checked.add(label)

    def typed(self, label: str) -> LabelValue | tuple[LabelValue, ...]:
        """The label in its own type, as `fit` takes it: several as a tuple; "none of these" stays as it is."""
        values = tuple(self._index.named(name) for name in self._parts(label))
        return values if self._multi_label else values[0]

    def answer(self, label: str) -> LabelValue | tuple[LabelValue, ...] | None:
        """The label as an answer holds it: in its own type, and no label for "none of these"."""
        if label not in self._index and is_none_of_these(label):
            return () if self._multi_label else None
        return self.typed(label)

    def is_refined_by(self, label: object, answer: object) -> bool:
        """Whether `answer` lies under the parent `label` in the tree, so that it says more than the parent does."""
        return answer in self._under.get(label, ())

    def _parts(self, label: str) -> list[str]:
        return [name for name in map(str.strip, label.split(SEPARATOR)) if name] if self._multi_label else [label]

    def _unknown(self, name: str, where: Localized) -> UserError:
        if name in self._parents:
            under = [str(leaf) for leaf in self._leaves if leaf in self._under[self._parents.named(name)]]
            return UserError(
                "{where}: {name!r} is a parent in the tree of labels, and a label without children is needed here.",
                "Give one of the labels under it: {names}",
                where=where,
                name=name,
                names=", ".join(under[:_SHOWN]),
            )
        names = [str(value) for value in self._index]
        shown = ", ".join(names[:_SHOWN])
        choice = tr("The labels are {names}. Where none fits, write  {word}", names=shown, word=NONE_OF_THESE)
        hint = self._joined(name) or did_you_mean(name, names, choice)
        return UserError("{where}: {name!r} is none of the labels.", hint, where=where, name=name)

    def _joined(self, name: str) -> str | None:
        """The hint for several labels that stand in one cell with other signs between them."""
        parts = [part.strip() for part in re.split("[,;|，；、]", name)]
        if len(parts) < 2 or not all(part in self._index for part in parts):
            return None
        if not self._multi_label:
            return tr("A text has one label here; with  --multi-label  it may have several.")
        return tr("Write  {joined}", joined=SEPARATOR.join(parts))


def _labels_under(labels: Labels) -> dict[LabelValue, set[LabelValue]]:
    """Every parent of a tree with all labels that lie under it."""
    from rung.decide.hierarchy import Tree

    tree = Tree.of(labels)
    lies_under = tree.lies_under
    return {
        parent: {label for i, label in enumerate(tree.values) if i != j and lies_under[i, j]}
        for j, parent in enumerate(tree.values)
        if j in tree.parents
    }


def text_key(text: str) -> str:
    r"""A key that equal texts share after an editor or a spreadsheet saved one of them: line ends and spaces may differ.

    >>> text_key("two\r\nlines ") == text_key("two\nlines")
    True
    """
    return " ".join(unicodedata.normalize("NFC", text).split())


def row_location(table: Table, row: int) -> Localized:
    """Where a row is in the person's own file: the file, and the line or the row."""
    return tr("{file}, {place}", file=table.name, place=table.place(row))


def labelled_rows(table: Table, column: str, reader: LabelReader) -> Iterator[tuple[int, str | None, str | None]]:
    """Number, text and checked label of every row; None for a text or a label that is missing or empty."""
    row = -1
    for chunk in table.chunks():
        for text, cell in zip(chunk.texts, chunk.column(column), strict=True):
            row += 1
            if (label := reader.parse(cell)) is not None:
                reader.check(label, table, row)
            yield row, text if text and text.strip() else None, label


def open_label_file(source: str, table: Table) -> Table:
    """Open a file of labels whose texts are in a column with the name of the table's, or `text`, or in the only column of text.

    Raises UserError where there is no such file, and where it has no column `label`.
    """
    from rung.tables import open_table

    if not os.path.exists(source):
        raise UserError(
            "--known: there is neither a column nor a file {source!r} (columns: {columns}).",
            "Name a column of IN that holds labels, or a file with the columns text and label.",
            source=source,
            columns=", ".join(table.columns),
        )
    unclear = tr("Name the column of texts  {column}  as in {table}.", column=table.text_column, table=table.name)
    labels = open_table(source, usual=(table.text_column, "text"), apart=(LABEL,), unclear=unclear)
    if LABEL not in labels.columns:
        labels.close()
        raise UserError(
            "--known {source}: there is no column '{column}' (columns: {columns}).",
            "Name the column of labels  label  and that of texts  text",
            source=source,
            column=LABEL,
            columns=", ".join(labels.columns),
        )
    return labels
