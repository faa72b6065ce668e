"""Options that have no effect with the others are refused before anything is written."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from pathlib import Path

import pytest

from rung import cli
from rung.cli.option_rules import RULES

Run = Callable[..., "object"]
BASE = ("--labels", "billing,bug report", "--backbone", "builtin")
TREE = "name,parent\nmoney,\ninvoice,money\nrefund,money\nsoftware,\ncrash,software\nlogin,software\n"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    file = tmp_path / "in.csv"
    file.write_text("id,text\n1,I was charged twice on the invoice\n2,the app crashes with an error\n", "utf-8")
    return file


@pytest.mark.parametrize(
    ("typed", "what"),
    [
        (("--no-pool", "--shares", "billing=0.5"), "--shares does nothing with --no-pool"),
        (("--no-pool", "--reject", "auto"), "--reject does nothing with --no-pool"),
        (("--no-pool", "--multi-label"), "--multi-label does nothing with --no-pool"),
        (("--no-pool", "--explain"), "--explain does nothing with --no-pool"),
        (("--balanced", "--shares", "billing=0.5"), "--balanced does nothing with --shares"),
        (("--multi-label", "--reject", "auto"), "--reject does nothing with --multi-label"),
        (("--force",), "--force does nothing without --out or --save"),
        (("--confidence", "0.7"), "--confidence does nothing without a tree"),
        (("--classifier", "x", "--no-pool"), "--no-pool does nothing with --classifier"),
        (("--classifier", "x", "--balanced"), "--balanced does nothing with --classifier"),
        (("--classifier", "x", "--long", "cut"), "--long does nothing with --classifier"),
        (("--classifier", "x", "--geometry", "builtin"), "--geometry does nothing with --classifier"),
    ],
)
def test_an_option_that_would_do_nothing_is_refused(rung: Run, source: Path, typed: tuple[str, ...], what: str) -> None:
    """Two lines, exit code 2, and standard output stays empty."""
    base = ("--backbone", "builtin") if "--classifier" in typed else BASE
    ran = rung("classify", source, *base, *typed)
    assert (ran.code, ran.out) == (2, "")
    first, second = ran.err.splitlines()
    assert first.startswith(what)
    assert second.startswith("  ")


def test_with_known_labels_the_same_options_have_an_effect(rung: Run, source: Path, tmp_path: Path) -> None:
    """--no-pool with --known is fitted on the labelled texts, so what is learned from texts is taken."""
    (tmp_path / "known.csv").write_text("text,label\nmy invoice,billing\nit crashes,bug report\n", "utf-8")
    ran = rung("classify", source, *BASE, "--no-pool", "--known", tmp_path / "known.csv", "--balanced", "--explain")
    assert ran.code == 0, ran.err


def test_every_rule_names_options_that_are_there() -> None:
    """The table speaks of commands and options that exist, so that no rule is forgotten when an option is renamed."""
    from typer.main import get_command

    commands = get_command(cli.app).commands
    for name, rules in RULES.items():
        there = {max(each.opts, key=len) for each in commands[name].params}
        for rule in rules:
            named = [rule.option, *rule.without, *rule.unless, *([rule.beside.split()[0]] if rule.beside else [])]
            assert set(named) <= there, (name, rule)


def test_confidence_is_the_depth_of_answers_in_a_tree(rung: Run, source: Path, tmp_path: Path) -> None:
    """The more probable an answer must be, the higher in the tree it is, also of a saved classifier; a value above 1 is refused."""
    tree = tmp_path / "tree.csv"
    tree.write_text(TREE, "utf-8")
    base = ("--labels", tree, "--backbone", "builtin", "--no-pool")

    def labels(*options: object) -> list[str]:
        ran = rung("classify", source, *options)
        assert ran.code == 0, ran.err
        return [row["label"] for row in csv.DictReader(io.StringIO(ran.out))]

    assert labels(*base, "--confidence", "0") == ["invoice", "crash"]
    assert labels(*base, "--confidence", "1") == ["", ""]
    rung("classify", source, *base, "--save", tmp_path / "saved")
    assert labels("--classifier", tmp_path / "saved", "--confidence", "1") == ["", ""]
    ran = rung("classify", source, *base, "--confidence", "70")
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith("--confidence: got 70")


def test_a_second_model_can_place_the_texts(rung: Run, source: Path, tmp_path: Path) -> None:
    """--geometry goes to the classifier, is checked like a backbone, and stands in the next command of the loop."""
    ran = rung("classify", source, *BASE, "--geometry", "bultin")
    assert (ran.code, ran.out) == (2, "")
    assert "Did you mean 'builtin'?" in ran.err
    assert rung("classify", source, *BASE, "--geometry", "builtin").code == 0
    ran = rung("suggest", source, *BASE, "--geometry", "builtin", "-n", "1", "--out", tmp_path / "ask.csv")
    assert "--geometry builtin" in ran.err
