"""The structure that DESIGN promises: imports point one way, and heavy packages stay out of the light paths."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[1] / "src" / "rung"

# Each room may import the rooms before it, and itself.
ORDER = [
    {"messages"},
    {"errors"},
    {"intervals", "text_encoding", "threads", "workbook"},
    {"labels"},
    {"evidence"},
    {"backbones", "rungs", "decide"},
    {"inference"},
    {"estimator"},
    {"tables"},
    {"runs"},
    {"training"},
    {"evaluation"},
    {"tasks"},
    {"cli", "serving"},
]
# Files that stand in no room: the entry points, and the ground that every room stands on.
GROUND = {"__init__", "__main__", "errors", "intervals", "text_encoding", "threads", "workbook"}


def room(path: Path) -> str:
    """The part of the package that a file belongs to."""
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def level(name: str) -> int:
    return next(i for i, rooms in enumerate(ORDER) if name in rooms)


def imports(path: Path) -> set[str]:
    """Rooms of rung that a file imports at run time; what only the type checker sees does not count."""
    tree = ast.parse(path.read_text("utf-8"))
    typing_only = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and id(node) not in typing_only and (node.module or "").startswith("rung"):
            parts = str(node.module).split(".")
            found |= {parts[1]} if len(parts) > 1 else {alias.name for alias in node.names}
    return found


FILES = [path for path in sorted(SOURCE.rglob("*.py")) if room(path) not in ("__init__", "__main__")]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_imports_point_one_way(path: Path) -> None:
    """No file imports a room above its own; backbones and rungs never import each other."""
    here = room(path)
    for other in imports(path) - {here}:
        assert level(other) <= level(here), f"{here} imports {other}"
        if level(here) == level(other) and here in ("backbones", "rungs", "decide"):
            pytest.fail(f"{here} and {other} must not know of each other")


def test_every_room_has_its_place() -> None:
    """A new room must say where it stands before it can be imported from."""
    assert {room(path) for path in FILES} <= set().union(*ORDER)


def test_no_file_stands_outside_a_room() -> None:
    """Beside the rooms there are only the entry points and the ground."""
    assert {path.stem for path in SOURCE.glob("*.py")} <= GROUND


def module(path: Path) -> str:
    """The name that a file is imported by."""
    return ".".join(path.relative_to(SOURCE.parent).with_suffix("").parts).removesuffix(".__init__")


def imported_files(path: Path, modules: set[str]) -> set[str]:
    """Modules of rung that a file imports, at its top or in a function; what only the type checker sees counts too."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("rung"):
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                found.add(whole if whole in modules else str(node.module))
    return found & modules


def test_no_circle_of_files() -> None:
    """Files can be read in an order in which each one stands on those before it."""
    paths = {module(path): path for path in SOURCE.rglob("*.py")}
    packages = {name for name, path in paths.items() if path.stem == "__init__"}
    graph = {name: imported_files(path, set(paths)) - {name} for name, path in paths.items() if name not in packages}
    try:
        tuple(TopologicalSorter(graph).static_order())
    except CycleError as error:
        pytest.fail(f"a circle of files: {' -> '.join(error.args[1])}")


def test_rungs_never_import_torch() -> None:
    """Whatever a rung computes, it computes with NumPy and SciPy."""
    for path in (SOURCE / "rungs").glob("*.py"):
        assert not re.search(r"^\s*(import|from) torch", path.read_text("utf-8"), re.MULTILINE)


def loaded_by(code: str) -> set[str]:
    """Top-level modules that are loaded after running `code` in a new interpreter."""
    script = f"import sys\n{code}\nprint(' '.join({{name.split('.')[0] for name in sys.modules}}))"
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(ran.stdout.splitlines()[-1].split())


def test_help_imports_nothing_heavy() -> None:
    """`rung --help` answers before NumPy could even be read."""
    code = "import contextlib, rung.cli\nsys.argv = ['rung', '--help']\nwith contextlib.suppress(SystemExit): rung.cli.main()"
    heavy = {"numpy", "scipy", "sklearn", "pyarrow", "torch", "transformers", "tokenizers", "yaml"}
    assert not heavy & loaded_by(code)


def test_the_base_path_imports_no_torch() -> None:
    """Classifying with the built-in model works without torch, so it must not load it where it is."""
    code = "from rung import Classifier\nClassifier(['good', 'bad'], backbone='builtin').predict(['fine'])"
    assert "torch" not in loaded_by(code)
