"""Which engine and precision an encoder takes here: measured once, remembered for this machine and this backbone.

auto     the fastest of those ways whose rows agree with PyTorch in float32: cosine ≥ 0.999 for every text that was measured.
bf16     is tried only where the processor computes in it (AVX512-BF16 or AMX): elsewhere it is emulated, and many times slower.
         PyTorch's own bf16 is left to those who ask for it on a processor: it moves more labels (docs/results.md).
GPU      PyTorch in bf16, where the GPU has it.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib import resources
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from tempfile import NamedTemporaryFile
from time import perf_counter
from typing import Any

from rung.backbones.common.engines import Options, Way
from rung.errors import UserError
from rung.evidence import Array
from rung.evidence.cache import default_folder

REFERENCE = Way("torch", "float32")
COSINE = 0.999  # of every row with the reference's
_TEXTS = 24
_RUNS = 3
_SECONDS = 0.25  # for the runs of one way; the first run is always made

Embed = Callable[[list[str]], Array]


def choose(options: Options, fingerprint: str, open_way: Callable[[Way], Embed]) -> Way:
    """The way to run the backbone `fingerprint` within `options`; `open_way` gives what embeds texts in a way.

    Raises UserError where a way that was asked for cannot be run.
    """
    if "auto" not in (options.engine, options.precision):
        return Way(options.engine, options.precision)
    key = _key(options, fingerprint)
    known = _remembered().get(key)
    if known is not None:
        return Way(*known["way"])
    ways = [way for way in candidates() if options.allows(way)] or [_plainest(options)]
    speeds = measured(ways, open_way) if len(ways) > 1 else {ways[0]: 0.0}
    best = max(speeds, key=speeds.__getitem__)
    _remember(key, {"way": list(best), "texts_per_s": {str(way): round(each, 1) for way, each in speeds.items()}})
    return best


def candidates() -> list[Way]:
    """The ways that may be the fastest here."""
    import torch

    if torch.cuda.is_available():
        return [Way("torch", "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float32")]
    found = [REFERENCE]
    if find_spec("openvino") is not None:
        found += [Way("openvino", "float32")] + [Way("openvino", "bf16")] * computes_bf16()
    return found


def computes_bf16() -> bool:
    """Whether this processor computes in bf16, rather than emulating it."""
    import torch

    able = (getattr(torch.cpu, name, None) for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"))
    return any(each is not None and each() for each in able)


def measured(ways: Sequence[Way], open_way: Callable[[Way], Embed]) -> dict[Way, float]:
    """Texts a second of each of the `ways` whose rows agree with the reference's."""
    texts = _texts()
    wanted, speed = _timed(open_way(REFERENCE), texts)
    speeds = {REFERENCE: speed} if REFERENCE in ways else {}
    for way in ways:
        if way == REFERENCE:
            continue
        with suppress(UserError, RuntimeError):  # OpenVINO cannot run this one: that way is out
            rows, speed = _timed(open_way(way), texts)
            if (rows * wanted).sum(axis=1).min() >= COSINE:
                speeds[way] = speed
    return speeds or {ways[0]: 0.0}  # it was asked for: running it says why it cannot be


def _timed(embed: Embed, texts: list[str]) -> tuple[Array, float]:
    """Rows, and texts a second in the fastest of a few runs after a first one that warms up."""
    rows, seconds = embed(texts), []
    for run in count(1):
        start = perf_counter()
        embed(texts)
        seconds.append(perf_counter() - start)
        if run == _RUNS or sum(seconds) > _SECONDS:
            return rows, len(texts) / min(seconds)
    raise AssertionError


def _texts() -> list[str]:
    lines = (resources.files("rung.backbones") / "background.txt").read_text("utf-8").splitlines()
    return lines[:_TEXTS]


def _plainest(options: Options) -> Way:
    """The way that was asked for where none of the candidates is it: bf16 that is emulated, say."""
    engine = "torch" if options.engine == "auto" else options.engine
    return Way(engine, "float32" if options.precision == "auto" else options.precision)


def _key(options: Options, fingerprint: str) -> str:
    """All that the choice depends on: options, backbone, processor, cores, versions."""
    versions = [_version(name) for name in ("rung", "torch", "transformers", "openvino")]
    devices = os.environ.get("CUDA_VISIBLE_DEVICES", ""), os.environ.get("OMP_NUM_THREADS", "")
    said = [str(options), fingerprint, _processor(), str(os.cpu_count()), *devices, *versions]
    return hashlib.sha256("\n".join(said).encode()).hexdigest()[:32]


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def _processor() -> str:
    """The processor's name and what it can do, as far as the system says."""
    with suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
        return " ".join(dict.fromkeys(line for line in lines if line.startswith(("model name", "flags", "Features"))))
    return f"{platform.machine()} {platform.processor()}"


def memory() -> Path:
    """The file that remembers."""
    return default_folder() / "engines.json"


def forget() -> None:
    """Measure anew the next time: after a choice that was made while the machine was busy, say."""
    memory().unlink(missing_ok=True)


def _remembered() -> dict[str, Any]:
    try:
        found = json.loads(memory().read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _remember(key: str, choice: dict[str, Any]) -> None:
    """Written whole, or not at all: what cannot be written is measured again."""
    file = memory()
    with suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        with NamedTemporaryFile("w", dir=file.parent, encoding="utf-8", delete=False) as new:
            json.dump(_remembered() | {key: choice}, new, indent=1)
        Path(new.name).replace(file)
