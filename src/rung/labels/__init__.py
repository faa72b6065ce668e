"""What a label is: a name, and anything more a person cares to say about it."""

from rung.labels.label import Label, Labels
from rung.labels.reading import read_labels

__all__ = ["Label", "Labels", "read_labels"]
