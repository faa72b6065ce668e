"""What every table is made of: committed results, rows, intervals."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"


def result(name: str) -> dict[str, Any]:
    """A committed result."""
    found: dict[str, Any] = json.loads((RESULTS / f"{name}.json").read_text("utf-8"))
    return found


def of(row: dict[str, Any], **wanted: Any) -> bool:
    """Whether a row holds these values."""
    return wanted.items() <= {key: row[key] for key in wanted}.items()


def table(head: list[str], rows: Iterable[list[Any]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *([str(cell) for cell in row] for row in rows)]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)


def listed(lines: Iterable[str]) -> str:
    """A Markdown list, or a line that says that there is nothing to list."""
    return "".join(f"- {line}\n" for line in lines) or "None.\n"


def bounds(interval: list[float]) -> str:
    """An interval as it stands behind its number."""
    return f"[{interval[0]}, {interval[1]}]"


def with_bounds(row: dict[str, Any]) -> str:
    """Accuracy with its interval."""
    return f"{row['accuracy']} {bounds(row['interval'])}"


def gained(row: dict[str, Any]) -> str:
    """The gain over the names rung with its interval."""
    return f"{row['gain']:+.1f} {bounds(row['gain_interval'])}"
