"""Write what is generated: the README's tables from benchmarks/results, and docs/cli.md from the command line itself.

Without arguments it writes; with --check it only compares, and exits 1 where something is out of date.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
COMMANDS = ["", "classify", "suggest", "models", "doctor", "cache"]


def main() -> None:
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
    tables = {"names": names_table(), "variants": variants_table(), "builtin": builtin_line()}
    pages = {ROOT / name: filled((ROOT / name).read_text("utf-8"), tables) for name in ("README.md", "docs/log.md")}
    return pages | {ROOT / "docs" / "cli.md": cli_page()}


def filled(page: str, tables: dict[str, str]) -> str:
    """The page with each table put between its two marks."""
    for name, table in tables.items():
        marks = rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)"
        page = re.sub(marks, lambda found, table=table: found[1] + table + found[2], page, flags=re.DOTALL)
    return page


def result(name: str) -> dict[str, Any]:
    """A committed result."""
    found: dict[str, Any] = json.loads((RESULTS / f"{name}.json").read_text("utf-8"))
    return found


def names_table() -> str:
    """One row a data set, one column a backbone: accuracy with its 95 % interval."""
    rows = result("names")["rows"]
    backbones = list(dict.fromkeys(row["backbone"] for row in rows))
    lines = ["| data set (test split) | labels | texts | " + " | ".join(f"`{name}`" for name in backbones) + " |"]
    lines.append("|---|---|---|" + "---|" * len(backbones))
    for name in dict.fromkeys(row["set"] for row in rows):
        found = {row["backbone"]: row for row in rows if row["set"] == name}
        first = next(iter(found.values()))
        cells = [f"{found[b]['accuracy']} [{found[b]['interval'][0]}, {found[b]['interval'][1]}]" for b in backbones]
        lines.append(f"| {name} | {first['labels']} | {first['texts']:,} | " + " | ".join(cells) + " |")
    means = [sum(r["accuracy"] for r in rows if r["backbone"] == b) / len(lines[2:]) for b in backbones]
    lines.append("| mean | | | " + " | ".join(f"{mean:.1f}" for mean in means) + " |")
    return "\n".join(lines) + "\n"


def builtin_line() -> str:
    """Size and speed of the built-in model."""
    found = result("builtin")
    speed = found["speed"]
    return (
        f"`builtin` is a static model of {found['size_bytes'] / 1e6:.1f} MB that comes with the package and needs no torch;"
        f" it embeds {speed['texts_per_s']:,} texts of {speed['set']} a second on two cores.\n"
    )


def variants_table() -> str:
    """One row a backbone and variant of the names rung, one column a data set."""
    rows = result("names")["variants"]
    names = list(dict.fromkeys(row["set"] for row in rows))
    lines = ["| backbone | variant | " + " | ".join(names) + " | mean |", "|---|---|" + "---|" * (len(names) + 1)]
    for backbone, variant in dict.fromkeys((row["backbone"], row["variant"]) for row in rows):
        found = {
            row["set"]: row["accuracy"] for row in rows if (row["backbone"], row["variant"]) == (backbone, variant)
        }
        mean = sum(found.values()) / len(found)
        lines.append(f"| {backbone} | {variant} | " + " | ".join(f"{found[n]}" for n in names) + f" | {mean:.1f} |")
    return "\n".join(lines) + "\n"


def cli_page() -> str:
    """The help pages of every command."""
    parts = ["# The command line\n\nMade by `make docs` from the commands themselves.\n"]
    for command in COMMANDS:
        title = f"rung {command}".strip()
        parts.append(f"\n## {title}\n\n```\n{help_of(command)}\n```\n")
    return "".join(parts)


def help_of(command: str) -> str:
    """What `--help` prints, 100 columns wide and without color."""
    call = [sys.executable, "-m", "rung", *([command] if command else []), "--help"]
    plain = {**os.environ, "COLUMNS": "100", "TERMINAL_WIDTH": "100", "NO_COLOR": "1", "TERM": "dumb"}
    shown = subprocess.run(call, capture_output=True, text=True, check=True, env=plain).stdout
    return "\n".join(line.rstrip() for line in shown.strip("\n").splitlines())


if __name__ == "__main__":
    main()
