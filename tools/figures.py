"""Draw what the tables say: docs/figures/*.svg from benchmarks/results. Equal numbers, equal files."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure
from table_cells import ROOT, result

from rung.training.settings.comparison import plot_comparison

FOLDER = ROOT / "docs" / "figures"
BLUE, GRAY = "#2f6db3", "#9a9a9a"


def draw() -> None:
    """Every figure anew."""
    mpl.rcParams["svg.hashsalt"] = "rung"
    mpl.rcParams["svg.fonttype"] = "none"  # text stays text
    FOLDER.mkdir(exist_ok=True)
    for name, (size, make) in FIGURES.items():
        figure = Figure(figsize=size, layout="constrained")
        make(figure)
        for axes in figure.axes:
            axes.spines[["top", "right"]].set_visible(False)
        figure.savefig(FOLDER / f"{name}.svg", metadata={"Date": None})


def encode(figure: Figure) -> None:
    """Texts a second of each way, and the most that this processor could do in each precision."""
    found = result("encode")
    rows, work = found["rows"], found["work"]
    axes = figure.subplots()
    axes.barh(
        [row["way"] for row in rows], [row["texts_per_s"] for row in rows], color=[GRAY, *[BLUE] * (len(rows) - 1)]
    )
    for precision, style in (("float32", ":"), ("bf16", "--")):
        if precision in work:
            most = work[precision]["texts_per_s_at_peak"]
            label = f"{precision} at the processor's peak: {most:.0f}"
            axes.axvline(most, color="black", linestyle=style, linewidth=1, label=label)
    axes.invert_yaxis()
    axes.set(xlabel="texts a second")
    axes.legend(frameon=False, loc="lower right")


def files(figure: Figure) -> None:
    """Rows a second and peak memory by rows, for both rungs."""
    left, right = figure.subplots(1, 2)
    for rung, color in (("names", GRAY), ("pool", BLUE)):
        rows = [row for row in result("files")["rows"] if row["rung"] == rung]
        for axes, key in ((left, "rows_per_s"), (right, "peak_mib")):
            axes.plot([row["rows"] for row in rows], [row[key] for row in rows], marker="o", color=color, label=rung)
    left.set(xscale="log", xlabel="rows of the file", ylabel="rows a second", ylim=(0, None))
    right.set(xscale="log", xlabel="rows of the file", ylabel="peak memory, MiB", ylim=(0, None))
    left.legend(frameon=False)


def students(figure: Figure) -> None:
    """Accuracy against speed: a teacher and its students on each set."""
    rows = result("distill")["rows"]
    marks = {"teacher": "s", "static": "^", "ngram": "o"}
    axes = figure.subplots()
    for name in dict.fromkeys(row["set"] for row in rows):
        own = [row for row in rows if row["set"] == name]
        (line,) = axes.plot(
            [row["texts_per_s"] for row in own], [row["accuracy"] for row in own], linewidth=0.8, label=name
        )
        for row in own:
            axes.plot(row["texts_per_s"], row["accuracy"], marks[row["student"]], color=line.get_color())
    for kind, mark in marks.items():
        axes.plot([], [], mark, color=GRAY, label=kind)
    axes.set(xscale="log", xlabel="texts a second, one thread", ylabel="accuracy, %")
    axes.legend(frameon=False, ncols=2, fontsize="small")


def compare(figure: Figure) -> None:
    """Settings on 60 labels, each held out once, and how the same settings do on other texts."""
    found = result("compare")
    plot_comparison(found["rows"], found["labelled"], figure)
    shares = [row["test"] for row in found["rows"]]
    label = f"all {found['labelled']} labels, {found['test_texts']} other texts"
    figure.axes[0].plot(shares, range(len(shares)), "x", color="black", label=label)
    figure.axes[0].legend(frameon=False, fontsize="small", loc="lower right")


FIGURES: dict[str, tuple[tuple[float, float], Callable[[Figure], Any]]] = {
    "compare": ((9, 3.6), compare),
    "encode": ((7, 2.2), encode),
    "files": ((8, 2.8), files),
    "students": ((6, 3.2), students),
}
