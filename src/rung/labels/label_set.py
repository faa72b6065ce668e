"""A set of labels: checked, in the one order of labels, flat or a tree."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Self
from unicodedata import normalize

from rung.errors import UserError
from rung.labels.containers import as_mapping, column_values, is_column, is_sparse, is_table, refuse_iterator
from rung.labels.label import Label, in_order, listed_label, parse_label
from rung.labels.label_table import labels_of_table
from rung.labels.normal_form import LabelValue, spellings
from rung.labels.order import LabelIndex
from rung.messages import message

_ADD = message("Add a label for the other texts, such as  other")


@dataclass(frozen=True)
class Labels:
    """At least two labels with different names, in the one order of labels, which is that of `classes_`.

    labels are those at the top. Texts are compared with the leaves of the tree, which are the labels without children;
    `names`, `len` and iteration cover the leaves only. In a flat list all labels are leaves.
    """

    labels: tuple[Label, ...]

    @classmethod
    def parse(cls, given: object) -> Self:
        """Labels from what a person passes in Python: names, or names with a description or details.

        A mapping, or a pandas Series with texts as its index, goes from name to description or details. A table (pandas, polars,
        Arrow) has the columns name, description, words, examples, parent. All else that can be read again holds names: a list,
        a set, an array, a column of any library.
        Raises UserError for a label without a name, a name given twice, an unknown key or column, or fewer than two labels.

        >>> Labels.parse({"bug": "something is broken", "billing": {"words": ["invoice", "refund"]}}).names
        ['billing', 'bug']
        """
        if isinstance(given, Labels):
            return cls(given.labels)
        if isinstance(given, str):
            raise UserError(
                "labels: got the single text {given!r}.", 'Pass a list:  labels=["billing", "bug report"]', given=given
            )
        if is_table(given):
            found = list(labels_of_table(given))
            return cls.of([label for label, _ in found], [place for _, place in found])
        mapping = as_mapping(given)
        if mapping is not None:
            return cls.of(parse_label(name, value) for name, value in mapping.items())
        refuse_iterator(given, "labels")
        if isinstance(given, bytes) or not isinstance(given, Iterable) or is_sparse(given) or not is_column(given):
            raise UserError(
                "labels: got {name}, not names.",
                'Pass a list of names, or {{"name": "description"}}.',
                name=type(given).__name__,
            )
        return cls.of(listed_label(each) for each in column_values(given))

    @classmethod
    def of(cls, labels: Iterable[Label], places: Iterable[str] | None = None) -> Self:
        """Check and sort `labels`; `places` say where each stands ("line 3"), so that an error can point there."""
        found = list(labels)
        where = list(places) if places is not None else [f"place {i + 1}" for i in range(len(found))]
        _refuse_duplicates([(node, place) for label, place in zip(found, where, strict=True) for node in label.nodes()])
        made = cls(in_order(found))
        if not found:
            raise UserError("labels: none is given; at least two are needed.", _ADD)
        if len(made) < 2:
            raise UserError("labels: only {name!r} is given; at least two are needed.", _ADD, name=made.names[0])
        return made

    @property
    def names(self) -> list[str]:
        """The names of the leaves as texts, in the order of `classes_`."""
        return [label.name for label in self]

    @property
    def values(self) -> list[LabelValue]:
        """The leaves themselves, in the order of `classes_`."""
        return [label.value for label in self]

    @property
    def index(self) -> LabelIndex:
        """All labels, parents too, to look up in y and in files."""
        return LabelIndex(node.value for label in self.labels for node in label.nodes())

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __iter__(self) -> Iterator[Label]:
        leaves = (node for label in self.labels for node in label.nodes() if not node.children)
        return iter(in_order(leaves))

    @property
    def is_tree(self) -> bool:
        """Whether any label has children."""
        return any(label.children for label in self.labels)

    def as_list(self) -> list[dict[str, Any]]:
        """What `parse` reads back, also when JSON has kept it."""
        return [label.as_dict() for label in self.labels]


def _refuse_duplicates(found: list[tuple[Label, str]]) -> None:
    """Refuse equal names anywhere in the tree: an answer is a name, and must say which label it means."""
    seen: dict[str, tuple[Label, str]] = {}
    for label, place in found:
        read_as = {_look(text) for text in spellings(label.value)}
        for first, at in (seen[text] for text in sorted(read_as & seen.keys())):
            _refuse_twin(first, label, at, place)
        seen |= dict.fromkeys(read_as, (label, place))


def _look(text: str) -> str:
    """What a reader sees of a name: not its case, not which kind of space it holds or how many, not how wide its letters are."""
    return " ".join(normalize("NFKC", text).casefold().split())


def _refuse_twin(first: Label, second: Label, at: str, place: str) -> None:
    hint = message("Give every label once; to add wording to one, write  {name}: what it means")
    how: dict[str, Any] = {"first": first.value, "second": second.value, "at": at, "place": place, "name": second.name}
    if (type(first.value), first.value) == (type(second.value), second.value):
        raise UserError("labels: {second!r} is given twice ({at} and {place}).", hint, **how)
    if isinstance(first.value, str) and isinstance(second.value, str):
        if first.value.casefold() != second.value.casefold():
            raise UserError(
                "labels: {first!r} and {second!r} differ only in their spaces or in the form of a letter"
                " ({at} and {place}).",
                hint,
                **how,
            )
        raise UserError("labels: {first!r} and {second!r} differ in case only ({at} and {place}).", hint, **how)
    raise UserError(
        "labels: {first!r} and {second!r} read the same ({at} and {place}).",
        "Give every label once, all as numbers or all as texts.",
        **how,
    )
