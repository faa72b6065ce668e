"""Which way to run an encoder is measured once, remembered, and never a way that says something else."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from time import sleep

import numpy as np
import pytest

from rung.backbones.common import engine_selection
from rung.backbones.common.engine_selection import REFERENCE, choose
from rung.backbones.common.engines import Options, Way
from rung.errors import UserError

FAST = Way("openvino", "float32")
PAUSES_S = {REFERENCE: 0.02, FAST: 0.0}


@pytest.fixture(autouse=True)
def _two_ways(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("RUNG_CACHE", str(tmp_path))
    monkeypatch.setattr(engine_selection, "candidates", lambda: [REFERENCE, FAST])


def opened(way: Way) -> Callable[[list[str]], np.ndarray]:
    """Rows that are the same in both ways, one of which is slow."""

    def embed(texts: list[str]) -> np.ndarray:
        sleep(PAUSES_S[way])
        return np.eye(len(texts), dtype=np.float32)

    return embed


def never(way: Way) -> Callable[[list[str]], np.ndarray]:
    raise AssertionError(f"{way} was opened")


def test_the_faster_way_is_taken_and_remembered() -> None:
    """The second time nothing is opened: the choice stands in a file, with the speeds that it was made by."""
    assert choose(Options(), "print", opened) == FAST
    assert choose(Options(), "print", never) == FAST
    (said,) = json.loads(engine_selection.memory().read_text()).values()
    assert said["way"] == list(FAST)
    assert said["texts_per_s"]["openvino-float32"] > said["texts_per_s"]["torch-float32"] > 0


def test_another_backbone_machine_or_option_is_measured_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is remembered of one backbone on one machine says nothing of others."""
    choose(Options(), "print", opened)
    for options, fingerprint in ((Options(), "other"), (Options(threads=1), "print")):
        with pytest.raises(AssertionError, match="was opened"):
            choose(options, fingerprint, never)
    monkeypatch.setattr(engine_selection, "_processor", lambda: "another one")
    with pytest.raises(AssertionError, match="was opened"):
        choose(Options(), "print", never)


def test_forgetting_measures_anew() -> None:
    """A choice that was made while the machine was busy can be undone."""
    choose(Options(), "print", opened)
    engine_selection.forget()
    with pytest.raises(AssertionError, match="was opened"):
        choose(Options(), "print", never)


def test_a_fast_way_that_says_something_else_is_not_taken() -> None:
    """One text whose row turns by more than cosine 0.999 is enough."""

    def off(way: Way) -> Callable[[list[str]], np.ndarray]:
        def embed(texts: list[str]) -> np.ndarray:
            rows = opened(way)(texts)
            rows[-1, 0] = 0.1 * (way == FAST)
            return rows / np.linalg.norm(rows, axis=1, keepdims=True)

        return embed

    assert choose(Options(), "print", off) == REFERENCE


def test_a_way_that_cannot_run_is_not_taken() -> None:
    """OpenVINO that cannot run an encoder leaves it to PyTorch."""

    def broken(way: Way) -> Callable[[list[str]], np.ndarray]:
        if way == FAST:
            raise UserError("OpenVINO cannot run this encoder.", "engine=torch")
        return opened(way)

    assert choose(Options(), "print", broken) == REFERENCE


def test_what_is_asked_for_is_not_measured() -> None:
    """Engine and precision that were both named are taken as they are, and so is the only way that an option leaves."""
    assert choose(Options(engine="torch", precision="bf16"), "print", never) == Way("torch", "bf16")
    assert choose(Options(engine="openvino"), "print", never) == FAST
    assert choose(Options(precision="bf16"), "print", never) == Way("torch", "bf16")


def test_a_memory_that_cannot_be_read_or_written_costs_no_answer(tmp_path: Path) -> None:
    """Damaged, or in the way of a folder: the choice is made all the same."""
    engine_selection.memory().write_text("{")
    assert choose(Options(), "print", opened) == FAST
    engine_selection.forget()
    engine_selection.memory().mkdir()
    assert choose(Options(), "print", opened) == FAST


def test_bf16_is_tried_only_where_the_processor_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Emulated half precision is no candidate; PyTorch's own bf16 is none either, since it moves more labels."""
    pytest.importorskip("torch")
    monkeypatch.undo()
    monkeypatch.setattr(engine_selection, "find_spec", lambda name: name)
    ways = {}
    for able in (True, False):
        monkeypatch.setattr(engine_selection, "computes_bf16", lambda able=able: able)
        ways[able] = {str(way) for way in engine_selection.candidates()}
    assert ways[False] == {"torch-float32", "openvino-float32"}
    assert ways[True] - ways[False] == {"openvino-bf16"}
