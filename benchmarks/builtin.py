"""The built-in model beside its teacher: zero-label accuracy, how alike the two are, size and speed. One run.

Writes results/builtin.json, and the built-in model's numbers into the record that ships with it.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np
import sets

from rung import Classifier, load
from rung.backbones.static import BUILTIN, StaticBackbone
from rung.evidence import Backbone

MEASURED = ["ag_news", "clinc150", "banking77", "sst2", "trec", "tweeteval_emotion", "sms_spam"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=sets.DATA, help="folder of the data sets (default: %(default)s)")
    sets.DATA = parser.parse_args().data
    given = [sets.read(name) for name in MEASURED]
    rows = [measure(load(name), each) for each in given for name in ("builtin", "minilm")]
    for row in rows:
        print("{backbone:8} {set:18} {accuracy:5} {interval}".format(**row))
    result = {"rung": "names", "rows": rows, "size_bytes": size(), "speed": speed(given[0].texts)}
    sets.write("builtin", result)
    remember(result)


def measure(backbone: Backbone, given: sets.TestSet) -> dict[str, Any]:
    """Accuracy of the answers from label names and descriptions alone: the one place that says which rule is measured."""
    answers = Classifier(given.labels, backbone=backbone).predict(given.texts)
    return {"backbone": backbone.name, **sets.accuracy(given, answers.tolist())}


def size() -> int:
    """Bytes of the files that the model is read from."""
    return sum((BUILTIN / file).stat().st_size for file in StaticBackbone.files)


def speed(texts: list[str]) -> dict[str, Any]:
    """Texts a second, median of five, each with a backbone that has not met these texts' words."""
    seconds = []
    for _ in range(5):
        backbone = StaticBackbone.open(BUILTIN, "builtin")
        backbone.embed(["loads the weights"])
        start = perf_counter()
        rows = backbone.embed(texts)
        seconds.append(perf_counter() - start)
        assert np.isfinite(rows).all()
    return {"set": "ag_news", "texts": len(texts), "texts_per_s": round(len(texts) / median(seconds)), "runs": 5}


def remember(result: dict[str, Any]) -> None:
    """Put the built-in model's accuracy into its record."""
    file = BUILTIN / "record.json"
    record = json.loads(file.read_text("utf-8"))
    own = [row for row in result["rows"] if row["backbone"] == "builtin"]
    record["measured"] = {row["set"]: {"accuracy": row["accuracy"], "interval": row["interval"]} for row in own}
    file.write_text(json.dumps(record, indent=2) + "\n", "utf-8")


if __name__ == "__main__":
    main()
