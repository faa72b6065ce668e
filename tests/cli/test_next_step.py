"""What a run of classify proposes as the next step."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

DESCRIBED = "billing: invoices, refunds\nbug report: it crashes\n"


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    texts = ["the invoice is wrong", "it crashes at start", "charged twice this month", "an error when I save"]
    contents = {
        "in.csv": "text,mine\n"
        + "".join(f"{text},{'billing' if i % 2 == 0 else 'bug report'}\n" for i, text in enumerate(texts)),
        "labels.txt": DESCRIBED,
        "one-bare.txt": DESCRIBED + "praise\n",
        "bare.txt": "billing\nbug report\n",
        "german.csv": "text\n"
        + "Die Rechnung ist leider wieder falsch.\nDas Programm stürzt beim Öffnen immer ab.\n" * 3,
    }
    for name, content in contents.items():
        (tmp_path / name).write_text(content, "utf-8")
    return {name: tmp_path / name for name in contents}


def next_step(rung: Any, *arguments: object) -> str:
    """The line that says what to do next."""
    ran = rung("classify", *arguments, "--backbone", "builtin", "--text", "text")
    assert ran.code == 0, ran.err
    return next(line for line in ran.err.splitlines() if line.startswith("next: "))


def test_labels_without_a_description_are_named(rung: Any, files: dict[str, Path]) -> None:
    """Where only some labels are names alone, these are named; where none is, the next texts are asked for."""
    assert next_step(rung, files["in.csv"], "--labels", files["bare.txt"]).startswith("next: describe the labels,")
    assert next_step(rung, files["in.csv"], "--labels", files["one-bare.txt"]).endswith("often helps: praise")
    assert next_step(rung, files["in.csv"], "--labels", files["labels.txt"]).startswith("next: rung suggest ")


def test_the_command_can_be_pasted_with_its_reason(rung: Any, files: dict[str, Path]) -> None:
    """What a command is for stands behind it as a comment of the shell."""
    command, _, reason = next_step(rung, files["in.csv"], "--labels", files["labels.txt"]).partition("   # ")
    assert (command.startswith("next: rung suggest"), "help most" in reason) == (True, True)


def test_no_text_is_asked_for_where_all_are_labelled(rung: Any, files: dict[str, Path]) -> None:
    """Every row has its label, so that keeping the classifier is what is left."""
    step = next_step(rung, files["in.csv"], "--labels", files["labels.txt"], "--known", "mine")
    assert step.startswith("next: --save FOLDER")


def test_a_saved_classifier_leads_to_other_files_and_from_there_to_a_comparison(
    rung: Any, files: dict[str, Path], tmp_path: Path
) -> None:
    """Advice on labels or backbones is of no use to a classifier that is only applied."""
    saved = tmp_path / "kept"
    step = next_step(rung, files["in.csv"], "--labels", files["one-bare.txt"], "--known", "mine", "--save", saved)
    assert step == f"next: rung classify OTHER.csv --classifier {saved}"
    ran = rung("classify", files["in.csv"], "--text", "text", "--classifier", saved)
    assert "next: label some of these texts by hand and compare" in ran.err


def test_texts_that_are_not_read_come_first(rung: Any, files: dict[str, Path]) -> None:
    """No description and no label helps a backbone that does not read the texts."""
    step = next_step(rung, files["german.csv"], "--labels", files["bare.txt"])
    assert step.startswith("next: choose a backbone that reads")
