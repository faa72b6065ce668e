"""Held-out labels on the command line: calibrated probabilities, and sets that contain the true label."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

Run = Callable[..., "object"]
BASE = ("--labels", "billing,bug report", "--backbone", "builtin", "--text", "text")
BILLS = [
    "the invoice is wrong",
    "please send the bill",
    "I was charged twice",
    "refund my payment",
    "what does it cost",
]
BUGS = ["it crashes", "an error on start", "the app freezes", "the screen stays black", "login fails"]
ROWS = [
    (f"{text} {i}", name)
    for i in range(8)
    for texts, name in ((BILLS, "billing"), (BUGS, "bug report"))
    for text in texts
]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """80 texts, all with their true label; every second one has it in the column `apart` too."""
    file = tmp_path / "in.csv"
    lines = [f"{text},{name if i % 2 else ''},{name}" for i, (text, name) in enumerate(ROWS)]
    file.write_text("\n".join(["text,apart,truth", *lines]) + "\n", "utf-8")
    return file


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_held_out_labels_give_sets_that_contain_the_true_label(rung: Run, source: Path) -> None:
    """--calibrate changes probabilities and no label, --level adds the sets, and the summary says by how many labels."""
    plain, ran = (rung("classify", source, *BASE, *more) for more in ((), ("--calibrate", "apart", "--level", "0.8")))
    assert ran.code == 0, ran.err
    before, found = rows(plain.out), rows(ran.out)
    assert list(found[0])[-4:] == ["label", "probability", "error", "labels"]
    assert [row["label"] for row in found] == [row["label"] for row in before]
    assert [row["probability"] for row in found] != [row["probability"] for row in before]
    assert np.mean([row["truth"] in row["labels"].split("|") for row in found]) >= 0.75
    assert "calibrated by 40 held-out labels" in ran.err
    assert "the true label in 80% of texts, give or take" in ran.err


def test_a_calibrated_classifier_gives_sets_for_other_files(rung: Run, source: Path, tmp_path: Path) -> None:
    """--save keeps the calibration, so that --classifier takes --level without more labels."""
    first = rung("classify", source, *BASE, "--calibrate", "apart", "--level", "0.8", "--save", tmp_path / "saved")
    again = rung("classify", source, "--text", "text", "--classifier", tmp_path / "saved", "--level", "0.8")
    assert again.code == 0, again.err
    assert [row["labels"] for row in rows(again.out)] == [row["labels"] for row in rows(first.out)]


def test_a_file_calibrates_several_labels_too(rung: Run, source: Path, tmp_path: Path) -> None:
    """With --multi-label a set holds all true labels; the file of labels may hold texts that IN does not."""
    apart = tmp_path / "apart.csv"
    apart.write_text("\n".join(["text,label", *(f"{text}!,{name}" for text, name in ROWS)]) + "\n", "utf-8")
    ran = rung("classify", source, *BASE, "--multi-label", "--calibrate", apart, "--level", "0.8")
    assert ran.code == 0, ran.err
    assert np.mean([row["truth"] in row["labels"].split("|") for row in rows(ran.out)]) >= 0.7


def test_the_summary_says_that_labels_are_too_few(rung: Run, source: Path, tmp_path: Path) -> None:
    """With fewer labels than a level needs, every set contains all labels, and the summary says how many are needed."""
    apart = tmp_path / "apart.csv"
    apart.write_text("text,label\nmy invoice,billing\nit crashed,bug report\n", "utf-8")
    ran = rung("classify", source, *BASE, "--calibrate", apart, "--level", "0.9")
    assert {row["labels"] for row in rows(ran.out)} == {"billing|bug report"}
    assert "at least 9 held-out labels" in ran.err


@pytest.mark.parametrize(
    ("typed", "what"),
    [
        (("--level", "0.9"), "--level needs held-out labels"),
        (("--calibrate", "apart", "--level", "90"), "--level: got 90"),
        (("--calibrate", "apart", "--known", "truth"), "--calibrate apart: 40 of 40 labelled texts are in --known too"),
        (("--calibrate", "nowhere"), "nowhere"),
        (("--calibrate", "apart", "--engine", "ray"), "--calibrate does nothing with --engine ray"),
    ],
)
def test_what_cannot_be_calibrated_is_refused(rung: Run, source: Path, typed: tuple[str, ...], what: str) -> None:
    """An impossible calibration is refused in two lines, with nothing on standard output."""
    ran = rung("classify", source, *BASE, *typed)
    assert (ran.code, ran.out) == (2, "")
    assert what in ran.err.splitlines()[0]
    assert len(ran.err.splitlines()) == 2
