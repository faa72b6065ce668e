"""What a few labels add: 1, 2, 4, 8 and 16 a label, and as many drawn at random, beside what else they could be given to.

Writes results/shots.json: draws of at most 3 000 test texts (MiniLM) of which some get their labels; accuracy on the others, of
the rung `shots` and of each baseline; `sets`: means over draws, with the paired difference to each baseline;
`columns`: means over the sets, beside the best baseline picked for each set with its test labels; `whole`: every text of the
train file labelled, scored on the test file, beside logistic regression.
"""

from __future__ import annotations

from statistics import fmean, median
from typing import Any

import measure
import numpy as np
import peers

from rung.rungs.names import Names
from rung.rungs.pool import Pool
from rung.rungs.shots import Shots

DRAWS = 5
MOST = 3000
PER_LABEL = (1, 2, 4, 8, 16)
BASELINES = {
    "names": "the rung of that name",
    "pool": "the rung of that name, fitted on all texts of the draw",
    "logistic regression": "LogisticRegression(C=10) on the labelled texts' embeddings",
    "class means": "the nearest mean of the labelled texts, by cosine",
    "label spreading": "LabelSpreading(kernel='knn', n_neighbors=10) on all texts of the draw",
}
HOW = {
    "balanced": "so many of each label, at most half of the label's texts in the draw",
    "random": "the same number in all, drawn from all texts",
}


def main() -> None:
    chosen = measure.arguments(__doc__).sets
    jobs = [(measure.task(name), seed) for seed in range(DRAWS) for name in chosen]
    whole = [of_whole(name) for name in chosen]
    draws: list[dict[str, Any]] = []
    for done, rows in enumerate(measure.in_two(of_draw, jobs), start=1):
        draws += rows
        if done % len(chosen) == 0:  # a draw of every set: what is known so far is written
            measure.finish("shots", chosen, summary(draws, done // len(chosen)) | {"whole": whole})


def summary(draws: list[dict[str, Any]], count: int) -> dict[str, Any]:
    cells = dict.fromkeys((row["set"], row["how"], row["per_label"]) for row in draws)
    in_sets = [of_cell([row for row in draws if (row["set"], row["how"], row["per_label"]) == cell]) for cell in cells]
    columns = [column(how, per_label, in_sets, draws) for how in HOW for per_label in PER_LABEL]
    for row in columns:
        print(row, flush=True)
    head = {"backbone": "minilm", "part": "test", "most_texts": MOST, "rung": measure.settings(Shots())}
    said = {"draws_per_cell": count, "seeds": f"0 to {count - 1}", "how": HOW, "baselines": BASELINES}
    kept = [{key: value for key, value in row.items() if key not in ("changes", "right")} for row in draws]
    return {
        **head,
        **said,
        "fit_s": "one thread, two draws at a time",
        "columns": columns,
        "sets": in_sets,
        "draws": kept,
    }


def of_draw(job: tuple[measure.Task, int]) -> list[dict[str, Any]]:
    """All numbers of labels on one draw of one set."""
    whole, seed = job
    rng = np.random.default_rng(seed)
    task = whole.part(np.sort(rng.permutation(len(whole.truth))[:MOST]))
    order = rng.permutation(len(task.truth))
    answers = {"names": Names(), "pool": Pool().fit(task.evidence)}
    fixed = {name: rung.log_posterior(task.evidence).argmax(axis=1) for name, rung in answers.items()}
    found = []
    for count in PER_LABEL:
        balanced = evenly(task.truth, order, count)
        for how, shots in (("balanced", balanced), ("random", order[: len(balanced)])):
            head = {"set": task.name, "how": how, "per_label": count, "seed": seed, "labelled": len(shots)}
            found.append(head | compare(task, shots, fixed))
    return found


def of_whole(name: str) -> dict[str, Any]:
    """Every text of the train file labelled, new texts answered."""
    train, test = measure.task(name, part="train"), measure.task(name)
    rung, seconds = measure.timed(lambda: Shots().fit(train.evidence, train.truth))
    own = rung.log_posterior(test.evidence).argmax(axis=1) == test.truth
    theirs = peers.logistic_regression(train.evidence.features, train.truth, test.evidence.features) == test.truth
    head = {"set": name, "labelled": len(train.truth), **measure.accuracy(own), "fit_s": seconds}
    row = head | {"logistic_regression": measure.accuracy(theirs)["accuracy"], **measure.gain(own, theirs)}
    print(row, flush=True)
    return row


def evenly(truth: measure.Indices, order: measure.Indices, count: int) -> measure.Indices:
    """`count` texts of each label, the first in `order`, but at most half of the label's."""
    own = (order[truth[order] == label] for label in np.unique(truth))
    return np.concatenate([texts[: min(count, max(1, len(texts) // 2))] for texts in own])


def compare(task: measure.Task, shots: measure.Indices, fixed: dict[str, measure.Indices]) -> dict[str, Any]:
    """Accuracy of the rung and of each baseline on the texts whose labels were not given."""
    known = np.full(len(task.truth), peers.NONE)
    known[shots] = task.truth[shots]
    rest = np.flatnonzero(known < 0)
    x, evidence = task.evidence.features, task.evidence
    rung, seconds = measure.timed(lambda: Shots().fit(evidence, known))
    new = (x[shots], known[shots], x[rest])
    answers = {name: answer[rest] for name, answer in fixed.items()} | {
        "logistic regression": peers.logistic_regression(*new),
        "class means": peers.class_means(*new),
        "label spreading": peers.label_spreading(x, known)[rest],
    }
    right = {name: answer == task.truth[rest] for name, answer in answers.items()}
    own = rung.log_posterior(evidence.part(rest)).argmax(axis=1) == task.truth[rest]
    scores = {name: round(100 * float(each.mean()), 2) for name, each in {"shots": own, **right}.items()}
    changes = {name: measure.counted(own, each) for name, each in right.items()}
    return {"texts": len(rest), **scores, "fit_s": seconds, "right": (int(own.sum()), len(rest)), "changes": changes}


def of_cell(draws: list[dict[str, Any]]) -> dict[str, Any]:
    """Means over the draws of one set and number of labels, and where the rung is worse than a baseline beyond chance."""
    first = draws[0]
    means = {name: round(fmean(row[name] for row in draws), 2) for name in ("shots", *BASELINES)}
    differences = {name: measure.difference(np.array([row["changes"][name] for row in draws])) for name in BASELINES}
    head = {key: first[key] for key in ("set", "how", "per_label")}
    worse = {name: found for name, found in differences.items() if found[1][1] < 0}
    best = max(BASELINES, key=lambda name: means[name])
    more = {
        "best": best,
        "over_best": differences[best],
        "worse_than": worse,
        "fit_s": round(median(r["fit_s"] for r in draws), 2),
    }
    return {**head, **means, **more}


def column(how: str, count: int, cells: list[dict[str, Any]], draws: list[dict[str, Any]]) -> dict[str, Any]:
    """Means over the sets for one number of labels."""
    rows = [row for row in cells if (row["how"], row["per_label"]) == (how, count)]
    means = {name: round(fmean(row[name] for row in rows), 1) for name in ("shots", *BASELINES)}
    best = round(fmean(row[row["best"]] for row in rows), 1)
    own = [row for row in draws if (row["how"], row["per_label"]) == (how, count)]
    counts = [[row["right"] for row in own if row["set"] == cell["set"]] for cell in rows]
    interval = measure.mean_of_sets(counts)["interval"]
    seconds = round(median(row["fit_s"] for row in rows), 2)
    head = {"how": how, "per_label": count, "labelled": round(fmean(row["labelled"] for row in own))}
    return {**head, **means, "interval": interval, "best_per_set": best, "fit_s": seconds}


if __name__ == "__main__":
    main()
