"""What students keep of their teacher, how fast they are, and what the loss they learn by is worth.

Writes results/distill.json. The teacher is the pool rung on MiniLM, zero labels, fitted on the train split (at most 10 000 texts);
students read the same texts with its answers and are scored on the test split, which neither has seen. Three seeds say which texts
are kept apart for choosing. Speed is texts a second from text to label, on one thread, the median of five rounds in which students
and MiniLM take turns. `losses`: the n-gram and the static student by their loss; true labels, where the loss takes some, are those
of a tenth of the train texts.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import measure
import numpy as np
import sets

from rung import Classifier, distill
from rung.evidence.embedding import embed
from rung.rungs.linear import Linear
from rung.training.students import student_models
from rung.training.students.distill import PENALTIES, TeacherAnswers, query_teacher

SETS = ("ag_news", "clinc150", "banking77")
MOST = 10_000
SEEDS = range(3)
KINDS = ("ngram", "static")
ROUNDS = 5
TIMED, TIMED_TEACHER = 2000, 200  # texts
LABELLED = 10  # one text in ten has its true label
HARD = "hard labels"  # the teacher's, each as if it were certain
LOSSES = {
    HARD: {"temperature": 1.0, "ce_weight": 0.0},
    "KL, T = 1": {"temperature": 1.0, "ce_weight": 0.0},
    "KL, T = 2": {"temperature": 2.0, "ce_weight": 0.0},
    "KL, T = 4": {"temperature": 4.0, "ce_weight": 0.0},
    "KL, T = 10": {"temperature": 10.0, "ce_weight": 0.0},
    "KL, T = 1, + 0.3 CE": {"temperature": 1.0, "ce_weight": 0.3},
    "KL, T = 2, + 0.3 CE": {"temperature": 2.0, "ce_weight": 0.3},
    "KL, T = 2, + 1.0 CE": {"temperature": 2.0, "ce_weight": 1.0},
}


def main() -> None:
    asked = measure.arguments(__doc__)
    chosen = [name for name in SETS if name in asked.sets]
    rows, losses = [], []
    for name in chosen:
        found = of_set(name, asked.train or MOST)
        rows += found[0]
        losses += found[1]
    result = {"backbone": "minilm", "most_texts": MOST, "seeds": list(SEEDS), "rows": rows, "losses": losses}
    if asked.sets == sets.ENGLISH:
        sets.write("distill", result)


def of_set(name: str, most: int) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Teacher and students on one set, and its table of losses."""
    train, test = sets.read(name, "train"), sets.read(name)
    drawn = np.sort(np.random.default_rng(0).permutation(len(train.texts))[:most])
    texts = [train.texts[i] for i in drawn]
    teacher = Classifier(test.labels, backbone=sets.loaded("minilm")).fit(texts)
    made = {kind: [distill(teacher, texts, student=kind, seed=seed) for seed in SEEDS] for kind in KINDS}
    speeds = by_turns(
        {
            "teacher": partial(fresh(teacher).predict, test.texts[:TIMED_TEACHER]),
            **{k: partial(fresh(made[k][0]).predict, test.texts[:TIMED]) for k in KINDS},
        },
        {"teacher": TIMED_TEACHER, **dict.fromkeys(KINDS, TIMED)},
    )
    base = sets.accuracy(test, teacher.predict(test.texts).tolist())
    rows = [{"set": name, "student": "teacher", **base, "texts_per_s": round(speeds["teacher"], 1)}]
    for kind in KINDS:
        each = [sets.accuracy(test, student.predict(test.texts).tolist()) for student in made[kind]]
        accuracy = round(float(np.mean([row["accuracy"] for row in each])), 2)
        rows.append(
            {
                "set": name,
                "student": kind,
                "accuracy": accuracy,
                "by_seed": [row["accuracy"] for row in each],
                "interval": each[0]["interval"],
                "kept": round(100 * accuracy / base["accuracy"], 1),
                "agreement": made[kind][0].agreement_,
                "texts_per_s": round(speeds[kind]),
                "times": round(speeds[kind] / speeds["teacher"], 1),
            }
        )
    for row in rows:
        print(row, flush=True)
    y = [train.truth[i] if n % LABELLED == 0 else None for n, i in enumerate(drawn)]
    return rows, [row for kind in KINDS for row in by_loss(name, kind, query_teacher(teacher, texts, y), test)]


def fresh(classifier: Classifier) -> Classifier:
    """The same without a cache, so that every text is read."""
    classifier.set_params(cache=False)
    return classifier


def by_turns(calls: dict[str, Callable[[], Any]], counts: dict[str, int]) -> dict[str, float]:
    """Texts a second of each, medians of rounds in which they take turns."""
    speeds: dict[str, list[float]] = {name: [] for name in calls}
    for call in calls.values():
        call()
    for _ in range(ROUNDS):
        for name, call in calls.items():
            speeds[name].append(counts[name] / measure.timed_exactly(call)[1])
    return {name: median(each) for name, each in speeds.items()}


def by_loss(name: str, kind: Any, answers: TeacherAnswers, test: sets.TestSet) -> list[dict[str, Any]]:
    """A student of one kind by what it minimizes; accuracy on the test split."""
    rows = []
    with TemporaryDirectory() as folder:
        make = student_models.backbone_maker(
            kind, answers.geometry, [answers.texts[i] for i in answers.train_rows], None, Path(folder)
        )
        for title, how in LOSSES.items():
            targets = hardened(answers) if title == HARD else answers
            body = make(targets.log_posterior[answers.train_rows], answers.known[answers.train_rows], how)
            features = embed(answers.texts, body)
            head = Linear(**how, penalty=PENALTIES[kind]).fit(
                targets.evidence(features, answers.train_rows), answers.known[answers.train_rows]
            )
            unseen = embed(test.texts, body) @ head.weights_ + head.bias_
            right = unseen.argmax(axis=1) == measure.places(test)
            rows.append({"set": name, "student": kind, "loss": title, **measure.accuracy(right)})
            print(rows[-1], flush=True)
    return rows


def hardened(answers: TeacherAnswers) -> TeacherAnswers:
    """The teacher's likeliest label as if it were certain."""
    from dataclasses import replace

    sure = np.full(answers.log_posterior.shape, -30.0)
    sure[np.arange(len(sure)), answers.log_posterior.argmax(axis=1)] = 0.0
    return replace(answers, log_posterior=sure)


if __name__ == "__main__":
    main()
