"""Multi-task learning: training, sampling and weighting of tasks, and the report on transfer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rung import UserError, load
from rung.training.provenance import Record
from rung.training.trainer_setup import Settings
from rung.training.tuning.multitask import Multitask, TaskBatches, TrainingPlan, multitask
from rung.training.tuning.task_heads import Task
from rung.training.tuning.transfer_gain import compare_runs

pytestmark = pytest.mark.torch

THINGS, ENDS = ["card", "money", "app", "invoice", "text", "topic"], ["the", "a", "my", "is", "about", "help"]
PLACES = [f"{end} {thing} {word}" for thing in THINGS for end in ENDS for word in ("lost", "refund")]
LOST = (PLACES, ["lost" if "lost" in text else "back" for text in PLACES])
LONG = (
    [f"{text} app" * (1 + i % 2) for i, text in enumerate(PLACES)],
    [float(i % 2) * 10 + 3 for i in range(len(PLACES))],
)
OTHERS = np.random.default_rng(0).permutation(PLACES).tolist()
ALIKE = (
    list(zip(PLACES, OTHERS, strict=True)),
    [float(("lost" in a) == ("lost" in b)) for a, b in zip(PLACES, OTHERS, strict=True)],
)
TASKS: dict[str, Any] = {"lost": LOST, "long": LONG, "alike": ALIKE}
QUICK: dict[str, Any] = {"epochs": 3, "batch": 8, "learning_rate": 3e-3}


def test_each_task_is_learned_beside_its_single_run(tiny_encoder: Path, tmp_path: Path) -> None:
    """Classes, numbers and pairs share one encoder; the report has both runs; the loaded folder predicts the same."""
    backbone = load(str(tiny_encoder))
    before = backbone.fingerprint
    made = multitask(backbone, TASKS, out=tmp_path / "out", **QUICK)
    report = {line["task"]: line for line in made.report_}
    assert list(report) == list(TASKS)
    assert report["lost"]["metric"] == "accuracy"
    assert report["lost"]["together"] > 0.8
    assert report["long"]["metric"] == report["alike"]["metric"] == "correlation"
    assert report["long"]["together"] > 0.5
    for line in report.values():
        assert line["together_interval"][0] <= line["together"] <= line["together_interval"][1]
        assert line["gain"] == pytest.approx(line["together"] - line["alone"], abs=2e-4)
        assert line["transfer"] in ("harm", "gain", "none seen")
    assert backbone.fingerprint == before != made.backbone.fingerprint
    again = Multitask.load(tmp_path / "out")
    assert again.predict("lost", PLACES[:4]) == made.predict("lost", PLACES[:4]) == LOST[1][:4]
    assert np.abs(np.array(again.predict("long", LONG[0])) - LONG[1]).mean() < 4
    assert len(again.predict("alike", ALIKE[0][:3])) == 3
    assert load(str(tmp_path / "out" / "encoder")).embed(["help"]).shape == backbone.embed(["help"]).shape
    record = Record.read(tmp_path / "out")
    assert record.parent == {"name": backbone.name, "fingerprint": before}
    lines = [json.loads(line) for line in (tmp_path / "out" / "log.jsonl").read_text("utf-8").splitlines()]
    assert {line["task"].removesuffix(" alone") for line in lines} == set(TASKS)
    assert not (tmp_path / "out" / "checkpoints").exists()


def test_the_network_and_the_saved_head_predict_the_same(tiny_encoder: Path, tmp_path: Path) -> None:
    """The outputs of the network in training are those of `predict`."""
    from rung.training.layer_pruning import read_encoder
    from rung.training.tuning.task_heads import build_network

    task = Task.of("alike", *ALIKE, test=None, held_out=0.2, seed=0)
    net = build_network(read_encoder(load(str(tiny_encoder))), [task], "fixed", {}).eval()
    batch = net.collate([(0, i) for i in range(5)])
    batch.pop("task"), batch.pop("labels")
    outputs = net.heads[0](net.features(batch)).detach().numpy()[:, 0]
    head = net.detached_heads()[0]
    assert net.predict(0, task.texts[:5])[:, 0] == pytest.approx(outputs * head.scale + head.center, abs=1e-4)


def test_control_tokens_in_a_text_are_learned_as_text(tiny_encoder: Path, tmp_path: Path) -> None:
    """Marks that texts and pairs of texts spell are trained on, and measured, as their letters."""
    made = []
    for mark in ("[SEP]", "[ SEP]"):
        tasks = {
            "lost": ([f"{text} {mark}" for text in PLACES], LOST[1]),
            "alike": ([(f"{a} {mark}", f"{mark} {b}") for a, b in ALIKE[0]], ALIKE[1]),
        }
        made.append(
            multitask(load(str(tiny_encoder)), tasks, out=tmp_path / mark, alone=False, **(QUICK | {"epochs": 1}))
        )
    first, second = made
    assert first.backbone.fingerprint == second.backbone.fingerprint
    assert first.report_ == second.report_


def test_tasks_are_sampled_by_the_root_of_their_size() -> None:
    """p_t ∝ n_t^(1/T); each batch holds one task, and all its texts are used before one is used again."""
    small = Task.of("small", PLACES[:20], LOST[1][:20], test=LOST, held_out=0.1, seed=0)
    large = Task.of("large", PLACES * 5, LOST[1] * 5, test=LOST, held_out=0.1, seed=0)
    sizes = np.array([20, 360])
    for T in (1.0, 2.0, 100.0):
        plan = TrainingPlan(Settings(epochs=10, batch=4), T, "fixed", {})
        batches = TaskBatches([small, large], plan)
        found = np.bincount(batches.tasks, minlength=2) / len(batches.tasks)
        assert found == pytest.approx(sizes ** (1 / T) / (sizes ** (1 / T)).sum(), abs=0.01)
        assert all(len({t for t, _ in batches.rows[at : at + 4]}) == 1 for at in range(0, len(batches), 4))
        of_small = [i for t, i in batches.rows if t == 0]
        assert len(set(of_small[:20])) == 20


def test_uncertainty_learns_weights(tiny_encoder: Path, tmp_path: Path) -> None:
    """A task of pure noise ends with a lower weight than one that can be learned."""
    noise = (PLACES, np.random.default_rng(0).permutation(LOST[1]).tolist())
    how = QUICK | {"epochs": 8, "learning_rate": 1e-2}
    tasks = {"lost": LOST, "noise": noise}
    multitask(load(str(tiny_encoder)), tasks, out=tmp_path / "out", weighting="uncertainty", alone=False, **how)
    weights = Record.read(tmp_path / "out").results["weights"]
    assert weights["noise"] < weights["lost"]


def test_weights_are_learned_at_their_own_rate(tiny_encoder: Path, tmp_path: Path) -> None:
    """Whatever the encoder's learning rate, exp(−s) of two labels at chance converges to 1 / (2 log 2)."""
    how = QUICK | {"epochs": 8, "learning_rate": 1e-6, "alone": False}
    multitask(load(str(tiny_encoder)), {"lost": LOST}, out=tmp_path / "out", weighting="uncertainty", **how)
    assert Record.read(tmp_path / "out").results["weights"]["lost"] == pytest.approx(1 / (2 * np.log(2)), abs=0.15)


class KilledError(Exception):
    pass


def test_a_killed_run_resumes(tiny_encoder: Path, tmp_path: Path) -> None:
    """A run that is killed and called again ends with the same encoder as an uninterrupted one."""
    how = QUICK | {"save_every": 5, "epochs": 2, "alone": False}
    backbone, tasks = load(str(tiny_encoder)), {"lost": LOST, "long": LONG}
    alone = multitask(backbone, tasks, out=tmp_path / "alone", **how)

    def kill(step: int, *_: object) -> None:
        if step == 13:
            raise KilledError

    with pytest.raises(KilledError):
        multitask(backbone, tasks, out=tmp_path / "killed", progress=kill, **how)
    steps: list[int] = []
    again = multitask(backbone, tasks, out=tmp_path / "killed", progress=lambda step, *_: steps.append(step), **how)
    assert steps[0] == 11
    assert again.backbone.fingerprint == alone.backbone.fingerprint
    with pytest.raises(UserError, match=r"differs in: .*temperature"):
        multitask(backbone, tasks, out=tmp_path / "killed", temperature=1.0, **how)


def test_a_label_that_is_only_in_the_test_counts_as_wrong() -> None:
    """A label that is missing in the training texts counts as wrong in the test, and is no error."""
    task = Task.of("lost", *LOST, test=(["x", "y", "z", "u"], ["lost", "new", "back", "back"]), held_out=0.1, seed=0)
    assert task.test_truth.tolist() == [1, -1, 0, 0]
    assert task.score(np.eye(2)[[1, 0, 0, 0]]) == 0.75


def test_negative_transfer_is_reported() -> None:
    """If the single-task run is right where the joint one is not, the interval excludes zero and the report says harm."""
    task = Task.of("lost", *LOST, test=LOST, held_out=0.1, seed=0)
    right = np.eye(2)[task.test_truth]
    worse = right.copy()
    worse[:20] = worse[:20, ::-1]
    assert compare_runs(task, worse, right)["transfer"] == "harm"
    assert compare_runs(task, right, worse)["transfer"] == "gain"
    assert compare_runs(task, right, right)["transfer"] == "none seen"


@pytest.mark.parametrize(
    ("tasks", "how", "match"),
    [
        ({}, {}, "no task"),
        ({"a": (PLACES, LOST[1][1:])}, {}, "72 texts and 71 labels"),
        ({"a": (PLACES, ["lost"] * len(PLACES))}, {}, "one label only"),
        ({"a": (PLACES, [1.0] * len(PLACES))}, {}, "one number only"),
        ({"a": (ALIKE[0], LOST[1])}, {}, "pairs of texts with labels"),
        ({"a": ([1, 2, 3, 4], ["a", "b", "a", "b"])}, {}, "holds '1'"),
        ({"a": LOST}, {"temperature": 0}, "temperature is 0"),
        ({"a": LOST}, {"weighting": "best"}, "no weighting 'best'"),
        ({"a": LOST}, {"weights": {"b": 1.0}}, "no task"),
        ({"a": LOST}, {"test": {"a": (PLACES, ["new"] * len(PLACES))}}, "never learns"),
    ],
)
def test_invalid_tasks_are_refused(
    tasks: Any, how: dict[str, Any], match: str, tiny_encoder: Path, tmp_path: Path
) -> None:
    """Each mistake raises UserError before a folder is made."""
    with pytest.raises(UserError, match=match):
        multitask(load(str(tiny_encoder)), tasks, out=tmp_path / "out", **how)
    assert not (tmp_path / "out").exists()
