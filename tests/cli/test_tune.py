"""`rung tune`: from a file with some labels to a folder that classifies, and errors for mistakes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")

pytestmark = pytest.mark.torch


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Thirty texts, every third without a label."""
    lines = []
    for i in range(15):
        lines += [f"my card is lost {'help ' * (i % 4)}money,{'money' if i % 3 else ''}"]
        lines += [f"the app crashes {'a ' * (i % 5)}text,{'fault' if i % 3 else ''}"]
    file = tmp_path / "in.csv"
    file.write_text("text,label\n" + "\n".join(lines) + "\n", "utf-8")
    return file


def test_a_tuned_classifier_in_one_command(rung: Any, table: Path, tiny_encoder: Path, tmp_path: Path) -> None:
    """The folder works with classify --classifier; the summary says what was kept and why, and what to type next."""
    out = tmp_path / "tuned"
    how = ["--known", "label", "--labels", "money,fault", "--backbone", tiny_encoder, "--steps", 5, "--no-guard"]
    ran = rung("tune", table, "--out", out, *how)
    assert ran.code == 0, ran.err
    assert "rung tuned; tuned (contrastive) on 20 labels, unguarded." in ran.err
    assert f"next: rung classify OTHER.csv --classifier {out}" in ran.err
    assert {"record.json", "log.jsonl", "curves.svg", "classifier.json", "backbone"} <= {
        each.name for each in out.iterdir()
    }
    used = rung("classify", table, "--text", "text", "--prefix", "rung_", "--classifier", out)
    assert used.code == 0, used.err
    assert "rung tuned" in used.err


@pytest.mark.parametrize(
    ("how", "message"),
    [
        (["--labels", "money,fault", "--steps", "0"], "steps is 0"),
        (["--labels", "money,other"], "none of the labels"),
        (["--labels", "money,fault", "--backbone", "builtin"], "no sentence encoder"),
    ],
)
def test_mistakes_give_two_lines(
    rung: Any, table: Path, tiny_encoder: Path, tmp_path: Path, how: Any, message: str
) -> None:
    """A mistake gives exit code 2 and two lines, and no file is left behind."""
    ran = rung("tune", table, "--out", tmp_path / "tuned", "--known", "label", "--backbone", tiny_encoder, *how)
    assert (ran.code, message in ran.err, len(ran.err.strip().splitlines())) == (2, True, 2)
    assert [each.name for each in tmp_path.iterdir()] == ["in.csv"]
