"""The training log: one line of JSON for each event, learning curves drawn from it, and progress for the caller."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rung.errors import UserError

LOG_FILE = "log.jsonl"
CURVES = "curves.svg"
SINGLE_TASK_SUFFIX = (
    " alone"  # follows the name of a task in its single-task run; drawn dashed, in the color of the task
)
Progress = Callable[[int, int, float | None], object]  # steps done, all steps, the latest loss


class TrainingLog:
    """The log of one training, in `folder`/log.jsonl.

    A line holds `event`, `seconds` since the training started or resumed, `step`, and numbers such as `loss`, `learning_rate` or
    `accuracy`. A training that resumes appends to the log; if two lines are for the same step, the later one counts.
    """

    def __init__(self, folder: Path, progress: Progress | None = None) -> None:
        self.folder = folder
        self._progress = progress
        self._started = time.perf_counter()

    def write(self, event: str, **numbers: Any) -> None:
        """Append a line. Raises UserError if the loss is NaN or infinite, since the weights are useless from there on."""
        line = {"event": event, "seconds": round(time.perf_counter() - self._started, 2), **numbers}
        with (self.folder / LOG_FILE).open("a", encoding="utf-8") as file:
            file.write(json.dumps(line, default=str) + "\n")
        loss = numbers.get("loss")
        if isinstance(loss, float) and not math.isfinite(loss):
            raise UserError(
                "training: the loss is {loss} at step {step}.",
                "Lower the learning rate, or train in float32; the last good checkpoint is kept.",
                loss=loss,
                step=numbers.get("step"),
            )

    def report_progress(self, step: int, total: int, loss: float | None = None) -> None:
        """Call the caller's progress function, if there is one."""
        if self._progress is not None:
            self._progress(step, total, loss)

    def lines(self) -> list[dict[str, Any]]:
        """The lines of the log, the latest for each event and step, sorted by step."""
        return read(self.folder)

    def draw(self, titles: Mapping[str, Sequence[str]] | None = None) -> Path | None:
        """Draw the curves as SVG beside the log. Returns None if matplotlib is not installed or there is nothing to draw."""
        return draw(self.lines(), self.folder / CURVES, titles)


def read(folder: Path) -> list[dict[str, Any]]:
    """The lines of a log. An incomplete last line, left by a killed process, is ignored."""
    file = folder / LOG_FILE
    if not file.is_file():
        return []
    found: dict[tuple[Any, ...], dict[str, Any]] = {}
    for line in _parsed(file.read_text("utf-8").splitlines()):
        found[line["event"], line.get("task"), line.get("step", line["seconds"])] = line
    return sorted(found.values(), key=lambda line: line.get("step", 0))


def draw(lines: list[dict[str, Any]], file: Path, panels: Mapping[str, Sequence[str]] | None = None) -> Path | None:
    """Draw one panel over the steps for each group of numbers: by default losses, other measured numbers, learning rate."""
    try:
        import matplotlib as mpl
        from matplotlib.figure import Figure
    except ImportError:
        return None
    chosen = _panels(lines) if panels is None else {title: list(names) for title, names in panels.items()}
    if not chosen:
        return None
    mpl.rcParams["svg.hashsalt"] = "rung"  # equal numbers give equal files
    figure = Figure(figsize=(4 * len(chosen), 3), layout="constrained")
    colors: dict[tuple[str, str], str] = {}
    for axes, (title, names) in zip(figure.subplots(1, len(chosen), squeeze=False)[0], chosen.items(), strict=True):
        for name in names:
            for task, steps, values in _curves(lines, name):
                base_task = task.removesuffix(SINGLE_TASK_SUFFIX)
                colors.setdefault((base_task, name), f"C{len(colors) % 10}")
                axes.plot(
                    steps,
                    values,
                    "--" if task != base_task else "-",
                    color=colors[base_task, name],
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
    """The names of all logged numbers, grouped into panels."""
    known = {"event", "seconds", "step", "epoch", "task"}
    numbers = {name for line in lines for name, value in line.items() if isinstance(value, int | float)} - known
    losses = sorted(name for name in numbers if "loss" in name or "perplexity" in name)
    rates = sorted(name for name in numbers if name == "learning_rate")
    rest = sorted(numbers.difference(losses, rates))
    return {title: names for title, names in (("loss", losses), ("measured", rest), ("learning rate", rates)) if names}


def _curves(lines: list[dict[str, Any]], name: str) -> Iterator[tuple[str, list[float], list[float]]]:
    """The curves of one number: task, steps and values, for each task that has this number."""
    tasks = dict.fromkeys(line.get("task") for line in lines if name in line)
    for task in tasks:
        points = [
            (line["step"], line[name]) for line in lines if name in line and line.get("task") == task and "step" in line
        ]
        if points:
            yield task or "", [x for x, _ in points], [y for _, y in points]


def _parsed(lines: list[str]) -> Iterator[dict[str, Any]]:
    for line in lines:
        try:
            yield json.loads(line)
        except ValueError:
            continue
