"""What label names, and then the unlabelled texts, are worth on each of the eight sets; and what peers make of the same arrays.

Writes results/ladder.json: accuracy with its interval of the rungs `names` and `pool` with both backbones, the gain of the
second over the first on the same texts, calibration error, seconds, what the guard saw; `pool` also fitted on the train file
without its labels (`fitted_on`); sst2 also with the ready-made labels; and the peers, on MiniLM's embeddings.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import measure
import peers
import sets

from rung import load
from rung.cache import Cache
from rung.evidence import embed
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
    compared = [row for name in chosen for row in of_peers(name)]
    result = {
        "rungs": [measure.settings(Names()), measure.settings(Pool())],
        "seeds": "none: nothing is random",
        "rows": rows,
    }
    measure.finish("ladder", chosen, {**result, "peers": compared, "what_peers_are": peers.ZERO_LABELS})


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
    found = [head | {"rung": "names"} | answers(below, test)]
    for fitted_on in (test, train):
        pool, fit_s = measure.timed(partial(Pool().fit, fitted_on.evidence))
        posterior, predict_s = measure.timed(partial(pool.log_posterior, test.evidence))
        seconds = {"fit_s": fit_s, "predict_s": predict_s}
        part = {
            "rung": "pool",
            "fitted_on": "train" if fitted_on is train else "test",
            "fitted_texts": len(fitted_on.truth),
        }
        found.append(
            head | part | answers(posterior, test) | compared(posterior, below, test) | seconds | {"guard": pool.guard_}
        )
    for row in found:
        print(backbone, name, head["wording"], row["rung"], row.get("fitted_on", ""), row["accuracy"], row["interval"])
    return found


def answers(posterior: measure.Floats, on: measure.Task) -> dict[str, Any]:
    right = posterior.argmax(axis=1) == on.truth
    return {**measure.accuracy(right), "calibration_error": measure.calibration_error(posterior, on.truth)}


def compared(posterior: measure.Floats, below: measure.Floats, on: measure.Task) -> dict[str, Any]:
    return measure.gain(posterior.argmax(axis=1) == on.truth, below.argmax(axis=1) == on.truth)


def of_peers(name: str) -> list[dict[str, Any]]:
    """The peers on one set, each beside the pool rung on the same texts."""
    test = measure.task(name)
    bare = embed(sets.read(name).labels.names, load("minilm"), "label", cache=Cache())
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
