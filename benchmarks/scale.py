"""Whether the pool rung holds up where texts or labels are many.

Writes results/scale.json: seconds of fit and predict for 100 000 texts with 10 labels, for 10 000 and 20 000 with 1 000; and
of the names rung for 10 000 texts with 10 000 labels. Each is a process of its own, so that its peak memory is its own.
The texts are test texts' embeddings (MiniLM), drawn again and jittered; the labels are clinc150's domains, or embeddings of texts.
"""

from __future__ import annotations

import resource
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from typing import Any

import measure
import numpy as np
import sets

from rung.evidence import Array, Evidence, unit
from rung.evidence.cache import Cache
from rung.evidence.embedding import label_evidence
from rung.labels import Label, Labels
from rung.rungs.names import Names
from rung.rungs.pool import Pool

JITTER = 0.02  # standard deviation of what is added to each coordinate of a unit row


SHAPES = [(100_000, 10), (10_000, 1_000), (20_000, 1_000), (10_000, 10_000)]
MOST_LABELS = 1_000  # of the pool rung


def main() -> None:
    with ProcessPoolExecutor(1, mp_context=get_context("spawn"), max_tasks_per_child=1) as fresh:
        rows = list(fresh.map(of_shape, SHAPES))
    head = {"backbone": "minilm", "rung": measure.settings(Pool()), "seed": 0, "jitter": JITTER}
    sets.write("scale", {**head, "rows": rows})


def of_shape(shape: tuple[int, int]) -> dict[str, Any]:
    """So many texts with so many labels: clinc150's domains where they are 10, else embeddings of texts."""
    size, count = shape
    rng = np.random.default_rng(0)
    known = np.concatenate([measure.task(name).evidence.features for name in sets.ENGLISH])
    labels = domains()
    if count != len(labels.anchors):
        labels = replace(labels, anchors=again(known, count, rng))
    return run(again(known, size, rng), labels)


def again(features: Array, size: int, rng: np.random.Generator) -> Array:
    """`size` unit rows near those of `features`, each drawn at random."""
    drawn = features[rng.integers(0, len(features), size)]
    return unit(drawn + JITTER * rng.standard_normal(drawn.shape, dtype=np.float32))


def domains() -> Evidence:
    names = dict.fromkeys(label.description.removeprefix("domain: ") for label in sets.read("clinc150").labels)
    return label_evidence(Labels.of([Label(name) for name in names]), sets.loaded("minilm"), cache=Cache())


def run(features: Array, labels: Evidence) -> dict[str, Any]:
    evidence = labels.of_texts(features, [None] * len(features))
    row = {"texts": len(features), "dimensions": features.shape[1], "labels": len(labels.anchors)}
    _, row["names_predict_s"] = measure.timed(lambda: Names().log_posterior(evidence))
    row["names_peak_mib"] = peak()
    if row["labels"] <= MOST_LABELS:
        pool, row["fit_s"] = measure.timed(lambda: Pool().fit(evidence))
        _, row["predict_s"] = measure.timed(lambda: pool.log_posterior(evidence))
        row |= {"peak_mib": peak(), "guard": pool.guard_}
    print(row, flush=True)
    return row


def peak() -> int:
    """MiB that this process held at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


if __name__ == "__main__":
    main()
