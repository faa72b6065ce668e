"""How commands show things: plain aligned columns, bars, and a progress bar on terminals only."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from rung.messages import tr, tr_n

_NEVER_FIRST = "，。、；：！？）】》」』”’"  # marks that no line begins with


def say(line: str = "") -> None:
    """A line for the person, on standard error: standard output belongs to the answers."""
    print(line, file=sys.stderr)


def columns(rows: Sequence[Sequence[str]], *, indent: int = 2) -> list[str]:
    """Rows as lines with aligned columns; Chinese characters take two places of a terminal.

    >>> columns([("a", "1"), ("longer", "2")])
    ['  a       1', '  longer  2']
    >>> columns([("账单", "1"), ("bill", "2")])
    ['  账单  1', '  bill  2']
    """
    filled = [[*row, *[""] * (max(map(len, rows)) - len(row))] for row in rows]
    widths = [max(map(width, column)) for column in zip(*filled, strict=True)]
    return [
        " " * indent + "  ".join(_padded(cell, wide) for cell, wide in zip(row, widths, strict=False)).rstrip()
        for row in rows
    ]


def width(text: str) -> int:
    """How many places of a terminal a text takes.

    >>> width("bill"), width("账单")
    (4, 4)
    """
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)


def wrapped(text: str, wide: int) -> list[str]:
    """A paragraph in lines of at most `wide` places; a line may end between any two Chinese characters, else between words.

    >>> wrapped("a few words", 6), wrapped("只看标签的名称", 8)
    (['a few', 'words'], ['只看标签', '的名称'])
    """
    lines = [""]
    for word in re.findall(r"[^\s\u2e80-\uffef]+|[\u2e80-\uffef]|\s+", text):
        if width(lines[-1] + word.rstrip()) > wide and lines[-1] and word not in _NEVER_FIRST:
            lines.append("")
        lines[-1] += word if lines[-1] else word.lstrip()
    return [line.rstrip() for line in lines]


def _padded(cell: str, wide: int) -> str:
    return cell + " " * (wide - width(cell))


def bar(share: float, *, width: int = 24) -> str:
    """A share of 1 as a bar, never empty for something that is there.

    >>> bar(0.25, width=8)
    '██'
    """
    return "█" * max(1 if share > 0 else 0, round(share * width))


def size(count: float) -> str:
    """Bytes in words.

    >>> size(7_500_000)
    '7.5 MB'
    """
    if count < 1000:
        return tr_n("{n} byte", "{n} bytes", n=round(count))
    for unit in ("kB", "MB"):
        count /= 1000
        if count < 1000:
            return f"{count:.1f} {unit}"
    return f"{count / 1000:.1f} GB"


@contextmanager
def progress(total: int, what: str, *, done: int = 0) -> Iterator[Callable[[int], None]]:
    """A function that moves a bar with rate and time left on by n; where standard error is no terminal, it does nothing.

    The bar of a resumed run starts at what was `done` before, which does not count for its rate.
    """
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    rate = TextColumn("{task.fields[rate]}")
    look = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), rate, TimeRemainingColumn())
    with Progress(*look, console=Console(stderr=True), transient=True) as shown:
        task = shown.add_task(what, total=total, completed=done, rate="")

        def advance(n: int) -> None:
            shown.advance(task, n)
            speed = shown.tasks[0].finished_speed or shown.tasks[0].speed
            shown.update(task, rate=tr("{speed:,.0f} texts/s", speed=speed) if speed else "")

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
            shown.update(
                task, completed=step, total=total, loss="" if loss is None else tr("loss {loss:.3f}", loss=loss)
            )

        yield at
