"""Three tasks over one MiniLM, a head each, beside the same settings on each task alone.

Writes results/multitask.json, and the curves of the last run with fixed weights as multitask.svg. sst2, trec and
tweeteval_emotion: `--train` texts of each train file and `--test` of each test file, drawn at random. Accuracy together and
alone, and their difference, with 95 % intervals (paired bootstrap over texts), for both ways to weigh the tasks.
The goal: each task within one point of its single-task run, or better.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import sets

from rung.training.training_log import CURVES
from rung.training.tuning.multitask import multitask

SETS = ("sst2", "trec", "tweeteval_emotion")
WEIGHTINGS = ("fixed", "uncertainty")
HOW: dict[str, Any] = {"epochs": 2, "batch": 16, "temperature": 2.0}


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--train", type=int, default=600, help="texts of each task (default: %(default)s)")
    asked.add_argument("--test", type=int, default=400, help="texts of each task (default: %(default)s)")
    asked.add_argument("--seeds", type=int, default=3, help="how many (default: %(default)s)")
    chosen = asked.parse_args()
    rows: list[dict[str, Any]] = []
    for weighting in WEIGHTINGS:
        for seed in range(chosen.seeds):
            rows += of_run(chosen, weighting, seed)
            print(*rows[-len(SETS) :], sep="\n", flush=True)
    sets.write("multitask", {"backbone": "minilm", "settings": HOW | vars(chosen), "rows": rows}, ["accelerate"])


def of_run(chosen: argparse.Namespace, weighting: str, seed: int) -> list[dict[str, Any]]:
    """All tasks together and each alone."""
    tasks = {name: some(name, "train", chosen.train, seed) for name in SETS}
    test = {name: some(name, "test", chosen.test, 0) for name in SETS}
    how: dict[str, Any] = HOW | {"weighting": weighting, "seed": seed, "test": test}
    with TemporaryDirectory() as folder:
        made = multitask(sets.loaded("minilm"), tasks, out=Path(folder) / "out", **how)
        if weighting == "fixed":
            shutil.copy(Path(folder) / "out" / CURVES, sets.RESULTS / "multitask.svg")
    return [{"weighting": weighting, "seed": seed, **line} for line in made.report_]


def some(name: str, part: str, most: int, seed: int) -> tuple[list[str], list[str]]:
    """Texts of a split with their labels, drawn at random."""
    given = sets.read(name, part)
    drawn = np.sort(np.random.default_rng(seed).permutation(len(given.texts))[:most])
    return [given.texts[i] for i in drawn], [given.truth[i] for i in drawn]


if __name__ == "__main__":
    main()
