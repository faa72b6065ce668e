"""The other commands, and the command line itself."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from rung.evidence.cache import Cache

Run = Callable[..., "object"]


def test_help_names_every_command(rung: Run) -> None:
    """`rung --help` lists every command."""
    ran = rung("--help")
    assert ran.code == 0
    for command in ("classify", "models", "doctor", "cache"):
        assert command in ran.out


def test_the_version_is_the_packages(rung: Run) -> None:
    """`rung --version` says the installed version."""
    from importlib.metadata import version

    assert rung("--version").out == f"rung {version('rung')}\n"


def test_a_mistyped_command_gets_two_lines(rung: Run) -> None:
    """The lines say what is wrong and where the help is."""
    ran = rung("clasify")
    assert ran.code == 2
    assert len(ran.err.splitlines()) == 2
    assert "clasify" in ran.err


def test_models_are_listed_with_what_is_here(rung: Run) -> None:
    """Every model of the catalog has a row; the one that auto uses is marked."""
    out = rung("models").out
    assert "bge-m3" in out
    assert out.count(" *") == 1
    assert next(line for line in out.splitlines() if line.startswith("builtin")).split()[1:3] != ["no", "embed"]


def test_doctor_tries_the_backbones(rung: Run) -> None:
    """The built-in model works here, and the cache's folder is named."""
    out = rung("doctor").out
    assert "builtin  works" in out.replace("   ", "  ").replace("   ", "  ")
    assert str(Cache().folder) in out
    assert "numpy" in out


def test_doctor_begins_with_what_matters(rung: Run) -> None:
    """First comes what auto uses and which models work, then the rest; no package is named twice."""
    lines = [line.split() for line in rung("doctor").out.splitlines() if line.strip()]
    assert lines[2][:2] == ["auto", "uses"]
    names = [line[0] for line in lines[[*map(" ".join, lines)].index("packages") + 1 :]]
    assert len(names) == len(set(names)) > 10
    assert next(line for line in lines if line[0] == "torch")[-1] == "rung[torch]"


def test_the_cache_is_shown_and_cleared(rung: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`rung cache` shows size and entries by backbone; --clear deletes them."""
    monkeypatch.setenv("RUNG_CACHE", str(tmp_path))
    assert "empty" in rung("cache").out
    Cache().put("space", ["a"], np.zeros((1, 4), np.float32), backbone="minilm")
    assert "minilm  1 embedding" in rung("cache").out
    assert "cleared" in rung("cache", "--clear").out
    assert Cache().usage() == []


def test_no_cache_leaves_no_trace(rung: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With --no-cache only the answers are written."""
    monkeypatch.setenv("RUNG_CACHE", str(tmp_path / "cache"))
    ran = rung(
        "classify", "-", "--format", "txt", "--labels", "a,b", "--backbone", "builtin", "--no-cache", stdin=b"x\n"
    )
    assert ran.code == 0
    assert not (tmp_path / "cache").exists()


CLASSIFY = [
    sys.executable,
    "-m",
    "rung",
    "classify",
    "-",
    "--format",
    "txt",
    "--labels",
    "good,bad",
    "--backbone",
    "builtin",
]


def unshared() -> list[str]:
    """A command prefix that takes the network away, where this machine allows it."""
    for prefix in (["unshare", "-n"], ["unshare", "-rn"]):
        try:
            if subprocess.run([*prefix, "true"], capture_output=True).returncode == 0:
                return prefix
        except FileNotFoundError:
            break
    return []


def test_it_works_without_a_network(tmp_path: Path) -> None:
    """The base path needs no network: run where there is none."""
    prefix = unshared()
    if not prefix:
        pytest.skip("this machine cannot unshare the network; sockets are blocked instead in the test below")
    ran = subprocess.run([*prefix, *CLASSIFY], input=b"a fine day\n", capture_output=True, cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.splitlines()[0] == b"text,label,probability,error"


def test_it_opens_no_socket(tmp_path: Path) -> None:
    """The base path does not even create a socket."""
    code = (
        "import socket, sys\n"
        "class Refused(socket.socket):\n"
        "    def __init__(self, *a, **k): raise AssertionError('a socket was opened')\n"
        "socket.socket = Refused\n"
        f"sys.argv = {['rung', *CLASSIFY[3:]]!r}\n"
        "import rung.cli; rung.cli.main()"
    )
    ran = subprocess.run([sys.executable, "-c", code], input=b"a fine day\n", capture_output=True, cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr


def test_a_closed_pipe_is_no_error() -> None:
    """`rung classify … | head -1` ends without an error message."""
    command = " ".join(f"'{part}'" for part in CLASSIFY)
    script = f"yes 'a fine day' | head -20000 | {command} | head -1"
    ran = subprocess.run(["bash", "-o", "pipefail", "-c", script], capture_output=True, env=os.environ)
    assert b"Traceback" not in ran.stderr
    assert ran.stdout == b"text,label,probability,error\n"
