"""`rung compare`: a table of settings, the best first, and errors for mistakes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")

pytestmark = pytest.mark.torch


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Forty texts, every fourth without a label."""
    lines = [
        f"my card is lost {i},{'money' if i % 4 else ''}\nthe app crashes {i},{'fault' if i % 4 else ''}"
        for i in range(20)
    ]
    file = tmp_path / "in.csv"
    file.write_text("text,label\n" + "\n".join(lines) + "\n", "utf-8")
    return file


@pytest.mark.filterwarnings("ignore::rung.inference.language.LanguageWarning")  # random weights read no language
def test_settings_in_one_command(rung: Any, table: Path, tiny_encoder: Path, tmp_path: Path) -> None:
    """A line for each setting with its interval, what cannot be tried with its reason, and a folder that a second run continues."""
    how = ["--known", "label", "--labels", "money,fault", "--backbone", tiny_encoder, "--out", tmp_path / "out"]
    tried = ["--try", "way=frozen,contrastive", "--try", "steps=5", "--try", f"backbone={tiny_encoder},builtin"]
    ran = rung("compare", table, *how, *tried)
    assert ran.code == 0, ran.err
    assert "as it is" in ran.err
    assert "30 labels, each held out once" in ran.err
    assert "not tried: backbone=builtin, way=contrastive, steps=5 (builtin is no sentence encoder" in ran.err
    assert (tmp_path / "out" / "comparison.csv").read_text("utf-8").startswith("setting,share,low,high,gain,")
    again = rung("compare", table, *how, *tried, "--try", "balanced=true")
    assert again.code == 0, again.err
    assert "balanced=True, way=contrastive, steps=5" in again.err


@pytest.mark.parametrize(
    ("how", "message"),
    [
        (["--try", "way"], "--try way=frozen,contrastive"),
        (["--try", "lerning-rate=1e-5"], "Did you mean 'learning_rate'"),
        (["--try", "learning_rate=1e-5..1e-3"], "trials=20"),
        (["--try", "way=frozen", "--folds", "1"], "folds is 1"),
    ],
)
def test_mistakes_give_two_lines(rung: Any, table: Path, tiny_encoder: Path, how: Any, message: str) -> None:
    """A mistake gives exit code 2, a line that says what is wrong and a line that says what to type."""
    ran = rung("compare", table, "--known", "label", "--labels", "money,fault", "--backbone", tiny_encoder, *how)
    assert (ran.code, message in ran.err, len(ran.err.strip().splitlines())) == (2, True, 2)
