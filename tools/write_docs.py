"""Write what is generated: the README's tables from benchmarks/results, and docs/cli.md from the command line itself.

Without arguments it writes; with --check it only compares, and exits 1 where something is out of date.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import accuracy_tables
import speed_tables
import training_tables
from table_cells import ROOT

from rung.cli import app

PAGES = ["README.md", "docs/log.md", "docs/results.md", "docs/speed.md", "docs/training.md"]


def main() -> None:
    if "--check" not in sys.argv:
        import figures  # drawn anew, and not compared: another matplotlib draws another file

        figures.draw()
    out_of_date = []
    for file, content in generated().items():
        if not file.exists() or file.read_text("utf-8") != content:
            out_of_date.append(file.relative_to(ROOT))
            if "--check" not in sys.argv:
                file.write_text(content, "utf-8")
    print("\n".join(f"{'out of date' if '--check' in sys.argv else 'wrote'}: {file}" for file in out_of_date))
    sys.exit(bool(out_of_date) and "--check" in sys.argv)


def generated() -> dict[Path, str]:
    """Every generated file with what it should hold."""
    tables = {
        name: made() for part in (accuracy_tables, speed_tables, training_tables) for name, made in part.TABLES.items()
    }
    pages = {ROOT / name: filled((ROOT / name).read_text("utf-8"), tables) for name in PAGES}
    return pages | {ROOT / "docs" / "cli.md": cli_page()}


def filled(page: str, tables: dict[str, str]) -> str:
    """The page with each table put between its two marks."""
    for name, table in tables.items():
        marks = rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)"
        page = re.sub(marks, lambda found, table=table: found[1] + table + found[2], page, flags=re.DOTALL)
    return page


def cli_page() -> str:
    """The help pages of every command."""
    parts = ["# The command line\n\nMade by `make docs` from the commands themselves.\n"]
    for command in ["", *(str(each.name) for each in app.registered_commands)]:
        title = f"rung {command}".strip()
        parts.append(f"\n## {title}\n\n```\n{help_of(command)}\n```\n")
    return "".join(parts)


def help_of(command: str) -> str:
    """What `--help` prints, 100 columns wide and without color."""
    call = [sys.executable, "-m", "rung", *([command] if command else []), "--help"]
    plain = {
        **os.environ,
        "RUNG_LANG": "en",
        "COLUMNS": "100",
        "TERMINAL_WIDTH": "100",
        "NO_COLOR": "1",
        "TERM": "dumb",
    }
    shown = subprocess.run(call, capture_output=True, text=True, check=True, env=plain).stdout
    return "\n".join(line.rstrip() for line in shown.strip("\n").splitlines())


if __name__ == "__main__":
    main()
