"""What mixing two backbones gives, and what a shortlist costs.

Writes results/mixing.json: on each of the eight sets (at most 3000 texts of the test split), the rungs `names` and `pool` with the
prior of one backbone (what the labels mean) and the geometry of another (where the texts lie), beside each backbone alone; and what
the names rung of MiniLM loses where only the labels that the built-in model leaves in the running are scored, as `shortlist` does
for entailment models: the share of texts whose true label stays, and the accuracy.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import Any

import measure
import numpy as np

from rung.evidence import Evidence
from rung.inference.label_scoring import UNSCORED_GAP, shortlist_mask
from rung.rungs.names import Names
from rung.rungs.pool import Pool

MOST = 3000
BACKBONES = ("minilm", "builtin")
MEAN = "the mean of both"  # of their log posteriors
SHORTLISTS = (1, 2, 3, 5, 10, 20)


def main() -> None:
    chosen = measure.arguments(__doc__).sets
    found = list(measure.in_two(of_set, chosen))
    rows = [row for mixed, _ in found for row in mixed]
    shortlists = [row for _, cut in found for row in cut]
    for mean in (means := [mean_of(rows, *way) for way in ways()]):
        print(mean)
    result = {
        "part": "test",
        "most_texts": MOST,
        "rungs": [measure.settings(Names()), measure.settings(Pool())],
        "means": means,
        "rows": rows,
        "shortlist": {"scores": "minilm", "leaves_in": "builtin"},
        "shortlists": shortlists,
        "shortlist_means": [shortlist_mean(shortlists, count) for count in SHORTLISTS],
    }
    measure.finish("mixing", chosen, result)


def ways() -> list[tuple[str, str]]:
    """Whose prior meets whose geometry."""
    return [*product(BACKBONES, BACKBONES), (MEAN, "minilm")]


def of_set(name: str) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Both rungs for every mixture, and every shortlist, on one set."""
    tasks = {backbone: measure.task(name, backbone, most=MOST) for backbone in BACKBONES}
    priors = {backbone: Names().log_posterior(task.evidence) for backbone, task in tasks.items()}
    priors[MEAN] = np.mean(list(priors.values()), axis=0)
    truth = tasks["minilm"].truth
    rows = []
    for prior, geometry in ways():
        evidence = mixed(tasks[geometry].evidence, None if prior == geometry else priors[prior])
        head = {"set": name, "prior": prior, "geometry": geometry}
        for rung, posterior in (
            ("names", Names().log_posterior(evidence)),
            ("pool", Pool().fit(evidence).log_posterior(evidence)),
        ):
            rows.append(head | {"rung": rung, **measure.accuracy(posterior.argmax(axis=1) == truth)})
    return rows, [shortlisted(name, priors, truth, count) for count in SHORTLISTS]


def mixed(evidence: Evidence, prior: measure.Floats | None) -> Evidence:
    """The evidence of one backbone with the prior of another, as a Classifier with `geometry` has it; None: its own."""
    return evidence if prior is None else replace(evidence, scores=prior.astype(np.float32), second=None)


def shortlisted(name: str, priors: dict[str, measure.Floats], truth: measure.Indices, count: int) -> dict[str, Any]:
    """MiniLM's names where only the `count` likeliest labels of the built-in model are scored; the others follow the last."""
    kept = shortlist_mask(priors["builtin"], count)
    whole = priors["minilm"]
    least = np.where(kept, whole, np.inf).min(axis=1, keepdims=True)
    cut = np.where(kept, whole, least - UNSCORED_GAP)
    head = {"set": name, "labels": whole.shape[1], "shortlist": count}
    head |= {"kept": measure.percent(kept[np.arange(len(truth)), truth].mean())}
    right, before = cut.argmax(axis=1) == truth, whole.argmax(axis=1) == truth
    return head | measure.accuracy(right) | measure.gain(right, before)


def mean_of(rows: list[dict[str, Any]], prior: str, geometry: str) -> dict[str, Any]:
    """The means over the sets of both rungs of a mixture."""
    own = [row for row in rows if (row["prior"], row["geometry"]) == (prior, geometry)]
    right = {rung: [[(row["right"], row["texts"])] for row in own if row["rung"] == rung] for rung in ("names", "pool")}
    return {"prior": prior, "geometry": geometry} | {rung: measure.mean_of_sets(each) for rung, each in right.items()}


def shortlist_mean(rows: list[dict[str, Any]], count: int) -> dict[str, Any]:
    """The means over the sets with more labels than a shortlist of `count` leaves in."""
    own = [row for row in rows if row["shortlist"] == count and row["labels"] > count]
    if not own:
        return {"shortlist": count, "sets": 0}
    means = {key: round(float(np.mean([row[key] for row in own])), 1) for key in ("kept", "accuracy", "gain")}
    return {"shortlist": count, "sets": len(own), **means}


if __name__ == "__main__":
    main()
