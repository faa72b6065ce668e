"""How good the answers are: numbers with intervals."""

from rung.evaluation.intervals import interval

__all__ = ["interval"]
