"""OpenVINO gives the rows that PyTorch gives, is converted once, and reports no usage."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from rung import UserError, load
from rung.backbones.common import engines
from rung.backbones.common.engines import EngineOptions
from rung.backbones.encoder import EncoderBackbone

pytestmark = pytest.mark.torch

TEXTS = ["my card is lost", "a", "the app crashes: refund my money", "zzz " * 30, "help"] * 3


def opened(folder: Path, **options: str) -> EncoderBackbone:
    """A backbone that shares nothing with others."""
    return EncoderBackbone.open(folder, "tiny").with_options(options)


@pytest.fixture(autouse=True)
def one_engine() -> None:
    """Overrides the fixture of the same name: here all installed engines are tested."""


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RUNG_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.mark.parametrize(("precision", "close"), [("float32", 1e-6), ("bf16", 1e-3)])
def test_openvino_agrees_with_pytorch(tiny_encoder: Path, precision: str, close: float) -> None:
    """OpenVINO's rows agree with PyTorch's: to a cosine of 0.999 in bf16, and to the last digits in float32."""
    pytest.importorskip("openvino")
    reference = opened(tiny_encoder, engine="torch", precision="float32").embed(TEXTS)
    backbone = opened(tiny_encoder, engine="openvino", precision=precision)
    assert backbone.numerics == f"openvino-{precision}"
    assert (backbone.embed(TEXTS) * reference).sum(axis=1).min() > 1 - close
    assert backbone.embed(TEXTS[::-1])[::-1] == pytest.approx(backbone.embed(TEXTS), abs=close)


def test_a_conversion_is_made_once(tiny_encoder: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second backbone uses the conversion on disk; after clearing, it is made again."""
    pytest.importorskip("openvino")
    first = opened(tiny_encoder, engine="openvino", precision="float32").embed(TEXTS)
    made: list[Path] = []
    convert = engines._convert
    monkeypatch.setattr(engines, "_convert", lambda encoder, file: (made.append(file), convert(encoder, file)))
    assert np.array_equal(opened(tiny_encoder, engine="openvino", precision="float32").embed(TEXTS), first)
    assert made == []
    assert [file.name for file in sorted(cache.rglob("model.*"))] == ["model.bin", "model.xml"]
    assert engines.clear_conversions() > 0 == engines.conversions_bytes()
    opened(tiny_encoder, engine="openvino", precision="float32").embed(TEXTS)
    assert len(made) == 1


def test_a_conversion_that_differs_is_not_kept(
    tiny_encoder: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A conversion that differs from PyTorch by more than rounding is refused, and `auto` then uses PyTorch."""
    pytest.importorskip("openvino")
    monkeypatch.setattr(engines, "_MAX_CONVERSION_GAP", 1e-12)
    with pytest.raises(UserError, match="differs from PyTorch by"):
        opened(tiny_encoder, engine="openvino").embed(TEXTS)
    assert not list(cache.rglob("model.xml"))
    assert opened(tiny_encoder).numerics == "torch-float32"


def test_a_missing_engine_names_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names the missing package and the extra that brings it."""
    monkeypatch.setattr(engines, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"pip install 'rung\[openvino\]'"):
        EngineOptions.of("minilm", {"engine": "openvino"})


REFUSE_SOCKETS = """
import socket, sys
def refuse(self, *a): raise SystemExit(f"a socket was opened: {a}")
socket.socket.connect = socket.socket.connect_ex = socket.socket.sendto = refuse
"""
EMBED = """
from rung import load
backbone = load(sys.argv[1], engine="openvino", precision="float32")
assert backbone.embed(["a card"]).shape == (1, 32)
names = [name for name, module in sys.modules.items() if name.startswith("openvino_telemetry") and module]
assert not names, names
import threading
assert threading.active_count() == 1, threading.enumerate()
"""
# What a package with telemetry does: it writes a file in the home folder and sends a message.
WRITES = "from pathlib import Path\nPath.home().joinpath('.counted').write_text('1')"
SENDS = "socket.create_connection(('127.0.0.1', 9), timeout=1)"


def run_watched(code: str, home: Path, *arguments: str) -> tuple[subprocess.CompletedProcess[str], list[Path]]:
    """The finished run of `code` where every socket is refused, and the files that it left outside the cache."""
    kept = home / "cache"
    alone = {
        **os.environ,
        "HOME": str(home),
        "USERPROFILE": str(home),
        "RUNG_CACHE": str(kept),
        "TMPDIR": str(home),
    }
    before = set(home.rglob("*"))
    ran = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", REFUSE_SOCKETS + code, *arguments],
        env=alone,
        capture_output=True,
        text=True,
    )
    new = set(home.rglob("*")) - before
    return ran, [path for path in new if not path.is_relative_to(kept)]


def test_no_telemetry_runs(tiny_encoder: Path, tmp_path: Path) -> None:
    """Converting and running opens no socket and writes nothing in the home folder outside the cache."""
    pytest.importorskip("openvino")
    ran, left = run_watched(EMBED, tmp_path, str(tiny_encoder))
    assert ran.returncode == 0, ran.stderr
    assert left == []
    assert list((tmp_path / "cache").rglob("model.xml"))


def test_telemetry_would_be_caught(tmp_path: Path) -> None:
    """A program that does write or connect is caught, so the test above can fail."""
    ran, left = run_watched(WRITES, tmp_path)
    assert ran.returncode == 0, ran.stderr
    assert [path.name for path in left] == [".counted"]
    ran, _ = run_watched(SENDS, tmp_path)
    assert ran.returncode == 1
    assert "a socket was opened" in ran.stderr


def test_the_extra_openvino_exists(tiny_encoder: Path) -> None:
    """The extra that `load` names for OpenVINO exists in rung's own metadata."""
    from importlib.metadata import requires

    assert any("extra == 'openvino'" in each.replace('"', "'") for each in requires("rung") or [])
    assert load(str(tiny_encoder), engine="torch").numerics.startswith("torch-")
