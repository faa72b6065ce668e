"""Small products get one BLAS thread, large ones all, and what was allowed before is allowed again."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from blas_threads import Watched, blas, watched
from rung import threads
from rung.decide import active_learning, multilabel, partial_multilabel, rejection
from rung.decide.active_learning import suggest
from rung.decide.multilabel import MultiLabel
from rung.decide.partial_multilabel import Marked
from rung.decide.rejection import Reject, label_means
from rung.evidence import unit
from rung.threads import matmul, one_thread


@pytest.fixture(autouse=True)
def two_allowed() -> Iterator[None]:
    with threadpool_limits(2, user_api="blas"):
        if blas() != {2}:
            pytest.skip("this machine's BLAS cannot be given two threads")
        yield


def test_a_small_product_has_one_thread_and_a_large_one_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """Inside, the size of a product decides; outside everything is as before."""
    with one_thread():
        assert blas() == {1}
        matmul(watched(np.ones((4, 4))), np.ones((4, 4)))
        assert Watched.seen == {1}
        monkeypatch.setattr(threads, "LARGE", 64)
        matmul(watched(np.ones((4, 4))), np.ones((4, 4)))
        assert Watched.seen == {2}
        assert blas() == {1}
    assert blas() == {2}


def test_an_error_inside_gives_the_threads_back() -> None:
    """Whatever ends the block, the number is what it was."""
    with pytest.raises(ZeroDivisionError), one_thread():
        raise ZeroDivisionError
    assert blas() == {2}


OVERLAPPING = """
from threading import Event, Thread
from blas_threads import blas
from rung.threads import one_thread

inside, leave = Event(), Event()

def other():
    with one_thread():
        inside.set()
        leave.wait()

import scipy.linalg
before = blas()
thread = Thread(target=other)
thread.start()
inside.wait()
with one_thread():
    within = blas()
    if {first}:
        leave.set()
        thread.join()
leave.set()
thread.join()
between = blas()
with one_thread():
    print(within, between == before, blas())
"""


@pytest.mark.parametrize("first", [True, False], ids=["the first leaves first", "the first leaves last"])
def test_overlapping_threads_of_python_leave_the_number_as_it_was(first: bool) -> None:
    """The number belongs to the process: whoever leaves first, it is what it was when all have left."""
    environment = os.environ | {"OPENBLAS_NUM_THREADS": "2", "MKL_NUM_THREADS": "2", "OMP_NUM_THREADS": "2"}
    environment["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parent), environment.get("PYTHONPATH", "")])
    script = [sys.executable, "-c", OVERLAPPING.replace("{first}", str(first))]
    ran = subprocess.run(script, capture_output=True, text=True, check=True, env=environment)
    assert ran.stdout.strip() == "{1} True {1}"


def test_decisions_multiply_on_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several labels, none of these, and what to label next: all of their products are small."""
    for module in (multilabel, partial_multilabel, rejection, active_learning):
        monkeypatch.setattr(module, "unit", lambda rows: unit(rows).view(Watched))
    rng = np.random.default_rng(0)
    texts, anchors, general = (rng.normal(size=(n, 8)).astype(np.float32) for n in (40, 3, 20))
    marks = (rng.random((40, 3)) > 0.5).astype(float)
    below = MultiLabel().fit(texts, anchors, general.mean(axis=0))
    for decide in (
        lambda rows: MultiLabel().fit(rows, anchors, general.mean(axis=0)),
        lambda rows: Marked(below).fit(rows, marks),
        lambda rows: below.probabilities(rows),
        lambda rows: Reject(0.1).fit(rows, anchors, general).rejected(rows),
        lambda rows: label_means(rows, marks, general),
        lambda rows: suggest(rows, marks, 4),
    ):
        Watched.seen.clear()
        decide(texts)
        assert Watched.seen == {1}


def test_the_libraries_are_looked_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Finding BLAS takes milliseconds, so a second block must not do it again."""
    with one_thread():
        pass
    monkeypatch.setattr("threadpoolctl.ThreadpoolController.__init__", lambda _: pytest.fail("looked for again"))
    with one_thread():
        pass


def test_importing_costs_nothing() -> None:
    """What only prints help must not load NumPy for want of a decorator."""
    code = "import sys, rung.threads; print({'numpy', 'scipy', 'threadpoolctl'} & set(sys.modules))"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said.strip() == "set()"
