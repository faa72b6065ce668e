"""What a comparison of settings found: a table with intervals and a picture, written setting by setting."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rung.intervals import interval, paired
from rung.text_encoding import read_text, split_lines

LINES, TABLE, PICTURE = "settings.jsonl", "comparison.csv", "comparison.svg"
AS_IT_IS = "as it is"
_LEVEL = 0.95


@dataclass(frozen=True)
class Tried:
    """One setting: which of the n held-out texts it has right, the mean of −log p of their labels, seconds for all folds.

    `error` says why it could not be; nothing was measured then.
    """

    settings: dict[str, Any]
    right: list[bool] = field(default_factory=list)
    log_loss: float = float("nan")
    seconds: float = 0.0
    error: str | None = None

    @property
    def name(self) -> str:
        """The setting in words."""
        return ", ".join(f"{name}={_short(value)}" for name, value in self.settings.items()) or AS_IT_IS

    @property
    def share(self) -> float:
        """Share of right answers; 0 where nothing could be measured."""
        return sum(self.right) / len(self.right) if self.right else 0.0


@dataclass
class Comparison:
    """Settings in the order in which they were measured, the classifier as it is before all others."""

    rows: list[Tried] = field(default_factory=list)
    folder: Path | None = None

    @classmethod
    def read(cls, folder: Path) -> Comparison:
        """What `folder` holds of an earlier run; further settings are appended to it."""
        found = cls(folder=folder)
        file = folder / LINES
        for line in split_lines(read_text(file)) if file.is_file() else []:
            try:
                found.rows.append(Tried(**json.loads(line)))
            except (ValueError, TypeError):
                continue  # a kill broke it off: it is measured again
        return found

    def add(self, row: Tried) -> None:
        """Keep one setting, on disk too; one that could not be may another time."""
        self.rows.append(row)
        if self.folder is not None and row.error is None:
            with (self.folder / LINES).open("a", encoding="utf-8") as file:
                file.write(json.dumps(asdict(row), default=_named, ensure_ascii=False) + "\n")

    def __contains__(self, setting: dict[str, Any]) -> bool:
        return any(key(row.settings) == key(setting) for row in self.rows)

    def __getitem__(self, setting: dict[str, Any]) -> Tried:
        return next(row for row in self.rows if key(row.settings) == key(setting))

    @property
    def best(self) -> Tried:
        """The setting with most right answers; of several the one that was quickest."""
        return max(self.rows, key=lambda row: (row.share, -row.seconds))

    @property
    def verdict(self) -> str:
        """Whether the best is surely better than the classifier as it is."""
        best = self.best
        if not best.settings:
            return f"none of {len(self.rows) - 1} settings is ahead of the classifier as it is"
        line = next(line for line in self.table() if line["setting"] == best.name)
        surely = "surely" if line["gain_low"] > 0 else "not surely"
        between = f"{line['gain']:+.1%} [{line['gain_low']:+.1%}, {line['gain_high']:+.1%}]"
        return f"{best.name}: {between}, {surely} ahead of the classifier as it is"

    def table(self) -> list[dict[str, Any]]:
        """A line for each setting, best first: share with its 95 % interval, gain with one that holds for all lines together."""
        first, others = self.rows[0], max(len(self.rows) - 1, 1)
        return [
            _line(row, first, 1 - (1 - _LEVEL) / others)
            for row in sorted(self.rows, key=lambda row: (-row.share, row.seconds))
        ]

    def write(self, folder: Path) -> None:
        """comparison.csv and comparison.svg."""
        lines = self.table()
        with (folder / TABLE).open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, list(lines[0]))
            writer.writeheader()
            writer.writerows(lines)
        self.draw(folder / PICTURE)

    def draw(self, file: Path) -> Path | None:
        """Shares with their intervals, best on top, and the seconds that each took; None without matplotlib."""
        try:
            import matplotlib as mpl
            from matplotlib.figure import Figure
        except ImportError:
            return None
        lines = [line for line in self.table() if line["error"] is None]
        mpl.rcParams["svg.hashsalt"] = "rung"  # equal numbers, equal file
        figure = Figure(figsize=(9, 1.2 + 0.32 * len(lines)), layout="constrained")
        sketch(lines, len(self.rows[0].right), figure)
        figure.savefig(file, format="svg", metadata={"Date": None})
        return file


def sketch(lines: list[dict[str, Any]], texts: int, figure: Any) -> None:
    """Lines of a table on an empty figure of matplotlib: shares with intervals on the left, seconds on the right."""
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=(2, 1))
    for at, line in enumerate(lines):
        color = "#9a9a9a" if line["setting"] == AS_IT_IS else "#2f6db3"
        left.plot([line["low"], line["high"]], [at, at], color=color, linewidth=2)
        left.plot(line["share"], at, "o", color=color)
        right.barh(at, line["seconds"], color=color, height=0.5)
        if line["setting"] == AS_IT_IS:
            left.axvline(line["share"], color=color, linestyle=":")
    left.set_yticks(range(len(lines)), [line["setting"] for line in lines])
    left.invert_yaxis()
    left.set(xlabel=f"right of {texts} held-out texts, 95 % intervals")
    left.xaxis.set_major_formatter(lambda share, _: f"{share:.0%}")
    right.set(xlabel="seconds")
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)


def key(settings: dict[str, Any]) -> str:
    """One string for one setting."""
    return json.dumps(settings, sort_keys=True, default=_named)


def _line(row: Tried, first: Tried, level: float) -> dict[str, Any]:
    if row.error is not None:
        empty = dict.fromkeys(("share", "low", "high", "gain", "gain_low", "gain_high", "log_loss", "seconds"))
        return {"setting": row.name, **empty, "error": row.error}
    low, high = interval(sum(row.right), len(row.right))
    won, lost = _only(row.right, first.right), _only(first.right, row.right)
    between = (0.0, 0.0) if row is first else paired(won, lost, len(row.right), level=level)
    return {
        "setting": row.name,
        "share": round(row.share, 4),
        "low": low,
        "high": high,
        "gain": round((won - lost) / len(row.right), 4),
        "gain_low": between[0],
        "gain_high": between[1],
        "log_loss": round(row.log_loss, 4),
        "seconds": round(row.seconds, 1),
        "error": None,
    }


def _only(a: Sequence[bool], b: Sequence[bool]) -> int:
    """On how many texts a alone is right."""
    return sum(x and not y for x, y in zip(a, b, strict=True))


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(_named(value))


def _named(value: Any) -> Any:
    return getattr(value, "name", value if isinstance(value, str | int | float | bool | None) else str(value))
