"""What a label is: a name, and anything more a person cares to say about it."""

from rung.labels.label import Label
from rung.labels.label_set import Labels
from rung.labels.order import LabelIndex, as_array, distinct
from rung.labels.reading import read_labels

__all__ = ["Label", "LabelIndex", "Labels", "as_array", "distinct", "read_labels"]
