"""The one order of labels, and where each label stands in it: whatever sorts labels or looks one up does it here."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from rung.errors import did_you_mean
from rung.labels.normal_form import LabelValue, label_value, readings, spellings
from rung.messages import tr

if TYPE_CHECKING:
    import numpy.typing as npt

_SHOWN = 10  # labels that a hint lists
_TYPES = (int, float, bool, str)  # the simplest first
_LARGEST = 2**63  # whole numbers beyond it are kept as Python's own


def order_key(value: LabelValue) -> tuple[bool, LabelValue]:
    """What labels are sorted by: numbers by their value and before all texts, texts by their code points.

    >>> sorted([10, "b", 9, "a", -1, 2.5], key=order_key)
    [-1, 2.5, 9, 10, 'a', 'b']
    """
    return isinstance(value, str), value


def distinct(given: Iterable[object]) -> list[LabelValue]:
    """The different labels among `given`, in their order; of equal numbers (1, 1.0, True) the one of the simplest type.

    >>> distinct(["b", "a ", "b"]), distinct([2024.0, 7, 7.0])
    (['a', 'b'], [7, 2024.0])
    """
    simplest: dict[Any, LabelValue] = {}
    for value in sorted(map(label_value, given), key=lambda value: _TYPES.index(type(value))):
        simplest.setdefault(order_key(value), value)
    return sorted(simplest.values(), key=order_key)


def as_array(values: Iterable[LabelValue | None]) -> npt.NDArray[Any]:
    """Labels as an array that keeps their type: of text, int, float or bool; of objects where types are mixed.

    >>> as_array([1, 2]).dtype.kind, as_array(["a"]).dtype.kind, as_array([1, "a", 2.5]).tolist()
    ('i', 'U', [1, 'a', 2.5])
    """
    import numpy as np

    found = list(values)
    one_type = len({type(value) for value in found}) == 1 and found[0] is not None
    small = not any(isinstance(value, int) and abs(value) >= _LARGEST for value in found)
    array = np.empty(len(found), dtype=object)
    array[:] = found
    return np.array(found) if one_type and small else array


class LabelIndex:
    """Where each label stands: finds 0 for a given 0, "0", 0.0 or False, and a name however its accents were typed.

    labels are in the order of their places. `find` gives None for what is no label.
    """

    def __init__(self, labels: Iterable[LabelValue]) -> None:
        self.labels = list(labels)
        # The usual spelling of a label goes before the other spellings of all labels.
        others = ((text, i) for i, value in enumerate(self.labels) for text in spellings(value)[1:])
        self._by_text = dict(others) | {spellings(value)[0]: i for i, value in enumerate(self.labels)}

    def __contains__(self, given: object) -> bool:
        return self.find(given) is not None

    def __iter__(self) -> Iterator[LabelValue]:
        return iter(self.labels)

    def find(self, given: object) -> int | None:
        """The place of the label that is meant, or None."""
        for text in readings(given):
            if text in self._by_text:
                return self._by_text[text]
        return None

    def named(self, given: object) -> Any:
        """The label that is meant, in its own type; what was given where it is none."""
        found = self.find(given)
        return given if found is None else self.labels[found]

    def hint(self, given: object) -> str:
        """The hint of an error about `given`, which is none of the labels: the nearest label, or the first labels."""
        shown = ", ".join(map(str, self.labels[:_SHOWN]))
        return did_you_mean(given, self.labels, tr("The labels are {labels}.", labels=shown))
