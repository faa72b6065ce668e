"""The data sets that the benchmarks read, and how a result is written down."""

from __future__ import annotations

import csv
import json
import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rung import load
from rung.evaluation import interval
from rung.evidence import Backbone
from rung.labels import Label, Labels

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results"
DATA = HERE.parents[1] / "shared" / "data"

ENGLISH = ["ag_news", "sst2", "banking77", "clinc150", "trec", "tweeteval_emotion", "tweeteval_hate", "sms_spam"]
OUT_OF_SCOPE = "out of scope"  # clinc150's texts that fit no label; left out where labels are counted


@dataclass(frozen=True)
class TestSet:
    """One split of a data set: texts, their true labels, and the labels with their descriptions."""

    name: str
    part: str
    texts: list[str]
    truth: list[str]
    labels: Labels


def loaded(name: str) -> Backbone:
    """A backbone in float32, an encoder through PyTorch: the rungs' figures must not hang on what is fastest on a machine."""
    return load(name) if name == "builtin" else load(name, engine="torch", precision="float32")


def read(name: str, part: str = "test", *, in_scope: bool = True) -> TestSet:
    """One split, in the order of its file."""
    rows = _rows(DATA / name / f"{part}.csv")
    labels = [Label(row["name"], row["description"]) for row in _rows(DATA / name / "labels.csv")]
    if in_scope:
        rows = [row for row in rows if row["label"] != OUT_OF_SCOPE]
        labels = [label for label in labels if label.name != OUT_OF_SCOPE]
    return TestSet(name, part, [row["text"] for row in rows], [row["label"] for row in rows], Labels.of(labels))


def _rows(file: Path) -> list[dict[str, str]]:
    with file.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def accuracy(given: TestSet, predicted: list[str]) -> dict[str, Any]:
    """Share of right answers in %, its 95 % interval, and the number of texts."""
    right = sum(a == b for a, b in zip(given.truth, predicted, strict=True))
    low, high = interval(right, len(given.truth))
    return {
        "set": given.name,
        "part": given.part,
        "labels": len(given.labels),
        "texts": len(given.texts),
        "accuracy": round(100 * right / len(given.texts), 1),
        "interval": [round(100 * low, 1), round(100 * high, 1)],
    }


def write(name: str, result: dict[str, Any], peers: Sequence[str] = ()) -> None:
    """Write a result beside the script that made it, with what it was made on; `peers` are packages that only it needed."""
    packages = (
        "rung",
        "numpy",
        "scipy",
        "scikit-learn",
        "tokenizers",
        "torch",
        "transformers",
        "sentence-transformers",
        *peers,
    )
    made_on: dict[str, Any] = {"python": platform.python_version(), "machine": platform.machine()}
    made_on["threads"] = os.environ.get("OMP_NUM_THREADS", "all")
    made_on |= {"cores": os.cpu_count(), "load": round(os.getloadavg()[1], 1)}  # above the cores, seconds are too many
    made_on |= {package: version(package) for package in packages}
    file = RESULTS / f"{name}.json"
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps({"made_on": made_on, **result}, indent=1, ensure_ascii=False) + "\n", "utf-8")
    print(f"wrote {file.relative_to(HERE.parent)}")
