"""What an export loses and how fast it runs: MiniLM in ONNX and OpenVINO, float32 and int8, beside PyTorch through rung.

Writes results/export.json. The classifier is the pool rung fitted on 2 000 texts of the train split, exported with 4 000 more
of them; scored on the first texts of the test split. Speed is the median of three rounds in which all take turns, each from
texts to labels.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import measure
import sets

from rung import Classifier
from rung.training.exporting.export import export
from rung.training.exporting.graphs import ExportedGraph

SETS = ("ag_news", "banking77")
FITTED, LEARNED, UNSEEN, ROUNDS = 2000, 4000, 500, 3
WAYS: list[tuple[Any, Any]] = [("onnx", "float32"), ("onnx", "int8"), ("openvino", "float32"), ("openvino", "int8")]


def main() -> None:
    chosen = measure.arguments(__doc__).sets
    rows = [row for name in SETS if name in chosen for row in of_set(name)]
    if chosen == sets.ENGLISH:
        sets.write(
            "export",
            {"backbone": "minilm", "rung": "pool", "fitted": FITTED, "rows": rows},
            ["onnxruntime", "openvino"],
        )


def of_set(name: str) -> list[dict[str, Any]]:
    """All ways on one set."""
    train, test = sets.read(name, "train"), sets.read(name)
    body = sets.loaded("minilm")
    clf = Classifier(test.labels, backbone=body).fit(train.texts[:FITTED])
    texts, truth = test.texts[:UNSEEN], measure.places(test)[:UNSEEN]
    own = clf.predict_proba(texts).argmax(axis=1)
    rows = [{"set": name, "way": "PyTorch through rung", **measure.accuracy(own == truth)}]
    alone = Classifier(test.labels, backbone=body, cache=False)
    calls: list[Callable[[], Any]] = [lambda: alone.predict(texts)]
    with tempfile.TemporaryDirectory() as folder:
        for to, precision in WAYS:
            out = Path(folder) / f"{to}-{precision}"
            made = export(
                clf, out, to=to, precision=precision, texts=train.texts[FITTED : FITTED + LEARNED], most_flips=1.0
            )
            graph = ExportedGraph.open(out)
            said = graph.run(texts)[1].argmax(axis=1)
            row = {"set": name, "way": f"{to} {precision}", **measure.accuracy(said == truth)}
            row |= {"kept": measure.percent((said == own).mean()), "cosine": made.results["cosine"]}
            rows.append(row | {"mib": round(sum(each.stat().st_size for each in out.iterdir()) / 2**20)})
            calls.append(lambda graph=graph: graph.run(texts))
        speeds: list[list[float]] = [[] for _ in calls]
        for _ in range(ROUNDS):
            for call, each in zip(calls, speeds, strict=True):
                each.append(len(texts) / measure.timed(call)[1])
    for row, each in zip(rows, speeds, strict=True):
        row["texts_per_s"] = round(median(each), 1)
        print(row, flush=True)
    return rows


if __name__ == "__main__":
    main()
