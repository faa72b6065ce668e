"""How good the answers are: numbers with intervals."""

from rung.intervals import interval

__all__ = ["interval"]
