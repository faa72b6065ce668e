"""`rung pretrain`: one command from texts to a language model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rung import load

pytestmark = pytest.mark.torch

SMALL = ("--layers", 1, "--dimensions", 16, "--heads", 2, "--vocabulary", 320, "--max-tokens", 32, "--epochs", 1)


def lines(tmp_path: Path) -> Path:
    table = tmp_path / "plays.txt"
    speeches = [
        f"the {who} said:\nI want {what}." for who in ("king", "queen", "fool") for what in ("bread", "wine", "you")
    ]
    table.write_text("\n\n".join(speeches) + "\n", "utf-8")
    return table


def test_a_model_in_one_command(rung: Any, tmp_path: Path) -> None:
    """Lines joined into passages; the summary says its size, its perplexity before and after, and what to type next."""
    ran = rung("pretrain", lines(tmp_path), "--out", tmp_path / "model", "--join", *SMALL)
    assert ran.code == 0, ran.err
    assert "causal model of" in ran.err
    assert "trained on 8 texts for 1 epochs" in ran.err
    assert "perplexity of 1 held-out texts" in ran.err
    assert f'rung.load("{tmp_path / "model"}")' in ran.err
    assert load(str(tmp_path / "model")).abilities == {"score", "generate"}


def test_masked_words_and_the_next_sentence(rung: Any, tmp_path: Path) -> None:
    """The summary has the accuracy on next sentences with its interval."""
    how = ("--kind", "masked+next", "--join", "--held-out", 0.3)
    ran = rung("pretrain", lines(tmp_path), "--out", tmp_path / "model", *how, *SMALL)
    assert ran.code == 0, ran.err
    assert "next sentence predicted right: " in ran.err


def test_a_folder_in_use_is_refused(rung: Any, tmp_path: Path) -> None:
    """A folder with other files is refused in two lines with exit code 2."""
    ran = rung("pretrain", lines(tmp_path), "--out", tmp_path, *SMALL)
    assert (ran.code, len(ran.err.strip().splitlines())) == (2, 2)
    assert "holds other files" in ran.err
