"""Which engine and precision an encoder runs with on this machine: measured once, then saved for this backbone and machine.

auto     the fastest config whose rows agree with PyTorch in float32: cosine ≥ 0.999 for every text of the measurement.
bf16     is tried only where the processor computes in it (AVX512-BF16 or AMX); elsewhere it is emulated and many times slower.
         PyTorch's own bf16 on a processor is used only on request: it changes more labels (docs/results.md).
GPU      PyTorch in bf16, where the GPU supports it.
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

from rung.backbones.common.engines import EngineConfig, EngineOptions
from rung.errors import UserError
from rung.evidence import Array
from rung.evidence.cache import default_folder

REFERENCE = EngineConfig("torch", "float32")
MIN_COSINE = 0.999  # of every row with the row of the reference
_N_TEXTS = 24
_MAX_RUNS = 3
_MAX_SECONDS = 0.25  # for the runs of one config; at least one run is timed

Embed = Callable[[list[str]], Array]


def choose_engine(
    options: EngineOptions, fingerprint: str, open_encoder: Callable[[EngineConfig], Embed]
) -> EngineConfig:
    """The config to run the backbone `fingerprint` with, within `options`; `open_encoder` gives the embedding function of a config.

    Raises UserError where a config that the user asked for cannot be run.
    """
    if "auto" not in (options.engine, options.precision):
        return EngineConfig(options.engine, options.precision)
    key = _key(options, fingerprint)
    known = _saved_choices().get(key)
    if known is not None:
        return EngineConfig(*known["way"])
    configs = [config for config in candidate_configs() if options.allows(config)] or [_requested(options)]
    speeds = throughputs(configs, open_encoder) if len(configs) > 1 else {configs[0]: 0.0}
    best = max(speeds, key=speeds.__getitem__)
    _save_choice(
        key, {"way": list(best), "texts_per_s": {str(config): round(each, 1) for config, each in speeds.items()}}
    )
    return best


def candidate_configs() -> list[EngineConfig]:
    """The configs that may be the fastest on this machine."""
    import torch

    if torch.cuda.is_available():
        return [EngineConfig("torch", "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float32")]
    found = [REFERENCE]
    if find_spec("openvino") is not None:
        found += [EngineConfig("openvino", "float32")] + [EngineConfig("openvino", "bf16")] * computes_bf16()
    return found


def computes_bf16() -> bool:
    """Whether this processor computes in bf16 itself, without emulation."""
    import torch

    able = (getattr(torch.cpu, name, None) for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"))
    return any(each is not None and each() for each in able)


def throughputs(
    configs: Sequence[EngineConfig], open_encoder: Callable[[EngineConfig], Embed]
) -> dict[EngineConfig, float]:
    """Texts per second of each of the `configs` whose rows agree with those of the reference."""
    texts = _texts()
    wanted, speed = _timed_run(open_encoder(REFERENCE), texts)
    speeds = {REFERENCE: speed} if REFERENCE in configs else {}
    for config in configs:
        if config == REFERENCE:
            continue
        with suppress(UserError, RuntimeError):  # OpenVINO cannot run this encoder: the config is left out
            rows, speed = _timed_run(open_encoder(config), texts)
            if (rows * wanted).sum(axis=1).min() >= MIN_COSINE:
                speeds[config] = speed
    return speeds or {configs[0]: 0.0}  # the user asked for it: running it raises the reason


def _timed_run(embed: Embed, texts: list[str]) -> tuple[Array, float]:
    """Rows, and texts per second in the fastest of a few runs after a warm-up run."""
    rows, seconds = embed(texts), []
    for run in count(1):
        start = perf_counter()
        embed(texts)
        seconds.append(perf_counter() - start)
        if run == _MAX_RUNS or sum(seconds) > _MAX_SECONDS:
            return rows, len(texts) / min(seconds)
    raise AssertionError


def _texts() -> list[str]:
    lines = (resources.files("rung.backbones") / "background.txt").read_text("utf-8").splitlines()
    return lines[:_N_TEXTS]


def _requested(options: EngineOptions) -> EngineConfig:
    """The config that the user asked for, where it is none of the candidates, such as emulated bf16."""
    engine = "torch" if options.engine == "auto" else options.engine
    return EngineConfig(engine, "float32" if options.precision == "auto" else options.precision)


def _key(options: EngineOptions, fingerprint: str) -> str:
    """A hash of all that the choice depends on: options, backbone, processor, cores, versions."""
    versions = [_version(name) for name in ("rung", "torch", "transformers", "openvino")]
    devices = os.environ.get("CUDA_VISIBLE_DEVICES", ""), os.environ.get("OMP_NUM_THREADS", "")
    parts = [str(options), fingerprint, _processor(), str(os.cpu_count()), *devices, *versions]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:32]


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def _processor() -> str:
    """The processor's name and features, as far as the system reports them."""
    with suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
        return " ".join(dict.fromkeys(line for line in lines if line.startswith(("model name", "flags", "Features"))))
    return f"{platform.machine()} {platform.processor()}"


def choices_file() -> Path:
    """The file in which choices are saved."""
    return default_folder() / "engines.json"


def clear_choices() -> None:
    """Delete the saved choices, so that engines are measured again, for example after a measurement on a busy machine."""
    choices_file().unlink(missing_ok=True)


def _saved_choices() -> dict[str, Any]:
    try:
        found = json.loads(choices_file().read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _save_choice(key: str, choice: dict[str, Any]) -> None:
    """Save a choice by replacing the file; where it cannot be written, engines are measured again next time."""
    file = choices_file()
    with suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        with NamedTemporaryFile("w", dir=file.parent, encoding="utf-8", delete=False) as new:
            json.dump(_saved_choices() | {key: choice}, new, indent=1)
        Path(new.name).replace(file)
