"""Tables of what changing weights is worth, from benchmarks/results."""

from __future__ import annotations

from statistics import fmean
from typing import Any

from table_cells import bounds, result, table

WAYS = ("shots", "probe", "contrastive", "tune", "setfit")


def students_table() -> str:
    """One row a set and student: what it keeps of its teacher, and how fast it is."""
    rows = []
    for row in result("distill")["rows"]:
        agreement = row.get("agreement")
        said = "" if agreement is None else f"{agreement['share']:.1%} {points(agreement['interval'])}"
        own = [row["set"], row["student"], f"{row['accuracy']} {bounds(row['interval'])}", row.get("kept", ""), said]
        rows.append([*own, f"{row['texts_per_s']:,.0f}", row.get("times", "")])
    head = ["set", "student", "accuracy", "kept of the teacher's, %", "says what the teacher says", "texts a second"]
    return table([*head, "times MiniLM's"], rows)


def losses_table() -> str:
    """One row a student and loss, one column a set."""
    found = result("distill")["losses"]
    sets = list(dict.fromkeys(row["set"] for row in found))
    rows = []
    for student, loss in dict.fromkeys((row["student"], row["loss"]) for row in found):
        own = {row["set"]: row["accuracy"] for row in found if (row["student"], row["loss"]) == (student, loss)}
        rows.append([student, loss, *(own[name] for name in sets), f"{sum(own.values()) / len(own):.1f}"])
    return table(["student", "learns by", *sets, "mean"], rows)


def tune_table() -> str:
    """One row a set: 8 labels per class and nothing else, five ways, with their seconds."""
    rows = []
    measured = result("tune")
    for row in measured["sets"]:
        kept = sum(draw["set"] == row["set"] and draw["guard"].startswith("tuned") for draw in measured["draws"])
        own = [f"{row[way]:.1f}" for way in WAYS]
        over = [said(row, way) for way in ("tune", "contrastive")]
        seconds = " / ".join(
            "–" if row[f"{way}_s"] is None else f"{row[f'{way}_s']:.0f}" for way in ("tune", "contrastive", "setfit")
        )
        rows.append([row["set"], row["labelled"], row["draws"], *own, kept, *over, seconds])
    head = ["set", "labels", "draws", "`shots`", "probe", "contrastive, unguarded", "`rung tune`", "SetFit"]
    return table(
        [
            *head,
            "draws in which it kept the new weights",
            "tune over SetFit",
            "contrastive over SetFit",
            "seconds: tune / contrastive / SetFit",
        ],
        rows,
    )


def export_table() -> str:
    """One row a set and way to run the same classifier."""
    rows = []
    for row in result("export")["rows"]:
        cosine = row.get("cosine", {})
        own = [row["set"], row["way"], f"{row['accuracy']} {bounds(row['interval'])}", row.get("kept", "")]
        rows.append([*own, cosine.get("mean", ""), cosine.get("least", ""), row.get("mib", ""), row["texts_per_s"]])
    head = ["set", "run by", "accuracy", "same label, %", "mean cosine", "least", "MiB", "texts a second"]
    return table(head, rows)


def causal_table() -> str:
    """One row an epoch, one column a seed: held-out perplexity of a new causal model."""
    seeds = result("pretrain")["causal"]["rows"]
    rows = []
    for told in zip(*(seed["epochs"] for seed in seeds), strict=True):
        cells = [
            f"{each['perplexity']:.1f} {bounds([round(each[f'perplexity_{end}'], 1) for end in ('low', 'high')])}"
            for each in told
        ]
        rows.append([f"{told[0]['epoch']:.0f}", *cells])
    last = [f"{100 * seed['words_of_the_corpus']:.1f} % of {seed['words_written']}" for seed in seeds]
    rows.append(["words it writes that the corpus has", *last])
    return table(["epochs", *(f"seed {seed['seed']}" for seed in seeds)], rows)


def next_table() -> str:
    """One row a seed: what a new masked model with the next sentence came to."""
    rows = []
    for seed in result("pretrain")["masked+next"]["rows"]:
        loss, hidden, right = seed["held_out_loss"], seed["perplexity"], seed["next_sentence_accuracy"]
        rows.append(
            [
                seed["seed"],
                f"{seed['weights']:,}",
                len(loss) - 1,
                f"{loss[0]:.2f} → {loss[-1]:.2f}",
                f"{hidden[0]:.0f} → {hidden[-1]:.0f}",
                f"{100 * right[0]:.1f} → {100 * right[-1]:.1f} {points(seed['interval'])}",
                seed["held_out_pairs"],
            ]
        )
    head = ["seed", "weights", "epochs", "held-out loss", "perplexity of hidden words", "next sentence right, %"]
    return table([*head, "of pairs"], rows)


def multitask_table() -> str:
    """One row a task and weighting: means over seeds of together and alone, and each seed's difference."""
    found: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in result("multitask")["rows"]:
        found.setdefault((row["task"], row["weighting"]), []).append(row)
    rows = []
    for key, seeds in sorted(found.items()):
        means = [f"{100 * fmean(row[way] for row in seeds):.1f}" for way in ("together", "alone")]
        gains = ", ".join(f"{100 * row['gain']:+.1f} {points(row['gain_interval'])}" for row in seeds)
        rows.append([*key, *means, f"{100 * fmean(row['gain'] for row in seeds):+.1f}", gains])
    return table(["task", "weights", "together", "alone", "mean difference", "difference, each seed"], rows)


def points(interval: list[float]) -> str:
    """An interval of shares, in points."""
    return bounds([round(100 * end, 1) for end in interval])


def said(row: dict[str, Any], way: str) -> str:
    """A difference to SetFit with its interval."""
    return f"{row[f'{way}_over']:+.1f} {bounds(row[f'{way}_over_interval'])}"


TABLES = {
    "students": students_table,
    "losses": losses_table,
    "tune": tune_table,
    "export": export_table,
    "causal": causal_table,
    "next": next_table,
    "multitask": multitask_table,
}
