"""Export: the graph on disk gives the answers of the classifier, runs without rung, and is refused if its answers differ."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
pytest.importorskip("openvino")

from rung import Classifier, UserError, load
from rung.training.exporting.export import export
from rung.training.exporting.graphs import ExportedGraph
from rung.training.provenance import Record

pytestmark = [
    pytest.mark.torch,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # of torch's exporter
    pytest.mark.filterwarnings("ignore::RuntimeWarning"),  # of onnxruntime, where a range is empty
]

TEXTS = [
    f"my {a} is {b} {c}"
    for a in ("card", "app", "invoice")
    for b in ("lost", "a text", "about money")
    for c in "abcdefghij"
]


@pytest.fixture
def clf(tiny_encoder: Path) -> Classifier:
    return Classifier(["card", "app", "money"], backbone=load(str(tiny_encoder)), cache=False)


@pytest.mark.parametrize("to", ["onnx", "openvino"])
def test_the_graph_gives_the_probabilities_of_the_classifier(clf: Classifier, to: Any, tmp_path: Path) -> None:
    """On the rung names the probabilities agree to a thousandth, for any number of texts of any length."""
    export(clf, tmp_path / "graph", to=to)
    embedding, log_probabilities = ExportedGraph.open(tmp_path / "graph").run([*TEXTS[:33], "card", "a " * 99])
    texts = [*TEXTS[:33], "card", "a " * 99]
    assert np.exp(log_probabilities) == pytest.approx(clf.predict_proba(texts), abs=1e-3)
    assert embedding == pytest.approx(clf.loaded_backbone.embed(texts), abs=1e-4)
    assert Record.read(tmp_path / "graph").results["decision"] == "exact"


@pytest.mark.parametrize("to", ["onnx", "openvino"])
def test_control_tokens_in_a_text_are_text_for_the_graph(clf: Classifier, to: Any, tmp_path: Path) -> None:
    """A text that spells [SEP], [MASK] or [PAD] gets from the graph what it gets from the classifier."""
    export(clf, tmp_path / "graph", to=to)
    texts = ["my [SEP] card", "[MASK] is lost", "[CLS][PAD]", "help[SEP]me"]
    embedding, log_probabilities = ExportedGraph.open(tmp_path / "graph").run(texts)
    assert np.exp(log_probabilities) == pytest.approx(clf.predict_proba(texts), abs=1e-3)
    assert embedding == pytest.approx(clf.loaded_backbone.embed(texts), abs=1e-4)


@pytest.mark.parametrize("fitted", [False, True], ids=["names", "pool"])
def test_a_classifier_in_bf16_is_exported_as_its_float32_self(fitted: bool, tiny_encoder: Path, tmp_path: Path) -> None:
    """Where bf16 is the fastest way, the graph is held to what the same weights say in float32, which is what it computes in."""
    rounded = Classifier(["card", "app"], backbone=f"{tiny_encoder}?engine=torch&precision=bf16", cache=False)
    exact = Classifier(["card", "app"], backbone=f"{tiny_encoder}?engine=torch&precision=float32", cache=False)
    if fitted:
        rounded.fit(TEXTS)
    assert np.abs(np.log(rounded.predict_proba(TEXTS) / exact.predict_proba(TEXTS))).max() > 2e-3
    record = export(rounded, tmp_path / "graph", texts=TEXTS, most_flips=0.2)
    assert record.results["cosine"]["least"] > 0.9999
    assert record.parent == {"name": str(tiny_encoder), "fingerprint": rounded.loaded_backbone.fingerprint} | {
        "rung": rounded.rung_
    }
    assert rounded.loaded_backbone.numerics == "torch-bf16"


def test_other_rungs_are_fitted_on_texts(clf: Classifier, tmp_path: Path) -> None:
    """The rung pool is not linear; a linear head is fitted to it, and the record holds how often the labels agree."""
    clf.fit(TEXTS)
    with pytest.raises(UserError, match="texts to fit one are missing"):
        export(clf, tmp_path / "graph")
    record = export(clf, tmp_path / "graph", texts=TEXTS, most_flips=0.2)
    assert record.results["labels_kept"]["share"] >= 0.8
    assert record.results["texts"] == len(TEXTS) // 2


def test_int8_is_measured_and_refused_where_labels_flip(clf: Classifier, tmp_path: Path) -> None:
    """int8 needs texts; if labels flip and no flip is allowed, nothing is written; else the record holds the loss."""
    with pytest.raises(UserError, match="int8 needs at least 40 texts"):
        export(clf, tmp_path / "graph", precision="int8")
    record = export(clf, tmp_path / "graph", precision="int8", texts=TEXTS, most_flips=1.0)
    assert 0.5 < record.results["cosine"]["mean"] < 1
    if record.results["labels_kept"]["share"] < 1:
        with pytest.raises(UserError, match="get another label"):
            export(clf, tmp_path / "none", precision="int8", texts=TEXTS, most_flips=0.0)
        assert sorted(each.name for each in tmp_path.iterdir()) == ["graph"]


@pytest.mark.parametrize("to", ["onnx", "openvino"])
def test_the_readme_runs_without_rung(clf: Classifier, to: Any, tmp_path: Path) -> None:
    """The code of the README runs unchanged in a process that does not import rung."""
    export(clf, tmp_path / "graph", to=to)
    page = (tmp_path / "graph" / "README.md").read_text("utf-8")
    code = re.search(r"```python\n(.*?)```", page, re.DOTALL)
    assert code
    lines = code[1] + "\nimport sys\nassert 'rung' not in sys.modules and 'torch' not in sys.modules\n"
    ran = subprocess.run([sys.executable, "-c", lines], cwd=tmp_path / "graph", capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.strip() == str(clf.predict(["your text", "another"]).tolist())


def test_a_graph_that_differs_is_not_kept(clf: Classifier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The verification runs the file; if it gives other answers, the export is deleted."""
    run = ExportedGraph.run

    def other(self: ExportedGraph, texts: list[str]) -> Any:
        embedding, log_probabilities = run(self, texts)
        return embedding, log_probabilities[:, ::-1]

    monkeypatch.setattr(ExportedGraph, "run", other)
    with pytest.raises(UserError, match="differ by"):
        export(clf, tmp_path / "graph")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("how", "message"), [({"to": "coreml"}, "no coreml"), ({"most_flips": 2}, "most_flips is 2")])
def test_mistakes_are_refused(clf: Classifier, tiny_clip: Path, tmp_path: Path, how: Any, message: str) -> None:
    """An invalid setting, a second backbone, one that reads images, and a folder in use raise UserError."""
    with pytest.raises(UserError, match=message):
        export(clf, tmp_path / "graph", **how)
    with pytest.raises(UserError, match="asks two backbones, builtin and, as its geometry, "):
        export(Classifier(["a", "b"], backbone="builtin", geometry=clf.loaded_backbone), tmp_path / "graph")
    with pytest.raises(UserError, match="no sentence encoder"):
        export(Classifier(["a", "b"], backbone=load(str(tiny_clip)), cache=False), tmp_path / "graph")
    with pytest.raises(UserError, match="is there already"):
        export(clf, tmp_path)
