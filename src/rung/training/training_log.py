"""What happens while weights change: a line of JSON for each event, curves drawn from these lines, and where the work stands."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rung.errors import UserError

FILE = "log.jsonl"
CURVES = "curves.svg"
ALONE = " alone"  # ends the name of a task in a run of its own, drawn in the color of the task, dashed
Progress = Callable[[int, int, float | None], object]  # steps done, steps in all, the latest loss


class Journal:
    """The log of one training, in `folder`/log.jsonl.

    A line holds `event`, `seconds` since the work began or went on, `step`, and numbers such as `loss`, `learning_rate` or
    `accuracy`. Going on after a kill appends: of two lines for one step the later one counts.
    """

    def __init__(self, folder: Path, progress: Progress | None = None) -> None:
        self.folder = folder
        self._progress = progress
        self._begun = time.perf_counter()

    def write(self, event: str, **numbers: Any) -> None:
        """Append a line. Raises UserError if the loss is not a number any more: what follows would be worth nothing."""
        line = {"event": event, "seconds": round(time.perf_counter() - self._begun, 2), **numbers}
        with (self.folder / FILE).open("a", encoding="utf-8") as file:
            file.write(json.dumps(line, default=str) + "\n")
        loss = numbers.get("loss")
        if isinstance(loss, float) and not math.isfinite(loss):
            raise UserError(
                "training: the loss is {loss} at step {numbers}.",
                "Lower the learning rate, or train in float32; the last good checkpoint is kept.",
                loss=loss,
                numbers=numbers.get("step"),
            )

    def at(self, step: int, total: int, loss: float | None = None) -> None:
        """Tell the person where the work stands."""
        if self._progress is not None:
            self._progress(step, total, loss)

    def lines(self) -> list[dict[str, Any]]:
        """All that was written, the latest for each event and step, in the order of steps."""
        return read(self.folder)

    def draw(self, titles: Mapping[str, Sequence[str]] | None = None) -> Path | None:
        """Draw the curves as SVG beside the log; None where matplotlib is not installed, or there is nothing to draw."""
        return draw(self.lines(), self.folder / CURVES, titles)


def read(folder: Path) -> list[dict[str, Any]]:
    """The lines of a log; a last line that a kill broke off is left out."""
    file = folder / FILE
    if not file.is_file():
        return []
    found: dict[tuple[Any, ...], dict[str, Any]] = {}
    for line in _whole(file.read_text("utf-8").splitlines()):
        found[line["event"], line.get("task"), line.get("step", line["seconds"])] = line
    return sorted(found.values(), key=lambda line: line.get("step", 0))


def draw(lines: list[dict[str, Any]], file: Path, panels: Mapping[str, Sequence[str]] | None = None) -> Path | None:
    """A panel for each group of numbers, over steps: by default loss, what was measured, and the learning rate."""
    try:
        import matplotlib as mpl
        from matplotlib.figure import Figure
    except ImportError:
        return None
    chosen = _panels(lines) if panels is None else {title: list(names) for title, names in panels.items()}
    if not chosen:
        return None
    mpl.rcParams["svg.hashsalt"] = "rung"  # equal numbers, equal file
    figure = Figure(figsize=(4 * len(chosen), 3), layout="constrained")
    colors: dict[tuple[str, str], str] = {}
    for axes, (title, names) in zip(figure.subplots(1, len(chosen), squeeze=False)[0], chosen.items(), strict=True):
        for name in names:
            for task, steps, values in _curves(lines, name):
                whose = task.removesuffix(ALONE)
                colors.setdefault((whose, name), f"C{len(colors) % 10}")
                axes.plot(
                    steps,
                    values,
                    "--" if task != whose else "-",
                    color=colors[whose, name],
                    label=": ".join(each for each in (task, "" if title == name and task else name) if each),
                    marker="." if len(steps) < 30 else None,
                    linewidth=1.2,
                )
        axes.set(title=title, xlabel="step")
        axes.legend(frameon=False, fontsize="small")
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(file, format="svg", metadata={"Date": None})
    return file


def _panels(lines: list[dict[str, Any]]) -> dict[str, list[str]]:
    """The numbers that occur, by kind."""
    known = {"event", "seconds", "step", "epoch", "task"}
    numbers = {name for line in lines for name, value in line.items() if isinstance(value, int | float)} - known
    losses = sorted(name for name in numbers if "loss" in name or "perplexity" in name)
    rates = sorted(name for name in numbers if name == "learning_rate")
    rest = sorted(numbers.difference(losses, rates))
    return {title: names for title, names in (("loss", losses), ("measured", rest), ("learning rate", rates)) if names}


def _curves(lines: list[dict[str, Any]], name: str) -> Iterator[tuple[str, list[float], list[float]]]:
    """A curve of one number for each task that has it."""
    tasks = dict.fromkeys(line.get("task") for line in lines if name in line)
    for task in tasks:
        points = [
            (line["step"], line[name]) for line in lines if name in line and line.get("task") == task and "step" in line
        ]
        if points:
            yield task or "", [x for x, _ in points], [y for _, y in points]


def _whole(lines: list[str]) -> Iterator[dict[str, Any]]:
    for line in lines:
        try:
            yield json.loads(line)
        except ValueError:
            continue
