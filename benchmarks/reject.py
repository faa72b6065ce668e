"""What clinc150 says of the decisions: texts that fit no label, several labels at once, and a tree of labels.

Writes results/reject.json (MiniLM): AUROC and the false positive rate at 95 % true positives of out-of-scope texts with clean pools
and with 15 % of such texts in the pool; multi-label answers on single queries and pairs of queries, by domain, also with some texts
marked; accuracy of
domains by summing their intents, and of answers at the depth that is sure enough.
"""

from __future__ import annotations

from typing import Any

import measure
import numpy as np
import sets
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, f1_score, roc_auc_score

from rung.decide.hierarchy import Tree
from rung.decide.multilabel import MultiLabel
from rung.decide.partial_multilabel import Marked
from rung.decide.rejection import Reject, label_means
from rung.evidence import Evidence
from rung.evidence.cache import Cache
from rung.evidence.embedding import embed_texts, label_evidence
from rung.labels import Label, Labels
from rung.rungs.names import Names
from rung.rungs.pool import Pool

SET = "clinc150"
DRAWS = 10  # of the out-of-scope texts that get into the pool
SHARE = 0.15
MARKED = (1, 8, 32, 128, 512)
MARK_DRAWS = 5
CONFIDENCES = (0.0, 0.3, 0.5, 0.7, 0.9)


def main() -> None:
    train = measure.task(SET, part="train", most=measure.arguments(__doc__).train)
    test = measure.task(SET)
    outside, _ = embed_texts(
        [text for text, label in pairs(sets.read(SET, in_scope=False)) if label == sets.OUT_OF_SCOPE],
        sets.loaded("minilm"),
        cache=Cache(),
    )
    head = {"backbone": "minilm", "set": SET, "part": "test"}
    result = {
        **head,
        "rungs": [measure.settings(rung) for rung in (Names(), Pool(), Reject(), MultiLabel())],
        "reject": rejecting(test.evidence, train.evidence, outside),
        "multi_label": several(),
        "marked": marked(),
        "hierarchy": tree(test),
    }
    for part in ("reject", "multi_label", "marked", "hierarchy"):
        for row in result[part]:
            print(row)
    sets.write("reject", result)


def pairs(given: sets.TestSet) -> list[tuple[str, str]]:
    return list(zip(given.texts, given.truth, strict=True))


def rejecting(test: Evidence, train: Evidence, outside: Any) -> list[dict[str, Any]]:
    """How well in-scope and out-of-scope texts of the test file are told apart, pool by pool."""
    found = [
        {
            "pool": "none: label names",
            **told_apart(Reject(0.0).fit(test.features, test.anchors, test.general), test, outside),
        },
        {"pool": f"train, in scope, {len(train.features)} texts", **told_apart(*fitted(train, "auto"), test, outside)},
        {"pool": "test, in scope", **told_apart(*fitted(test, "auto"), test, outside)},
    ]
    size = round(SHARE / (1 - SHARE) * len(test.features))
    for seed in range(DRAWS):
        drawn = np.random.default_rng(seed).permutation(len(outside))[:size]
        features = np.concatenate([test.features, outside[drawn]])
        both = test.of_texts(features, [None] * len(features))
        drawn_in = {"pool": "test, 15 % out of scope", "seed": seed}
        found += [drawn_in | told_apart(reject, test, outside) for reject in fitted(both, "auto", SHARE)]
    return found


def fitted(pool: Evidence, *shares: Any) -> list[Reject]:
    """Reject with the label means of the pool rung's answers, once for each share asked for."""
    posterior = np.exp(Pool().fit(pool).log_posterior(pool))
    means = label_means(pool.features, posterior, pool.general)
    return [Reject(share).fit(pool.features, means, pool.general) for share in shares]


def told_apart(reject: Reject, inside: Evidence, outside: Any) -> dict[str, Any]:
    scores = reject.score(inside.features), reject.score(outside)
    truth = np.repeat([1, 0], [len(scores[0]), len(scores[1])])
    false = float((scores[1] >= np.quantile(scores[0], 0.05)).mean())
    return {
        "asked": reject.share,
        "auroc": measure.percent(roc_auc_score(truth, np.concatenate(scores))),
        "false_positives_at_95": measure.percent(false),
        "share": measure.percent(reject.share_),
        "kept": measure.percent(1 - reject.rejected(inside.features).mean()),
        "rejected": measure.percent(reject.rejected(outside).mean()),
    }


def domains() -> tuple[Labels, dict[str, str]]:
    """clinc150's domains with their intents as children, and the domain of each intent."""
    of = {label.name: label.description.removeprefix("domain: ") for label in sets.read(SET).labels}
    children = {top: [label for label in sets.read(SET).labels if of[label.name] == top] for top in of.values()}
    return Labels.of([Label(top, children=tuple(below)) for top, below in children.items()]), of


def tree(test: measure.Task) -> list[dict[str, Any]]:
    """Domains by summing their intents and by their own names; then answers at the depth that is sure enough."""
    labels, of = domains()
    nodes, intents = Tree.of(labels), sets.read(SET).labels.names
    tops = [i for i, parent in enumerate(nodes.parents) if parent < 0]
    truth = np.array([tops.index(nodes.names.index(of[intents[k]])) for k in test.truth])
    flat = label_evidence(Labels.of([Label(nodes.names[i]) for i in tops]), sets.loaded("minilm"), cache=Cache())
    flat = flat.of_texts(test.evidence.features, test.evidence.reasons)
    order = np.argsort(np.argsort([nodes.names[i] for i in tops]))
    found, leaves = [], {}
    for rung in (Names(), Pool()):
        name = type(rung).__name__.lower()
        leaves[name] = np.exp(rung.fit(test.evidence).log_posterior(test.evidence))
        summed = nodes.probabilities(leaves[name])[:, tops].argmax(axis=1)
        own = rung.fit(flat).log_posterior(flat)[:, order].argmax(axis=1)
        for how, answer in (("sum of its intents", summed), ("the domain's name", own)):
            found.append({"rung": name, "domain by": how, **measure.accuracy(answer == truth)})
    rows = [depth(nodes, leaves[name], test.truth, intents, c) | {"rung": name} for name in leaves for c in CONFIDENCES]
    return found + rows


def depth(nodes: Tree, leaves: Any, truth: Any, intents: list[str], confidence: float) -> dict[str, Any]:
    """How many answers are intents, domains or none at one confidence, and how many of each are right."""
    answer = nodes.answers(leaves, confidence)
    true = np.array([nodes.names.index(intents[k]) for k in truth])
    top = nodes.parents[true]
    leaf = (answer >= 0) & (nodes.parents[answer] >= 0)
    domain = (answer >= 0) & ~leaf
    row: dict[str, Any] = {"confidence": confidence}
    for name, where, right in (("intent", leaf, true), ("domain", domain, top)):
        row[f"{name}_share"] = measure.percent(where.mean())
        row[f"{name}_accuracy"] = measure.percent((answer == right)[where].mean()) if where.any() else None
    return row | {"none_share": measure.percent((answer < 0).mean())}


def several() -> list[dict[str, Any]]:
    """Domains as labels of single queries and of two queries in one text; names answer as often as the base rates say."""
    names, of, x, truth = queries()
    below = {name: tuple(intent for intent in of if of[intent] == name) for name in names}
    rows = []
    for wording, words in (("the domain's name", {}), ("and its intents' names as words", below)):
        labels = Labels.of([Label(name, words=words.get(name, ())) for name in names])
        evidence = label_evidence(labels, sets.loaded("minilm"), cache=Cache())
        for title, shares in (
            ("1 / k each", np.full(len(names), 1 / len(names))),
            ("true base rates", truth.mean(axis=0)),
        ):
            rows += [{"wording": wording, "shares": title, **row} for row in both_ways(evidence, x, truth, shares)]
    return rows


def queries() -> tuple[list[str], dict[str, str], Any, Any]:
    """Domains' names, each intent's domain, and texts (n, d) of one query or two with the domains (n, k) that they carry."""
    of = domains()[1]
    names = sorted(set(of.values()))
    given, rng = sets.read(SET), np.random.default_rng(0)
    order = rng.permutation(len(given.texts))
    third = len(order) // 3
    groups = [(i,) for i in order[:third]] + list(zip(order[third : 2 * third], order[2 * third :], strict=False))
    texts = [", and ".join(given.texts[i] for i in group) for group in groups]
    truth = np.array([[name in {of[given.truth[i]] for i in group} for name in names] for group in groups])
    x, _ = embed_texts(texts, sets.loaded("minilm"), cache=Cache())
    return names, of, x, truth


def marked() -> list[dict[str, Any]]:
    """The same texts, some of them marked at random; answers on the others, beside logistic regression on the marked ones."""
    names, _, x, truth = queries()
    evidence = label_evidence(Labels.parse(names), sets.loaded("minilm"), cache=Cache())
    below = MultiLabel().fit(x, evidence.anchors, evidence.general.mean(axis=0))
    rows = []
    for count in MARKED:
        draws = [
            of_marked(below, x, truth, np.random.default_rng(seed).permutation(len(x)), count)
            for seed in range(MARK_DRAWS)
        ]
        for rung in draws[0]:
            said = {key: [draw[rung][key] for draw in draws] for key in ("macro_f1", "average_precision")}
            means = {key: round(float(np.mean(each)), 1) for key, each in said.items()}
            spans = {f"{key}_range": [min(each), max(each)] for key, each in said.items()}
            rows.append({"marked": count, "rung": rung, "draws": MARK_DRAWS, **means, **spans})
    return rows


def of_marked(below: MultiLabel, x: Any, truth: Any, order: Any, count: int) -> dict[str, dict[str, Any]]:
    seen, unseen = order[:count], order[count:]
    told = Marked(below).fit(x[seen], truth[seen].astype(np.float64)).probabilities(x[unseen])
    scores = {
        "multi-label, no marks": below.probabilities(x[unseen]),
        "multi-label, marked": told,
        "logistic regression": np.stack([regressed(x[seen], each, x[unseen]) for each in truth[seen].T], axis=1),
    }
    return {rung: yes_and_no(each > 0.5, each, truth[unseen]) for rung, each in scores.items()}


def regressed(x: Any, yes: Any, others: Any) -> Any:
    """scikit-learn's logistic regression of one label, C = 10; its share where all agree."""
    if yes.min() == yes.max():
        return np.full(len(others), float(yes.mean()))
    return LogisticRegression(C=10, max_iter=1000).fit(x, yes).predict_proba(others)[:, 1]


def both_ways(evidence: Evidence, x: Any, truth: Any, shares: Any) -> list[dict[str, Any]]:
    """The rule for several labels, and cosines with the labels cut so that each label gets its share."""
    learned = MultiLabel(tuple(shares)).fit(x, evidence.anchors, evidence.general.mean(axis=0)).probabilities(x)
    cosines = x @ evidence.anchors.T
    cut = [np.quantile(column, 1 - share) for column, share in zip(cosines.T, shares, strict=True)]
    return [
        {"rung": "multi-label", **yes_and_no(learned >= 0.5, learned, truth)},
        {"rung": "cosine, cut at the shares", **yes_and_no(cosines > cut, cosines, truth)},
    ]


def yes_and_no(yes: Any, scores: Any, truth: Any) -> dict[str, Any]:
    return {
        "texts": len(truth),
        "labels_a_text": round(float(truth.sum(axis=1).mean()), 2),
        "answered_a_text": round(float(yes.sum(axis=1).mean()), 2),
        "macro_f1": measure.percent(f1_score(truth, yes, average="macro", zero_division=0)),
        "micro_f1": measure.percent(f1_score(truth, yes, average="micro", zero_division=0)),
        "average_precision": measure.percent(average_precision_score(truth, scores, average="macro")),
    }


if __name__ == "__main__":
    main()
