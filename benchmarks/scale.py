"""Whether the pool rung holds up where texts or labels are many.

Writes results/scale.json: seconds of fit and predict for 100 000 texts with 10 labels, and for 20 000 texts with 1 000 labels.
The texts are test texts' embeddings (MiniLM), drawn again and jittered; the labels are clinc150's domains, or embeddings of texts.
"""

from __future__ import annotations

import resource
from dataclasses import replace
from typing import Any

import measure
import numpy as np
import sets

from rung.cache import Cache
from rung.evidence import Array, Evidence, about_labels, unit
from rung.labels import Label, Labels
from rung.rungs.names import Names
from rung.rungs.pool import Pool

JITTER = 0.02  # standard deviation of what is added to each coordinate of a unit row


def main() -> None:
    rng = np.random.default_rng(0)
    known = np.concatenate([measure.task(name).evidence.features for name in sets.ENGLISH])
    named = domains()
    rows = [
        run(again(known, 100_000, rng), named),
        run(again(known, 20_000, rng), replace(named, anchors=again(known, 1_000, rng))),
    ]
    head = {
        "backbone": "minilm",
        "rung": measure.settings(Pool()),
        "seed": 0,
        "jitter": JITTER,
    }
    sets.write("scale", {**head, "rows": rows})


def again(features: Array, size: int, rng: np.random.Generator) -> Array:
    """`size` unit rows near those of `features`, each drawn at random."""
    drawn = features[rng.integers(0, len(features), size)]
    return unit(drawn + JITTER * rng.standard_normal(drawn.shape, dtype=np.float32))


def domains() -> Evidence:
    names = dict.fromkeys(label.description.removeprefix("domain: ") for label in sets.read("clinc150").labels)
    return about_labels(Labels.of([Label(name) for name in names]), sets.loaded("minilm"), cache=Cache())


def run(features: Array, labels: Evidence) -> dict[str, Any]:
    evidence = labels.of_texts(features, [None] * len(features))
    pool, fit_s = measure.timed(lambda: Pool().fit(evidence))
    _, predict_s = measure.timed(lambda: pool.log_posterior(evidence))
    _, names_s = measure.timed(lambda: Names().log_posterior(evidence))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024  # of the process so far; the first row is its own
    shape = {"texts": len(features), "dimensions": features.shape[1], "labels": len(labels.anchors)}
    row = {
        **shape,
        "fit_s": fit_s,
        "predict_s": predict_s,
        "names_predict_s": names_s,
        "peak_mib": peak,
        "guard": pool.guard_,
    }
    print(row)
    return row


if __name__ == "__main__":
    main()
