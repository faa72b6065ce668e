"""Hold the catalog of messages to the code: every message in every language, with the same {fields}, and none too many.

Without arguments it prints what is missing, ready to be filled in and added to src/rung/messages/zh.json; with --check it lists
every fault and exits 1 where there is one.
"""

from __future__ import annotations

import ast
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from string import Formatter
from typing import Any

from rung.messages.catalog import LANGUAGES, catalog

SOURCE = Path(__file__).resolve().parents[1] / "src" / "rung"
FUNCTIONS = {"tr": 1, "tr_n": 2, "message": 1, "UserError": 2}  # how many of the first arguments are templates


def main() -> None:
    """Print what is missing, or with --check every fault."""
    if "--check" in sys.argv:
        faults = [*faults_of_code(), *faults_of_catalogs()]
        print("\n".join(faults) or "every message is there")
        sys.exit(bool(faults))
    missing = {template: "" for template in sorted(templates()) if template not in catalog("zh")}
    print(json.dumps(missing, indent=2, ensure_ascii=False))


def templates() -> set[str]:
    """Every message of the source: the templates of `tr`, `message` and `UserError`, and the help of the command line."""
    return {text for path in SOURCE.rglob("*.py") for text in _of_file(path)}


def faults_of_code() -> Iterator[str]:
    """Templates that are no plain texts, and calls whose values are not those that the template names."""
    for path in sorted(SOURCE.rglob("*.py")):
        for call in _calls(path):
            where = f"{path.relative_to(SOURCE)}:{call.lineno}"
            given = call.args[: FUNCTIONS[_name(call)]]
            if any(isinstance(inner, ast.JoinedStr) for arg in given for inner in _branches(arg)):
                yield f"{where}: an f-string; write a template with {{fields}} and pass their values"
            yield from (f"{where}: {fault}" for fault in _unfilled(call, given))


def faults_of_catalogs() -> Iterator[str]:
    """Messages that a language lacks, or has although no code says them, or whose fields differ."""
    wanted = templates()
    for name in LANGUAGES[1:]:
        found = catalog(name)
        yield from (f"{name}: missing: {text}" for text in sorted(wanted - found.keys()))
        yield from (f"{name}: in no code: {text}" for text in sorted(found.keys() - wanted))
        for text in sorted(wanted & found.keys()):
            if fields(text) != fields(found[text]):
                yield f"{name}: other fields than the English: {text}"


def fields(template: str) -> set[str]:
    """The names of the {fields} of a template; none where it cannot be a template, since its braces are text.

    >>> sorted(fields("{name!r} is given {n:,} times"))
    ['n', 'name']
    """
    try:
        return {name for _, name, _, _ in Formatter().parse(template) if name is not None}
    except ValueError:
        return set()


def _of_file(path: Path) -> Iterator[str]:
    for call in _calls(path):
        for argument in call.args[: FUNCTIONS[_name(call)]]:
            yield from (each.value for each in _branches(argument) if _is_text(each))
    if path.parent.name == "cli":
        yield from _help_of(path)


def _help_of(path: Path) -> Iterator[str]:
    """Help of options, and of the command itself."""
    tree = ast.parse(path.read_text("utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.keyword) and node.arg == "help" and _is_text(node.value):
            yield node.value.value  # type: ignore[attr-defined]  # _is_text says so
        if isinstance(node, ast.FunctionDef) and node.name == path.stem:
            yield ast.get_docstring(node) or ""


def _calls(path: Path) -> Iterator[ast.Call]:
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Call) and _name(node) in FUNCTIONS:
            yield node


def _name(call: ast.Call) -> str:
    return call.func.id if isinstance(call.func, ast.Name) else ""


def _branches(node: ast.expr) -> Iterator[Any]:
    """What a conditional expression can come to."""
    if isinstance(node, ast.IfExp):
        yield from (*_branches(node.body), *_branches(node.orelse))
    else:
        yield node


def _is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def _unfilled(call: ast.Call, given: list[ast.expr]) -> Iterator[str]:
    """Fields without a value, in a call whose templates and values all stand in it."""
    values = {keyword.arg for keyword in call.keywords}
    if not values or None in values or _name(call) == "message":
        return
    for text in (each.value for argument in given for each in _branches(argument) if _is_text(each)):
        yield from (f"no value for {{{field}}}" for field in sorted(fields(text) - values))


if __name__ == "__main__":
    main()
