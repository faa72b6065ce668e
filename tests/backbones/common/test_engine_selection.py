"""The engine of an encoder is measured once and saved, and is never one that gives other embeddings."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from time import sleep

import numpy as np
import pytest

from rung.backbones.common import engine_selection
from rung.backbones.common.engine_selection import REFERENCE, choose_engine
from rung.backbones.common.engines import EngineConfig, EngineOptions
from rung.errors import UserError

FAST = EngineConfig("openvino", "float32")
PAUSES_S = {REFERENCE: 0.02, FAST: 0.0}


@pytest.fixture(autouse=True)
def two_configs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("RUNG_CACHE", str(tmp_path))
    monkeypatch.setattr(engine_selection, "candidate_configs", lambda: [REFERENCE, FAST])


def opened(config: EngineConfig) -> Callable[[list[str]], np.ndarray]:
    """An embedding function with the same rows in both configs, one of which is slow."""

    def embed(texts: list[str]) -> np.ndarray:
        sleep(PAUSES_S[config])
        return np.eye(len(texts), dtype=np.float32)

    return embed


def never(config: EngineConfig) -> Callable[[list[str]], np.ndarray]:
    raise AssertionError(f"{config} was opened")


def test_the_faster_config_is_chosen_and_saved() -> None:
    """The faster config is chosen and saved with the measured speeds; the second time nothing is opened."""
    assert choose_engine(EngineOptions(), "print", opened) == FAST
    assert choose_engine(EngineOptions(), "print", never) == FAST
    (choice,) = json.loads(engine_selection.choices_file().read_text()).values()
    assert choice["way"] == list(FAST)
    assert choice["texts_per_s"]["openvino-float32"] > choice["texts_per_s"]["torch-float32"] > 0


def test_another_backbone_machine_or_option_is_measured_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A saved choice applies to one backbone, one machine and the same options only."""
    choose_engine(EngineOptions(), "print", opened)
    for options, fingerprint in ((EngineOptions(), "other"), (EngineOptions(threads=1), "print")):
        with pytest.raises(AssertionError, match="was opened"):
            choose_engine(options, fingerprint, never)
    monkeypatch.setattr(engine_selection, "_processor", lambda: "another processor")
    with pytest.raises(AssertionError, match="was opened"):
        choose_engine(EngineOptions(), "print", never)


def test_cleared_choices_are_measured_again() -> None:
    """After the choices are cleared, engines are measured again."""
    choose_engine(EngineOptions(), "print", opened)
    engine_selection.clear_choices()
    with pytest.raises(AssertionError, match="was opened"):
        choose_engine(EngineOptions(), "print", never)


def test_a_fast_config_with_other_rows_is_not_chosen() -> None:
    """One text whose row has a cosine below 0.999 with the reference rules a config out."""

    def with_another_row(config: EngineConfig) -> Callable[[list[str]], np.ndarray]:
        def embed(texts: list[str]) -> np.ndarray:
            rows = opened(config)(texts)
            rows[-1, 0] = 0.1 * (config == FAST)
            return rows / np.linalg.norm(rows, axis=1, keepdims=True)

        return embed

    assert choose_engine(EngineOptions(), "print", with_another_row) == REFERENCE


def test_a_config_that_cannot_run_is_not_chosen() -> None:
    """An encoder that OpenVINO cannot run is run by PyTorch."""

    def broken(config: EngineConfig) -> Callable[[list[str]], np.ndarray]:
        if config == FAST:
            raise UserError("OpenVINO cannot run this encoder.", "engine=torch")
        return opened(config)

    assert choose_engine(EngineOptions(), "print", broken) == REFERENCE


def test_a_requested_config_is_not_measured() -> None:
    """Nothing is measured where the user names engine and precision, or where an option leaves one config only."""
    assert choose_engine(EngineOptions(engine="torch", precision="bf16"), "print", never) == EngineConfig(
        "torch", "bf16"
    )
    assert choose_engine(EngineOptions(engine="openvino"), "print", never) == FAST
    assert choose_engine(EngineOptions(precision="bf16"), "print", never) == EngineConfig("torch", "bf16")


def test_a_damaged_or_unwritable_file_costs_no_answer(tmp_path: Path) -> None:
    """A choice is made even where its file is damaged or cannot be written."""
    engine_selection.choices_file().write_text("{")
    assert choose_engine(EngineOptions(), "print", opened) == FAST
    engine_selection.clear_choices()
    engine_selection.choices_file().mkdir()
    assert choose_engine(EngineOptions(), "print", opened) == FAST


def test_bf16_is_tried_only_where_the_processor_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Emulated bf16 is no candidate, and PyTorch's own bf16 is none either, since it changes more labels."""
    pytest.importorskip("torch")
    monkeypatch.undo()
    monkeypatch.setattr(engine_selection, "find_spec", lambda name: name)
    configs = {}
    for able in (True, False):
        monkeypatch.setattr(engine_selection, "computes_bf16", lambda able=able: able)
        configs[able] = {str(config) for config in engine_selection.candidate_configs()}
    assert configs[False] == {"torch-float32", "openvino-float32"}
    assert configs[True] - configs[False] == {"openvino-bf16"}
