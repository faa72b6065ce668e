"""`rung export`: from a saved classifier to a folder that runs without rung."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rung import Classifier, load


@pytest.mark.torch
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_graph(rung: Any, tiny_encoder: Path, tmp_path: Path) -> None:
    """From a saved classifier to a folder that says how to run it; a graph is what an encoder becomes."""
    for package in ("onnx", "onnxruntime"):
        pytest.importorskip(package)
    Classifier(["card", "app"], backbone=load(str(tiny_encoder)), cache=False).save(tmp_path / "clf")
    ran = rung("export", tmp_path / "clf", "--out", tmp_path / "graph")
    assert ran.code == 0, ran.err
    assert "onnx float32: 100.0%" in ran.err
    assert "the decision is exported exactly" in ran.err
    assert (tmp_path / "graph" / "model.onnx").is_file()
    for more, what in [((), "is there already"), (("--to", "numpy"), "which NumPy alone does not run")]:
        folder = "graph" if not more else "other"
        again = rung("export", tmp_path / "clf", "--out", tmp_path / folder, *more)
        assert (again.code, len(again.err.strip().splitlines()), what in again.err) == (2, 2, True)


def test_a_student(rung: Any, tmp_path: Path) -> None:
    """A classifier on the built-in model becomes arrays and a predict.py, which the last line says how to run."""
    Classifier(["billing", "bug report"], backbone="builtin", cache=False).save(tmp_path / "clf")
    out = tmp_path / "folder"
    ran = rung("export", tmp_path / "clf", "--out", out)
    assert ran.code == 0, ran.err
    assert "numpy float32: 100.0%" in ran.err
    assert f'next: python {out / "predict.py"} "a text"' in ran.err
    assert (out / "predict.py").is_file()
    for option, value in [("--to", "onnx"), ("--to", "openvino"), ("--precision", "int8")]:
        refused = rung("export", tmp_path / "clf", "--out", tmp_path / "other", option, value)
        assert (refused.code, len(refused.err.strip().splitlines()), value in refused.err) == (2, 2, True)
    assert not (tmp_path / "other").exists()


def test_texts_for_a_head(rung: Any, tmp_path: Path) -> None:
    """The rung pool asks for --texts in two lines, and with them the summary says that a head was fitted."""
    texts = [f"the {a} {b} {c}" for a in ("invoice", "app") for b in ("is wrong", "crashes") for c in "abcdefghijkl"]
    Classifier(["billing", "bug report"], backbone="builtin", cache=False).fit(texts).save(tmp_path / "clf")
    asked = rung("export", tmp_path / "clf", "--out", tmp_path / "folder")
    assert (asked.code, "--texts FILE" in asked.err, len(asked.err.strip().splitlines())) == (2, True, 2)
    (tmp_path / "in.txt").write_text("\n".join(texts) + "\n", "utf-8")
    ran = rung(
        "export", tmp_path / "clf", "--out", tmp_path / "folder", "--texts", tmp_path / "in.txt", "--most-flips", "1"
    )
    assert ran.code == 0, ran.err
    assert "of 24 held-out texts" in ran.err
    assert "the decision is a linear head fitted to the answers of the rung" in ran.err
