"""How commands show things: plain aligned columns, bars, and a progress bar on terminals only."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager


def say(line: str = "") -> None:
    """A line for the person, on standard error: standard output belongs to the answers."""
    print(line, file=sys.stderr)


def columns(rows: Sequence[Sequence[str]], *, indent: int = 2) -> list[str]:
    """Rows as lines with aligned columns.

    >>> columns([("a", "1"), ("longer", "2")])
    ['  a       1', '  longer  2']
    """
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    return [
        " " * indent + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


def bar(share: float, *, width: int = 24) -> str:
    """A share of 1 as a bar, never empty for something that is there.

    >>> bar(0.25, width=8)
    '██'
    """
    return "█" * max(1 if share > 0 else 0, round(share * width))


def counted(n: int, noun: str) -> str:
    """A number with its noun.

    >>> counted(1, "row"), counted(1200, "row")
    ('1 row', '1,200 rows')
    """
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}s"


def size(count: float) -> str:
    """Bytes in words.

    >>> size(7_500_000)
    '7.5 MB'
    """
    for unit in ("bytes", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "bytes" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} GB"


@contextmanager
def progress(total: int, what: str) -> Iterator[Callable[[int], None]]:
    """A function that moves a bar with rate and time left on by n; where standard error is no terminal, it does nothing."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    rate = TextColumn("{task.fields[rate]}")
    look = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), rate, TimeRemainingColumn())
    with Progress(*look, console=Console(stderr=True), transient=True) as shown:
        task = shown.add_task(what, total=total, rate="")

        def advance(n: int) -> None:
            shown.advance(task, n)
            speed = shown.tasks[0].finished_speed or shown.tasks[0].speed
            shown.update(task, rate=f"{speed:,.0f} texts/s" if speed else "")

        yield advance


@contextmanager
def training(what: str) -> Iterator[Callable[[int, int, float | None], None]]:
    """A function that shows steps done of all, the loss and the time left; where standard error is no terminal, it does nothing."""
    if not sys.stderr.isatty():
        yield lambda *_: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    loss = TextColumn("{task.fields[loss]}")
    look = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), loss, TimeRemainingColumn())
    with Progress(*look, console=Console(stderr=True), transient=True) as shown:
        task = shown.add_task(what, total=None, loss="")

        def at(step: int, total: int, loss: float | None) -> None:
            shown.update(task, completed=step, total=total, loss="" if loss is None else f"loss {loss:.3f}")

        yield at
