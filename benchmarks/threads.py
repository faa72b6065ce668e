"""What BLAS threads cost and gain: seconds of a fit on one thread, on all, and as rung chooses, quiet and beside busy programs.

Run it as  python benchmarks/threads.py ; it needs no data sets: texts are random points around their labels.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import numpy as np
from measure import timed
from sets import write
from threadpoolctl import threadpool_limits

from rung.evidence import Evidence, unit
from rung.rungs.pool import Pool
from rung.rungs.shots import Shots

SIZES = ((300, 8), (2000, 8))  # texts, labels
DIMENSIONS, SPREAD, SHOTS = 384, 0.12, 8
BUSY = "while True: pass"


def evidence(n: int, k: int) -> tuple[Evidence, Any]:
    """n texts around k labels, and the labels of the first eight of each kind."""
    rng = np.random.default_rng(0)
    anchors = unit(rng.normal(size=(k, DIMENSIONS)))
    labels = np.arange(n) % k
    texts = unit(anchors[labels] + SPREAD * rng.normal(size=(n, DIMENSIONS)))
    nothing = np.zeros((0, DIMENSIONS), dtype=np.float32)
    known = np.where(np.arange(n) < min(SHOTS * k, n), labels, -1)
    return Evidence(texts, anchors, nothing, np.ones(n, dtype=bool), (None,) * n), known


@contextmanager
def busy(programs: int) -> Iterator[None]:
    """Beside so many programs that keep a core each."""
    others = [subprocess.Popen([sys.executable, "-c", BUSY]) for _ in range(programs)]
    try:
        yield
    finally:
        for each in others:
            each.kill()
            each.wait()


def seconds(n: int, k: int, threads: int | None) -> dict[str, float]:
    given, known = evidence(n, k)
    fits = {"pool": lambda: Pool().fit(given), "shots": lambda: Shots().fit(given, known)}
    found = {}
    for name, fit in fits.items():
        if threads is None:
            found[name] = timed(fit)[1]
        else:
            with threadpool_limits(threads, user_api="blas"), mock.patch("rung.threads._TAKEN", _Taken()):
                found[name] = timed(fit)[1]
    return found


class _Taken:
    """A lock that is always held, so that rung limits nothing."""

    def acquire(self, *, blocking: bool) -> bool:
        return blocking


def main() -> None:
    rows = []
    for programs in (0, 1):
        with busy(programs):
            for n, k in SIZES:
                for name, threads in (("one", 1), ("two", 2), ("rung", None)):
                    row = {
                        "busy_programs": programs,
                        "texts": n,
                        "labels": k,
                        "threads": name,
                        **seconds(n, k, threads),
                    }
                    rows.append(row)
                    print(row, flush=True)
    write("threads", {"dimensions": DIMENSIONS, "seconds": rows})


if __name__ == "__main__":
    main()
