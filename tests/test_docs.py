"""What is written about the project is made from it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def test_tables_and_help_pages_are_up_to_date() -> None:
    """README tables come from committed results, docs/cli.md from the commands: `make docs` would change nothing."""
    ran = subprocess.run([sys.executable, ROOT / "tools" / "write_docs.py", "--check"], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_the_readmes_shell_line_runs(tmp_path: Path) -> None:
    """The `rung classify` line of the README works as it stands, from the root of the project."""
    readme = (ROOT / "README.md").read_text("utf-8")
    line = next(line for line in readme.splitlines() if line.startswith("rung classify examples/"))
    words = [*re.sub(r"--out \S+", f"--out {tmp_path / 'out.csv'}", line).split(), "--no-cache"]
    ran = subprocess.run([sys.executable, "-m", *words], cwd=ROOT, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    assert (tmp_path / "out.csv").exists()


@pytest.mark.parametrize("file", ["README.md", "CONTRIBUTING.md", "docs/log.md", "docs/models.md"])
def test_every_file_that_is_named_exists(file: str) -> None:
    """Links to files of the project lead somewhere."""
    here = (ROOT / file).parent
    links = re.findall(r"\]\((?!https?:|#)([^)#]+)", (ROOT / file).read_text("utf-8"))
    assert [link for link in links if not (here / link).exists()] == []


def test_the_readmes_tree_shows_every_room() -> None:
    """The tree names every folder and ground file of src/rung, in the order of its floors, and no file that is not there."""
    tree = re.search(r"```\nsrc/rung/\n(.*?)```", (ROOT / "README.md").read_text("utf-8"), re.DOTALL)
    assert tree is not None
    inside = tree[1].split("tests/")[0]
    source = ROOT / "src" / "rung"
    rooms = [found.parent.name for found in source.glob("*/__init__.py")]
    assert sorted(re.findall(r"^  (\w+)/ ", inside, re.MULTILINE)) == sorted(rooms)
    ground = {path.name for path in source.glob("[!_]*.py")}
    assert ground <= set(re.findall(r"[\w]+\.py", inside))
    for room, about in re.findall(r"^  (\w+)/ +(.*)$", inside, re.MULTILINE):
        named = re.findall(r"\b\w+\.(?:py|toml|json)\b", about)
        assert [name for name in named if not list((source / room).rglob(name))] == []
