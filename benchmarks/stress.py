"""What happens to the pool rung where the texts are not as it would like them: skewed, half of the labels absent, few.

Writes results/stress.json: ten draws of each kind on each of the eight sets (test split, MiniLM), the pool fitted on the draw and
answering it, beside the names rung on the same texts; every draw in which the pool was worse, with what its guard saw.
"""

from __future__ import annotations

from statistics import fmean
from typing import Any

import measure
import numpy as np

from rung.rungs.names import Names
from rung.rungs.pool import Pool

DRAWS = 10
MOST = 3000  # texts of a draw
KINDS = {
    "full": f"all texts, at most {MOST}",
    "zipf": "labels in random order, the r-th keeps 1/r of its texts, at least one",
    "half absent": "only half of the labels, drawn at random, occur (one of two)",
    "200": "200 texts",
    "50": "50 texts",
    "20": "20 texts",
}


def main() -> None:
    chosen = measure.arguments(__doc__).sets
    jobs = [(measure.task(name), kind) for name in chosen for kind in KINDS]
    draws = [row for rows in measure.in_two(of_kind, jobs) for row in rows]
    for row in (columns := [column(kind, draws) for kind in KINDS]):
        print(row)
    harms = sorted((row for row in draws if row["gain"] < 0), key=lambda row: row["gain"])
    for row in draws:
        if row["gain"] >= 0:
            del row["guard"]
    head = {
        "backbone": "minilm",
        "part": "test",
        "rung": measure.settings(Pool()),
        "kinds": KINDS,
        "seeds": f"0 to {DRAWS - 1}",
    }
    measure.finish("stress", chosen, {**head, "columns": columns, "harms": len(harms), "draws": draws})


def of_kind(job: tuple[measure.Task, str]) -> list[dict[str, Any]]:
    """Ten draws of one kind from one set."""
    task, kind = job
    found = []
    for seed in range(1 if kind == "full" and len(task.truth) <= MOST else DRAWS):
        part = task.part(draw(task.truth, kind, np.random.default_rng(seed)))
        pool = Pool().fit(part.evidence)
        right = [rung.log_posterior(part.evidence).argmax(axis=1) == part.truth for rung in (Names(), pool)]
        names, pooled = (100 * float(each.mean()) for each in right)
        scores = {"names": round(names, 2), "pool": round(pooled, 2), "gain": round(pooled - names, 2)}
        found.append(
            {"set": task.name, "kind": kind, "seed": seed, "texts": len(part.truth), **scores, "guard": pool.guard_}
        )
    return found


def draw(truth: measure.Indices, kind: str, rng: np.random.Generator) -> measure.Indices:
    """The texts of one draw."""
    order = rng.permutation(len(truth))
    labels = rng.permutation(np.unique(truth))
    if kind == "zipf":
        own = (order[truth[order] == label] for label in labels)
        order = np.concatenate([texts[: max(1, round(len(texts) / rank))] for rank, texts in enumerate(own, start=1)])
        order = rng.permutation(order)
    elif kind == "half absent":
        order = order[np.isin(truth[order], labels[: len(labels) // 2])]
    return np.sort(order[: int(kind) if kind.isdigit() else MOST])


def column(kind: str, draws: list[dict[str, Any]]) -> dict[str, Any]:
    """Means over the sets, and the worst draw, of one kind."""
    rows = [row for row in draws if row["kind"] == kind]
    names = dict.fromkeys(row["set"] for row in rows)
    means = {
        key: fmean(fmean(r[key] for r in rows if r["set"] == n) for n in names) for key in ("names", "pool", "gain")
    }
    worst = min(rows, key=lambda row: row["gain"])
    harmed = sum(row["gain"] < 0 for row in rows)
    found = {
        "kind": kind,
        **{key: round(value, 1) for key, value in means.items()},
        "draws": len(rows),
        "harmed": harmed,
    }
    return found | {"worst": worst["gain"], "worst_set": worst["set"], "worst_seed": worst["seed"]}


if __name__ == "__main__":
    main()
