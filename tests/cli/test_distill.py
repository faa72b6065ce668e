"""`rung distill`: one command from texts and label names to a student that classifies."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import pytest

from rung.training.students import student_models

LABELS = "billing,bug report"


def rows(page: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(page)))


def test_a_student_in_one_command(rung: Any, tmp_path: Path) -> None:
    """The folder works with classify --classifier; the summary says how often it agrees, how fast it is and what to type next."""
    table = tmp_path / "in.csv"
    lines = [
        f"the {a} is wrong {b}\nit {c} at start {b}"
        for a, c in [("invoice", "crashes"), ("price", "freezes"), ("refund", "fails")]
        for b in "abcdefghij"
    ]
    table.write_text("text\n" + "\n".join(lines) + "\n", "utf-8")
    out = tmp_path / "student"
    ran = rung("distill", table, "--labels", LABELS, "--backbone", "builtin", "--student", "ngram", "--out", out)
    assert ran.code == 0, ran.err
    assert "ngram student of 60 texts (teacher: rung pool)" in ran.err
    assert "texts a second here" in ran.err
    assert f"next: rung classify OTHER.csv --classifier {out}" in ran.err
    used = rung("classify", table, "--classifier", out)
    assert used.code == 0, used.err
    assert "rung student" in used.err
    taught = rung("classify", table, "--labels", LABELS, "--backbone", "builtin")
    same = [a["label"] == b["label"] for a, b in zip(rows(used.out), rows(taught.out), strict=True)]
    assert sum(same) >= 0.9 * len(same)
    again = rung("distill", table, "--labels", LABELS, "--out", out)
    assert (again.code, "holds a classifier already" in again.err) == (2, True)


def test_too_few_texts_are_refused(rung: Any, tmp_path: Path) -> None:
    """Too few texts give two lines and exit code 2, and no folder is left behind."""
    table = tmp_path / "in.csv"
    table.write_text("text\nan invoice\na crash\n", "utf-8")
    ran = rung("distill", table, "--labels", LABELS, "--backbone", "builtin", "--out", tmp_path / "student")
    assert (ran.code, "too few" in ran.err, len(ran.err.strip().splitlines()[-2:])) == (2, True, 2)
    assert not (tmp_path / "student").exists()


@pytest.mark.torch
def test_a_skipped_student_is_named(
    rung: Any, tiny_encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With --student auto the summary names the kind that was not tried and says why, as the record does."""
    monkeypatch.setattr(student_models, "TOKENS_PER_TEXT", 0)
    (tmp_path / "in.txt").write_text(
        "\n".join(f"my {a} {b}" for a in ("card", "app") for b in "abcdefghijklmno"), "utf-8"
    )
    teacher = ("--labels", "card,app", "--backbone", str(tiny_encoder))
    ran = rung("distill", tmp_path / "in.txt", *teacher, "--out", tmp_path / "student")
    assert ran.code == 0, ran.err
    assert "static student was not tried: 24 texts are too few: the " in ran.err
    named = rung("distill", tmp_path / "in.txt", *teacher, "--student", "ngram", "--out", tmp_path / "named")
    assert (named.code, "was not tried" in named.err) == (0, False)
