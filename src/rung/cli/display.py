"""What commands print: aligned columns, bars, and a progress bar where standard error is a terminal."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rung.messages import tr, tr_n

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

_NEVER_FIRST = "，。、；：！？）】》」』”’"  # marks that must not begin a line


def say(line: str = "") -> None:
    """Print a line on standard error, since standard output is for the answers."""
    print(line, file=sys.stderr)


def columns(rows: Sequence[Sequence[str]], *, indent: int = 2) -> list[str]:
    """Rows as lines with aligned columns; a Chinese character is two columns of a terminal wide.

    >>> columns([("a", "1"), ("longer", "2")])
    ['  a       1', '  longer  2']
    >>> columns([("账单", "1"), ("bill", "2")])
    ['  账单  1', '  bill  2']
    """
    filled = [[*row, *[""] * (max(map(len, rows)) - len(row))] for row in rows]
    widths = [max(map(width, column)) for column in zip(*filled, strict=True)]
    return [
        " " * indent
        + "  ".join(_padded(cell, column_width) for cell, column_width in zip(row, widths, strict=False)).rstrip()
        for row in rows
    ]


def width(text: str) -> int:
    """How many columns of a terminal a text takes.

    >>> width("bill"), width("账单")
    (4, 4)
    """
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)


def wrapped(text: str, columns: int) -> list[str]:
    """A paragraph in lines of at most `columns` columns; a line may end between two Chinese characters, else between words.

    >>> wrapped("a few words", 6), wrapped("只看标签的名称", 8)
    (['a few', 'words'], ['只看标签', '的名称'])
    """
    lines = [""]
    for word in re.findall(r"[^\s\u2e80-\uffef]+|[\u2e80-\uffef]|\s+", text):
        if width(lines[-1] + word.rstrip()) > columns and lines[-1] and word not in _NEVER_FIRST:
            lines.append("")
        lines[-1] += word if lines[-1] else word.lstrip()
    return [line.rstrip() for line in lines]


def _padded(cell: str, columns: int) -> str:
    return cell + " " * (columns - width(cell))


def bar(share: float, *, width: int = 24) -> str:
    """A share, at most 1, as a bar; only a share of 0 is an empty bar.

    >>> bar(0.25, width=8)
    '██'
    """
    return "█" * max(1 if share > 0 else 0, round(share * width))


def size(count: float) -> str:
    """A number of bytes with its unit.

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
def progress(total: int, title: str, *, done: int = 0) -> Iterator[Callable[[int], None]]:
    """A function that advances a progress bar by n texts; it does nothing where standard error is not a terminal.

    The bar of a resumed run starts at `done`, which does not count for its rate.
    """
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    with _progress_bar(title, total=total, completed=done) as (shown, task):

        def advance(n: int) -> None:
            shown.advance(task, n)
            speed = shown.tasks[0].finished_speed or shown.tasks[0].speed
            shown.update(task, note=tr("{speed:,.0f} texts/s", speed=speed) if speed else "")

        yield advance


@contextmanager
def training(title: str) -> Iterator[Callable[[int, int, float | None], None]]:
    """A function that shows the step of a training, the number of steps and the loss; it does nothing without a terminal."""
    if not sys.stderr.isatty():
        yield lambda *_: None
        return
    with _progress_bar(title, total=None) as (shown, task):

        def show(step: int, steps: int, loss: float | None) -> None:
            note = "" if loss is None else tr("loss {loss:.3f}", loss=loss)
            shown.update(task, completed=step, total=steps, note=note)

        yield show


@contextmanager
def _progress_bar(title: str, **start: Any) -> Iterator[tuple[Progress, TaskID]]:
    """A progress bar on standard error with a field `note` and the time left; it disappears at the end."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    note = TextColumn("{task.fields[note]}")
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), note, TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as shown:
        yield shown, shown.add_task(title, note="", **start)
