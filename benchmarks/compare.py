"""Whether a comparison of settings on few labels tells the truth: the same settings on texts that it never saw.

Writes results/compare.json. 60 random labelled questions of trec's train file and 340 without label; every setting of GRID by
`rung.compare` (three folds), then tuned on all 60 labels, unguarded, and scored on its test file. One thread.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import sets
from sklearn.base import clone

from rung import Classifier, compare, tune
from rung.intervals import interval
from rung.labels import Labels

LABELLED, TEXTS = 60, 400
GRID: dict[str, Any] = {"way": ["frozen", "probe", "contrastive", "lora"], "learning_rate": [2e-5, 1e-4, 1e-3]}


def main() -> None:
    train, test = sets.read("trec", "train"), sets.read("trec")
    drawn = np.random.default_rng(0).permutation(len(train.texts))[:TEXTS]
    texts = [train.texts[i] for i in drawn]
    y = [train.truth[i] if at < LABELLED else None for at, i in enumerate(drawn)]
    clf = Classifier(Labels.of(test.labels), backbone=sets.loaded("minilm"))
    found = compare(clf, texts, y, GRID)
    lines = found.table()
    for row in found.rows:
        line = next(each for each in lines if each["setting"] == row.name)
        made = tune(clf, texts, y, guard=False, **row.settings) if row.settings else clone(clf).fit(texts, y)
        right = sum(a == b for a, b in zip(made.predict(test.texts), test.truth, strict=True))
        line |= {"test": round(right / len(test.texts), 4), "test_interval": list(interval(right, len(test.texts)))}
        print(line, flush=True)
    how = {"set": "trec", "backbone": "minilm", "labelled": LABELLED, "texts": TEXTS, "test_texts": len(test.texts)}
    sets.write("compare", {**how, "verdict": found.verdict, "rows": lines}, ["peft", "datasets"])


if __name__ == "__main__":
    main()
