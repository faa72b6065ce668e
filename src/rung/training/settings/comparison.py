"""The results of a comparison of settings: a table with intervals and a plot, saved after each setting."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rung.intervals import interval, paired_interval
from rung.messages import tr
from rung.text_encoding import read_text, split_lines

RESULTS, TABLE, PICTURE = "settings.jsonl", "comparison.csv", "comparison.svg"
BASELINE = "as it is"
_LEVEL = 0.95


@dataclass(frozen=True)
class SettingResult:
    """The result of one setting: which of the n held-out texts are labelled correctly, the mean −log p of their labels (log loss),
    and the seconds for all folds.

    `error` says why the setting could not be evaluated; then nothing was measured.
    """

    settings: dict[str, Any]
    right: list[bool] = field(default_factory=list)
    log_loss: float = float("nan")
    seconds: float = 0.0
    error: str | None = None

    @property
    def name(self) -> str:
        """The setting as  name=value, name=value ."""
        return ", ".join(f"{name}={_format_value(value)}" for name, value in self.settings.items()) or BASELINE

    @property
    def share(self) -> float:
        """The accuracy; 0 if nothing was measured."""
        return sum(self.right) / len(self.right) if self.right else 0.0


@dataclass
class Comparison:
    """The results in the order in which they were measured. The first is the baseline, the unchanged classifier."""

    rows: list[SettingResult] = field(default_factory=list)
    folder: Path | None = None

    @classmethod
    def read(cls, folder: Path) -> Comparison:
        """Read the results of an earlier run in `folder`. Further results are appended to its file."""
        found = cls(folder=folder)
        file = folder / RESULTS
        for line in split_lines(read_text(file)) if file.is_file() else []:
            try:
                found.rows.append(SettingResult(**json.loads(line)))
            except (ValueError, TypeError):
                continue  # an incomplete line, left by a killed process: the setting is measured again
        return found

    def add(self, row: SettingResult) -> None:
        """Add one result, on disk too. A failed setting is not saved, so that a later run tries it again."""
        self.rows.append(row)
        if self.folder is not None and row.error is None:
            with (self.folder / RESULTS).open("a", encoding="utf-8") as file:
                file.write(json.dumps(asdict(row), default=_json_value, ensure_ascii=False) + "\n")

    def __contains__(self, setting: dict[str, Any]) -> bool:
        return any(setting_key(row.settings) == setting_key(setting) for row in self.rows)

    def __getitem__(self, setting: dict[str, Any]) -> SettingResult:
        return next(row for row in self.rows if setting_key(row.settings) == setting_key(setting))

    @property
    def best(self) -> SettingResult:
        """The setting with the highest accuracy; of several, the fastest."""
        return max(self.rows, key=lambda row: (row.share, -row.seconds))

    @property
    def verdict(self) -> str:
        """Whether the best setting is surely better than the baseline."""
        best = self.best
        if not best.settings:
            return tr("none of {settings} settings is ahead of the classifier as it is", settings=len(self.rows) - 1)
        line = next(line for line in self.table() if line["setting"] == best.name)
        values = {"setting": best.name} | {name: line[name] for name in ("gain", "gain_low", "gain_high")}
        if line["gain_low"] > 0:
            return tr(
                "{setting}: {gain:+.1%} [{gain_low:+.1%}, {gain_high:+.1%}], surely ahead of the classifier as it is",
                **values,
            )
        return tr(
            "{setting}: {gain:+.1%} [{gain_low:+.1%}, {gain_high:+.1%}], not surely ahead of the classifier as it is",
            **values,
        )

    def table(self) -> list[dict[str, Any]]:
        """A row for each setting, best first: accuracy with its 95 % interval, gain over the baseline with a simultaneous one."""
        baseline, others = self.rows[0], max(len(self.rows) - 1, 1)
        return [
            _table_row(row, baseline, 1 - (1 - _LEVEL) / others)
            for row in sorted(self.rows, key=lambda row: (-row.share, row.seconds))
        ]

    def write(self, folder: Path) -> None:
        """Write comparison.csv and comparison.svg into `folder`."""
        lines = self.table()
        with (folder / TABLE).open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, list(lines[0]))
            writer.writeheader()
            writer.writerows(lines)
        self.draw(folder / PICTURE)

    def draw(self, file: Path) -> Path | None:
        """Plot accuracies with their intervals, best on top, and the seconds of each setting. None without matplotlib."""
        try:
            import matplotlib as mpl
            from matplotlib.figure import Figure
        except ImportError:
            return None
        lines = [line for line in self.table() if line["error"] is None]
        mpl.rcParams["svg.hashsalt"] = "rung"  # equal numbers give equal files
        figure = Figure(figsize=(9, 1.2 + 0.32 * len(lines)), layout="constrained")
        plot_comparison(lines, len(self.rows[0].right), figure)
        figure.savefig(file, format="svg", metadata={"Date": None})
        return file


def plot_comparison(lines: list[dict[str, Any]], texts: int, figure: Any) -> None:
    """Plot the rows of a table on an empty matplotlib figure: accuracies with intervals on the left, seconds on the right."""
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=(2, 1))
    for at, line in enumerate(lines):
        color = "#9a9a9a" if line["setting"] == BASELINE else "#2f6db3"
        left.plot([line["low"], line["high"]], [at, at], color=color, linewidth=2)
        left.plot(line["share"], at, "o", color=color)
        right.barh(at, line["seconds"], color=color, height=0.5)
        if line["setting"] == BASELINE:
            left.axvline(line["share"], color=color, linestyle=":")
    left.set_yticks(range(len(lines)), [line["setting"] for line in lines])
    left.invert_yaxis()
    left.set(xlabel=f"right of {texts} held-out texts, 95 % intervals")
    left.xaxis.set_major_formatter(lambda share, _: f"{share:.0%}")
    right.set(xlabel="seconds")
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)


def setting_key(settings: dict[str, Any]) -> str:
    """The string that identifies a setting."""
    return json.dumps(settings, sort_keys=True, default=_json_value)


def _table_row(row: SettingResult, baseline: SettingResult, level: float) -> dict[str, Any]:
    if row.error is not None:
        empty = dict.fromkeys(("share", "low", "high", "gain", "gain_low", "gain_high", "log_loss", "seconds"))
        return {"setting": row.name, **empty, "error": row.error}
    low, high = interval(sum(row.right), len(row.right))
    won, lost = _only_first_correct(row.right, baseline.right), _only_first_correct(baseline.right, row.right)
    between = (0.0, 0.0) if row is baseline else paired_interval(won, lost, len(row.right), level=level)
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


def _only_first_correct(a: Sequence[bool], b: Sequence[bool]) -> int:
    """The number of texts on which `a` is correct and `b` is not."""
    return sum(x and not y for x, y in zip(a, b, strict=True))


def _format_value(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(_json_value(value))


def _json_value(value: Any) -> Any:
    return getattr(value, "name", value if isinstance(value, str | int | float | bool | None) else str(value))
