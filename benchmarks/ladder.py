"""What label names, and then the unlabelled texts, are worth on each of the eight sets; and what peers make of the same arrays.

Writes results/ladder.json: accuracy with its interval of the rungs `names` and `pool` with both backbones, the gain of the
second over the first on the same texts, calibration error, seconds, what the guard saw; `pool` also fitted on the train file
without its labels (`fitted_on`); sst2 also with the ready-made labels; and the peers, on MiniLM's embeddings.
"""

from __future__ import annotations

from functools import partial
from statistics import median
from typing import Any

import measure
import peers
import sets

from rung.evidence.cache import Cache
from rung.evidence.embedding import embed
from rung.labels import read_labels
from rung.rungs.names import Names
from rung.rungs.pool import Pool

READY_MADE = {"sst2": "sentiment-en"}  # it has the set's own two label names


def main() -> None:
    asked = measure.arguments(__doc__)
    chosen = asked.sets
    rows: list[dict[str, Any]] = []
    for backbone in ("minilm", "builtin"):
        for name in chosen:
            rows += of_set(name, backbone, asked.train)
            if name in READY_MADE:
                rows += of_set(name, backbone, asked.train, READY_MADE[name])
    ways = dict.fromkeys((row["backbone"], row["rung"], row["fitted_on"]) for row in rows)
    result = {
        "rungs": [measure.settings(Names()), measure.settings(Pool())],
        "seeds": "0 for the texts that a bounded train file is fitted on; nothing else is random",
        "means": [mean_of(rows, *way) for way in ways],
        "rows": rows,
        "what_peers_are": peers.ZERO_LABELS,
        "peers": [row for name in chosen for row in of_peers(name)],
    }
    measure.finish("ladder", chosen, result)


def of_set(name: str, backbone: str, most: int | None, ready_made: str | None = None) -> list[dict[str, Any]]:
    """The rungs on one set, its labels as in labels.csv or as in a ready-made set."""
    labels = read_labels(ready_made) if ready_made else None
    test = measure.task(name, backbone, labels=labels)
    train = measure.task(name, backbone, "train", labels=labels, most=most)
    head = {
        "backbone": backbone,
        "set": name,
        "wording": ready_made or "labels.csv",
        "labels": len(test.evidence.anchors),
    }
    below = Names().log_posterior(test.evidence)
    found = [head | {"rung": "names", "fitted_on": None} | answers(below, test)]
    for part, fitted_on in (("test", test), ("train", train)):
        pool, fit_s = measure.timed(partial(Pool().fit, fitted_on.evidence))
        posterior, predict_s = measure.timed(partial(pool.log_posterior, test.evidence))
        how = {
            "rung": "pool",
            "fitted_on": part,
            "fitted_texts": len(fitted_on.truth),
            "fit_s": fit_s,
            "predict_s": predict_s,
        }
        found.append(head | how | answers(posterior, test) | compared(posterior, below, test) | {"guard": pool.guard_})
    for row in found:
        print(
            *(row[key] for key in ("backbone", "set", "wording", "rung", "fitted_on", "accuracy", "interval")),
            flush=True,
        )
    return found


def mean_of(rows: list[dict[str, Any]], backbone: str, rung: str, fitted_on: str | None) -> dict[str, Any]:
    """The mean over the sets of one rung with one backbone, labels worded as in labels.csv."""
    way = {"backbone": backbone, "rung": rung, "fitted_on": fitted_on}
    own = [row for row in rows if way.items() <= row.items() and row["wording"] == "labels.csv"]
    seconds = {"fit_s": round(median(row["fit_s"] for row in own), 1)} if fitted_on else {}
    return way | {"sets": len(own), **measure.mean_of_sets([[(row["right"], row["texts"])] for row in own]), **seconds}


def answers(posterior: measure.Floats, on: measure.Task) -> dict[str, Any]:
    right = posterior.argmax(axis=1) == on.truth
    return {**measure.accuracy(right), "calibration_error": measure.calibration_error(posterior, on.truth)}


def compared(posterior: measure.Floats, below: measure.Floats, on: measure.Task) -> dict[str, Any]:
    return measure.gain(posterior.argmax(axis=1) == on.truth, below.argmax(axis=1) == on.truth)


def of_peers(name: str) -> list[dict[str, Any]]:
    """The peers on one set, each beside the pool rung on the same texts."""
    test = measure.task(name)
    bare = embed(sets.read(name).labels.names, sets.loaded("minilm"), "label", cache=Cache())
    pool = Pool().fit(test.evidence).log_posterior(test.evidence).argmax(axis=1) == test.truth
    found = []
    for peer, answer in peers.zero_labels(test.evidence, Names().log_posterior(test.evidence), bare).items():
        right = answer == test.truth
        found.append({"backbone": "minilm", "set": name, "peer": peer, **measure.accuracy(right)})
        found[-1] |= {f"pool_{key}": value for key, value in measure.gain(pool, right).items()}
        print(name, peer, found[-1]["accuracy"], "pool", found[-1]["pool_gain"], found[-1]["pool_gain_interval"])
    return found


if __name__ == "__main__":
    main()
