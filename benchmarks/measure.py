"""What the benchmarks share: a data set as evidence, and how two methods are compared on the same texts."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, fields, is_dataclass, replace
from multiprocessing import get_context
from time import perf_counter
from typing import Any

import numpy as np
import numpy.typing as npt
import sets

from rung.evaluation import interval
from rung.evidence import Evidence
from rung.evidence.cache import Cache
from rung.evidence.embedding import embed_texts, label_evidence
from rung.inference.second_opinion import second_opinion
from rung.labels import Labels

Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.intp]
Flags = npt.NDArray[np.bool_]

BOOTSTRAPS = 10_000
BINS = 15  # of confidence, equally wide


@dataclass(frozen=True)
class Task:
    """A split as arrays: what a backbone says of its texts and labels, and the place of each text's true label."""

    name: str
    evidence: Evidence
    truth: Indices

    def part(self, rows: Indices) -> Task:
        """Some of the texts."""
        return replace(self, evidence=self.evidence.part(rows), truth=self.truth[rows])


def task(
    name: str, backbone: str = "minilm", part: str = "test", *, labels: Labels | None = None, most: int | None = None
) -> Task:
    """A split read and embedded, or `most` of its texts; `labels` put the same labels, by their names, in other words."""
    given, model = sets.read(name, part), sets.loaded(backbone)
    worded = labels or given.labels
    assert worded.names == given.labels.names
    evidence = label_evidence(worded, model, cache=Cache())
    drawn = np.sort(np.random.default_rng(0).permutation(len(given.texts))[:most])
    texts = [given.texts[i] for i in drawn]
    evidence = evidence.of_texts(*embed_texts(texts, model, cache=Cache()))
    second = second_opinion(worded, texts, model)  # as a Classifier would ask for it
    return Task(name, replace(evidence, second=second), places(given)[drawn])


def places(given: sets.TestSet) -> Indices:
    """The place (n,) of each text's true label among `labels.names`."""
    place = {label: i for i, label in enumerate(given.labels.names)}
    return np.array([place[label] for label in given.truth])


def parser(script: str | None) -> argparse.ArgumentParser:
    """The sets to measure: all of them, or those after --sets, which are then shown and not written."""
    found = argparse.ArgumentParser(description=script)
    found.add_argument("--sets", nargs="+", choices=sets.ENGLISH, default=sets.ENGLISH, help="only these, as a trial")
    return found


def arguments(script: str | None) -> argparse.Namespace:
    """What `parser` says, and how many texts of the train files to read."""
    asked = parser(script)
    asked.add_argument("--train", type=int, help="at most so many texts of each train file (default: all)")
    return asked.parse_args()


def finish(name: str, chosen: list[str], result: dict[str, Any], peers: Sequence[str] = ()) -> None:
    """Write a result on all sets, with the versions of the `peers` it needed; show one on some of them."""
    if chosen == sets.ENGLISH:
        sets.write(name, result, peers)
    else:
        print(json.dumps(result, indent=1, ensure_ascii=False))


def accuracy(right: Flags) -> dict[str, Any]:
    """Share of right answers (n,) in %, with its 95 % Wilson interval."""
    low, high = interval(int(right.sum()), len(right))
    bounds = [round(100 * low, 1), round(100 * high, 1)]
    return {"texts": len(right), "right": int(right.sum()), "accuracy": percent(right.mean()), "interval": bounds}


def gain(right: Flags, before: Flags) -> dict[str, Any]:
    """By how many points `right` (n,) is better than `before` (n,), with a paired bootstrap over texts (95 %)."""
    changes = np.array([counted(right, before)])
    mean, bounds = difference(changes)
    return {"gain": mean, "gain_interval": bounds}


def counted(right: Flags, before: Flags) -> tuple[int, int, int]:
    """How many texts were lost, kept as they were, and won."""
    lost, won = int((before & ~right).sum()), int((right & ~before).sum())
    return lost, len(right) - lost - won, won


def difference(changes: Indices, seed: int = 0) -> tuple[float, list[float]]:
    """Mean difference in points and its 95 % interval from `counted` of each draw (m, 3).

    Draws are drawn anew, then the texts of each: resampling n texts is drawing their three counts from a multinomial.
    """
    rng = np.random.default_rng(seed)
    chosen = rng.integers(0, len(changes), (BOOTSTRAPS, len(changes)))
    totals = changes.sum(axis=1)
    again = rng.multinomial(totals[chosen], (changes / totals[:, None])[chosen])
    means = ((again[..., 2] - again[..., 0]) / totals[chosen]).mean(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    return percent(((changes[:, 2] - changes[:, 0]) / totals).mean()), [percent(low), percent(high)]


def mean_of_sets(right: Sequence[Sequence[tuple[int, int]]], seed: int = 0) -> dict[str, Any]:
    """Mean accuracy over sets and its 95 % interval, from (right answers, texts) of each draw of each set.

    The sets stay as they are: what is drawn anew are each set's draws, where it has several, and their texts.
    """
    rng = np.random.default_rng(seed)
    means, again = [], []
    for draws in map(np.array, right):
        hits, totals = draws[rng.integers(0, len(draws), (BOOTSTRAPS, len(draws)))].transpose(2, 0, 1)
        again.append((rng.binomial(totals, hits / totals) / totals).mean(axis=1))
        means.append((draws[:, 0] / draws[:, 1]).mean())
    low, high = np.quantile(np.mean(again, axis=0), [0.025, 0.975])
    return {"mean": percent(np.mean(means)), "interval": [percent(low), percent(high)]}


def calibration_error(log_posterior: Floats, truth: Indices) -> float:
    """Expected calibration error in points: |confidence − accuracy| over 15 bins, weighted by their texts."""
    sure, right = np.exp(log_posterior.max(axis=1)), log_posterior.argmax(axis=1) == truth
    bins = np.minimum((sure * BINS).astype(int), BINS - 1)
    gaps = np.bincount(bins, sure - right, BINS)
    return percent(np.abs(gaps).sum() / len(truth))


def percent(share: Any) -> float:
    """A share as points, to one digit."""
    return round(100 * float(share), 1)


def settings(rung: Any) -> dict[str, Any]:
    """A rung's name and the constants that it was made with."""
    made = {each.name: getattr(rung, each.name) for each in fields(rung) if each.init}
    return {"rung": type(rung).__name__.lower()} | {
        name: settings(value) if is_dataclass(value) else value for name, value in made.items()
    }


def timed(call: Callable[[], Any]) -> tuple[Any, float]:
    """What a call returns, and its seconds, to two digits."""
    found, seconds = timed_exactly(call)
    return found, round(seconds, 2)


def timed_exactly(call: Callable[[], Any]) -> tuple[Any, float]:
    """What a call returns, and its seconds."""
    start = perf_counter()
    found = call()
    return found, perf_counter() - start


def in_two(function: Callable[[Any], Any], jobs: Sequence[Any]) -> Iterable[Any]:
    """The jobs' answers in their order, from two processes of one thread each."""
    os.environ["OMP_NUM_THREADS"] = "1"  # read by the children, which start afresh
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as workers:
        yield from workers.map(function, jobs)
