"""`rung export`: from a saved classifier to a graph."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")
pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from rung import Classifier, load

pytestmark = [pytest.mark.torch, pytest.mark.filterwarnings("ignore::DeprecationWarning")]


def test_the_command(rung: Any, tiny_encoder: Path, tmp_path: Path) -> None:
    """From a saved classifier to a folder that says how to run it."""
    Classifier(["card", "app"], backbone=load(str(tiny_encoder)), cache=False).save(tmp_path / "clf")
    ran = rung("export", tmp_path / "clf", "--out", tmp_path / "graph", "--to", "onnx")
    assert ran.code == 0, ran.err
    assert "100.0%" in ran.err
    assert (tmp_path / "graph" / "model.onnx").is_file()
    again = rung("export", tmp_path / "clf", "--out", tmp_path / "graph")
    assert (again.code, len(again.err.strip().splitlines())) == (2, 2)
