"""Tables of how good answers are, from benchmarks/results."""

from __future__ import annotations

from statistics import fmean
from typing import Any

from table_cells import bounds, gained, listed, of, result, table, with_bounds

RUNGS = ("names", "pool")  # those that need no label


def names_table() -> str:
    """One row a data set, one column a backbone: accuracy with its 95 % interval."""
    rows = result("names")["rows"]
    backbones = list(dict.fromkeys(row["backbone"] for row in rows))
    lines = ["| data set (test split) | labels | texts | " + " | ".join(f"`{name}`" for name in backbones) + " |"]
    lines.append("|---|---|---|" + "---|" * len(backbones))
    for name in dict.fromkeys(row["set"] for row in rows):
        found = {row["backbone"]: row for row in rows if row["set"] == name}
        first = next(iter(found.values()))
        cells = [f"{found[b]['accuracy']} [{found[b]['interval'][0]}, {found[b]['interval'][1]}]" for b in backbones]
        lines.append(f"| {name} | {first['labels']} | {first['texts']:,} | " + " | ".join(cells) + " |")
    means = [sum(r["accuracy"] for r in rows if r["backbone"] == b) / len(lines[2:]) for b in backbones]
    lines.append("| mean | | | " + " | ".join(f"{mean:.1f}" for mean in means) + " |")
    return "\n".join(lines) + "\n"


def builtin_line() -> str:
    """Size and speed of the built-in model."""
    found = result("builtin")
    speed = found["speed"]
    return (
        f"`builtin` is a static model of {found['size_bytes'] / 1e6:.1f} MB that comes with the package and needs no torch;"
        f" it embeds {speed['texts_per_s']:,} texts of {speed['set']} a second on two cores.\n"
    )


def variants_table() -> str:
    """One row a backbone and variant of the names rung, one column a data set."""
    rows = result("names")["variants"]
    names = list(dict.fromkeys(row["set"] for row in rows))
    lines = ["| backbone | variant | " + " | ".join(names) + " | mean |", "|---|---|" + "---|" * (len(names) + 1)]
    for backbone, variant in dict.fromkeys((row["backbone"], row["variant"]) for row in rows):
        found = {
            row["set"]: row["accuracy"] for row in rows if (row["backbone"], row["variant"]) == (backbone, variant)
        }
        mean = sum(found.values()) / len(found)
        lines.append(f"| {backbone} | {variant} | " + " | ".join(f"{found[n]}" for n in names) + f" | {mean:.1f} |")
    return "\n".join(lines) + "\n"


def ladder_table() -> str:
    """What a person has, the rung that it reaches, mean accuracy over the eight sets, seconds of fit."""
    rows = []
    for rung, have in (("names", "label names"), ("pool", "+ the unlabelled texts")):
        found = next(
            way
            for way in result("ladder")["means"]
            if of(way, backbone="minilm", rung=rung) and way["fitted_on"] != "train"
        )
        rows.append([have, f"`{rung}`", f"{found['mean']} {bounds(found['interval'])}", found.get("fit_s", "–")])
    for found in result("shots")["columns"]:
        if of(found, how="balanced") and found["per_label"] in (1, 4, 16):
            have = f"+ {found['per_label']} label{'s' * (found['per_label'] > 1)} per class"
            rows.append([have, "`shots`", f"{found['shots']} {bounds(found['interval'])}", found["fit_s"]])
    return table(["what you have", "rung", "mean accuracy over eight sets", "seconds of fit (median)"], rows)


def pool_table() -> str:
    """One row a backbone, wording and set: names, pool on its own texts, pool fitted on the train file."""
    rows = []
    found = result("ladder")["rows"]
    for key in dict.fromkeys((row["backbone"], row["wording"], row["set"]) for row in found):
        names, own, train = (row for row in found if (row["backbone"], row["wording"], row["set"]) == key)
        title = key[2] if key[1] == "labels.csv" else f"{key[2]}, labels of {key[1]}"
        rows.append([f"`{key[0]}`", title, names["labels"], f"{names['texts']:,}", with_bounds(names)])
        rows[-1] += [with_bounds(own), gained(own), with_bounds(train), gained(train), f"{train['fitted_texts']:,}"]
        rows[-1] += [" / ".join(str(row["calibration_error"]) for row in (names, own, train)), own["fit_s"]]
    for backbone in dict.fromkeys(way["backbone"] for way in result("ladder")["means"]):
        names, own, train = (way for way in result("ladder")["means"] if way["backbone"] == backbone)
        means = [f"{way['mean']} {bounds(way['interval'])}" for way in (names, own, train)]
        gains = [f"{way['mean'] - names['mean']:+.1f}" for way in (own, train)]
        rows.append(
            [f"`{backbone}`", "mean", "", "", means[0], means[1], gains[0], means[2], gains[1], "", "", own["fit_s"]]
        )
    head = [
        "backbone",
        "set",
        "labels",
        "texts",
        "names",
        "pool",
        "gain",
        "pool of the train file",
        "gain",
        "its texts",
    ]
    return table([*head, "calibration error", "seconds of fit"], rows)


def pool_harms() -> str:
    """Every set on which the pool is below the names rung, with what its guard said."""
    rows = [row for row in result("ladder")["rows"] if row.get("gain", 0) < 0]
    return listed(
        f"`{r['backbone']}`, {r['set']}, fitted on the {r['fitted_on']} file: {gained(r)}; the guard: {r['guard']}"
        for r in rows
    )


def peers_table() -> str:
    """One row a set, one column a peer on the same embeddings."""
    rows = result("ladder")["peers"]
    peers, sets = (list(dict.fromkeys(row[key] for row in rows)) for key in ("peer", "set"))
    scores = {(row["set"], row["peer"]): 100 * row["right"] / row["texts"] for row in rows}
    scores |= {
        (row["set"], row["rung"]): 100 * row["right"] / row["texts"]
        for row in result("ladder")["rows"]
        if own_test(row)
    }
    ways = ["names", "pool", *peers]
    lines = [[name, *(f"{scores[name, way]:.1f}" for way in ways)] for name in sets]
    lines.append(["mean", *(f"{fmean(scores[name, way] for name in sets):.1f}" for way in ways)])
    return table(["set", *ways], lines)


def own_test(row: dict[str, Any]) -> bool:
    """Whether a row of the ladder is MiniLM's on the test file, with the set's own wording."""
    return of(row, backbone="minilm", wording="labels.csv") and row["fitted_on"] != "train"


def stress_table() -> str:
    """One row a kind of stress: means over the sets, harmed draws, the worst."""
    kinds = result("stress")["kinds"]
    rows = []
    for column in result("stress")["columns"]:
        worst = f"{column['worst']:+.1f} ({column['worst_set']}, seed {column['worst_seed']})"
        means = [column["names"], column["pool"], f"{column['gain']:+.1f}"]
        rows.append([column["kind"], kinds[column["kind"]], *means, f"{column['harmed']} of {column['draws']}", worst])
    return table(["kind", "what a draw is", "names", "pool", "gain", "draws below names", "worst draw"], rows)


def stress_harms() -> str:
    """Every draw in which the pool was below the names rung."""
    rows = sorted((row for row in result("stress")["draws"] if row["gain"] < 0), key=lambda row: row["gain"])
    said = [
        [r["kind"], r["set"], r["seed"], r["texts"], r["names"], r["pool"], f"{r['gain']:+.1f}", r["guard"]]
        for r in rows
    ]
    return table(["kind", "set", "seed", "texts", "names", "pool", "gain", "what the guard said"], said)


def shots_table() -> str:
    """One row a number of labels: means over the sets of the rung, of each baseline, and of the best one a set."""
    baselines = list(result("shots")["baselines"])
    rows = []
    for found in result("shots")["columns"]:
        own = f"{found['shots']} {bounds(found['interval'])}"
        rows.append([found["how"], found["per_label"], found["labelled"], own, *(found[name] for name in baselines)])
        rows[-1] += [found["best_per_set"], found["fit_s"]]
    head = ["labels drawn", "per label", "in all (mean)", "shots", *baselines, "best of these, picked for each set"]
    return table([*head, "seconds of fit"], rows)


def shots_sets_table() -> str:
    """One row a set and way of drawing labels: the rung, and the best baseline by its test labels."""
    found = result("shots")["sets"]
    counts = list(dict.fromkeys(row["per_label"] for row in found))
    rows = []
    for name, how in dict.fromkeys((row["set"], row["how"]) for row in found):
        cells = [row for row in found if of(row, set=name, how=how)]
        rows.append([name, how, *(f"{c['shots']:.1f} / {c[c['best']]:.1f} ({c['best']})" for c in cells)])
    return table(["set", "labels drawn", *(f"{count} per label" for count in counts)], rows)


def shots_harms() -> str:
    """Every set and number of labels at which a baseline is better than the rung beyond chance."""
    return listed(
        f"{row['set']}, {row['how']}, {row['per_label']} per label: {mean:+.1f} {bounds(between)} against {name}"
        for row in result("shots")["sets"]
        for name, (mean, between) in row["worse_than"].items()
    )


def setfit_table() -> str:
    """One row a set and number of SetFit's pairs: 8 labels per class, seconds from texts to answers."""
    rows = []
    for found in sorted(result("setfit")["few"], key=lambda row: row["set"]):
        ways = [found[way] for way in ("pool", "logistic regression", "setfit", "shots")]
        over = f"{found['over_setfit']:+.1f} {bounds(found['over_setfit_interval'])}"
        seconds = [f"{sum(found[way].values()):.0f} ({added(found[way])})" for way in ("setfit_s", "shots_s")]
        head = [found["set"], found["labelled"], found["draws"], found["pairs"], found["setfit_steps"]]
        rows.append([*head, *ways, over, *seconds])
    head = [
        "set",
        "labels given",
        "draws",
        "SetFit's pairs",
        "its steps",
        "`pool`, no labels",
        "logistic regression, frozen",
    ]
    return table([*head, "SetFit", "`shots`", "`shots` over SetFit", "seconds: SetFit", "seconds: `shots`"], rows)


def setfit_names_table() -> str:
    """One row a set and wording: label names alone, on the whole test file."""
    rows = []
    zero = result("setfit")["zero"]
    for name in dict.fromkeys(sorted(row["set"] for row in zero)):
        for found in (row for row in zero if row["set"] == name):
            ways = [with_bounds(found[way]) for way in ("setfit", *RUNGS)]
            over = [f"{found[f'{w}_over_setfit']:+.1f} {bounds(found[f'{w}_over_setfit_interval'])}" for w in RUNGS]
            steps = f"{found['setfit_steps']:,}" + " (bounded)" * bool(found["setfit_bound"])
            own = found["rung_s"]
            seconds = [f"{sum(found['setfit_s'].values()):.0f}", f"{own['embed'] + own['pool']:.0f}"]
            rows.append([name, found["wording"], *ways, *over, steps, *seconds])
    head = ["set", "labels told by", "SetFit", *RUNGS, *(f"{rung} over SetFit" for rung in RUNGS), "SetFit's steps"]
    return table([*head, "seconds: SetFit", "seconds: pool"], rows)


def added(seconds: dict[str, float]) -> str:
    """What a number of seconds is made of."""
    return " + ".join(f"{part} {each:.0f}" if each >= 10 else f"{part} {each:.1f}" for part, each in seconds.items())


def reject_table() -> str:
    """One row a pool: how well texts out of scope are told apart; draws are averaged."""
    found = result("reject")["reject"]
    keys = ("auroc", "false_positives_at_95", "share", "kept", "rejected")
    rows = []
    for pool, asked in dict.fromkeys((row["pool"], str(row["asked"])) for row in found):
        own = [row for row in found if (row["pool"], str(row["asked"])) == (pool, asked)]
        rows.append([pool, asked, len(own), *(f"{fmean(row[key] for row in own):.1f}" for key in keys)])
    head = ["pool", "share asked for", "draws", "AUROC", "false positives at 95 %", "share found", "in scope, kept"]
    return table([*head, "out of scope, rejected"], rows)


def several_table() -> str:
    """One row a way to give several labels."""
    keys = (
        "wording",
        "shares",
        "rung",
        "labels_a_text",
        "answered_a_text",
        "macro_f1",
        "micro_f1",
        "average_precision",
    )
    rows = [[row[key] for key in keys] for row in result("reject")["multi_label"]]
    return table(
        [
            "labels worded by",
            "shares",
            "rung",
            "labels a text",
            "answered",
            "macro F1",
            "micro F1",
            "average precision",
        ],
        rows,
    )


def marked_table() -> str:
    """Several labels once some texts are marked: means over draws, with the lowest and the highest."""

    def said(row: dict[str, Any], key: str) -> str:
        low, high = row[f"{key}_range"]
        return f"{row[key]:.1f} ({low:.1f} to {high:.1f})"

    rows = [
        [row["marked"], row["rung"], said(row, "macro_f1"), said(row, "average_precision")]
        for row in result("reject")["marked"]
    ]
    return table(["texts marked", "rung", "macro F1", "average precision"], rows)


def tree_table() -> str:
    """Domains by summing, then answers by depth."""
    found = result("reject")["hierarchy"]
    tops = [[f"`{row['rung']}`", row["domain by"], with_bounds(row)] for row in found if "domain by" in row]
    keys = ("confidence", "intent_share", "intent_accuracy", "domain_share", "domain_accuracy", "none_share")
    depths = [[f"`{row['rung']}`", *(row[key] for key in keys)] for row in found if "confidence" in row]
    head = [
        "rung",
        "confidence",
        "answered by an intent",
        "of these right",
        "by a domain",
        "of these right",
        "not at all",
    ]
    return table(["rung", "domain by", "accuracy"], tops) + "\n" + table(head, depths)


def mixing_table() -> str:
    """Both rungs by whose prior meets whose geometry: means over the sets."""
    ways = result("mixing")["means"]
    rows = [[way["prior"], way["geometry"], *(mean_said(way[rung]) for rung in RUNGS)] for way in ways]
    return table(["prior of", "geometry of", *(f"`{rung}`" for rung in RUNGS)], rows)


def mean_said(mean: dict[str, Any]) -> str:
    """A mean over sets with its interval."""
    low, high = mean["interval"]
    return f"{mean['mean']:.1f} [{low:.1f}, {high:.1f}]"


def shortlist_table() -> str:
    """What is lost where only some labels are scored, over the sets that have more."""
    rows = [
        [row[key] for key in ("shortlist", "sets", "kept", "accuracy", "gain")]
        for row in result("mixing")["shortlist_means"]
    ]
    return table(["labels scored", "sets", "true label among them, %", "accuracy", "against all labels"], rows)


TABLES = {
    "names": names_table,
    "variants": variants_table,
    "builtin": builtin_line,
    "ladder": ladder_table,
    "pool": pool_table,
    "pool-harms": pool_harms,
    "peers": peers_table,
    "stress": stress_table,
    "stress-harms": stress_harms,
    "shots": shots_table,
    "shots-sets": shots_sets_table,
    "shots-harms": shots_harms,
    "setfit": setfit_table,
    "setfit-names": setfit_names_table,
    "reject": reject_table,
    "several": several_table,
    "marked": marked_table,
    "tree": tree_table,
    "mixing": mixing_table,
    "shortlist": shortlist_table,
}
