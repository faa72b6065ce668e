"""Whether a training fits into memory, by a simple count before it begins: better refused than killed half way."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

from rung.errors import UserError

_WEIGHT_BYTES = 16  # of each weight, in float32: itself, its slope, and Adam's two means
_MIXED_BYTES = 2  # more, where a copy in 16 bits is computed with
_LIMIT = Path("/sys/fs/cgroup/memory.max")


def needed(
    weights: int,
    config: Any,
    *,
    rows: int,
    tokens: int,
    mixed: bool = False,
    checkpointing: bool = False,
    head: bool = True,
) -> int:
    """Bytes that training takes for `weights` numbers and a batch of `rows` of `tokens` each.

    weights · 16  +  rows · tokens · (layers · (34 d + 5 heads · tokens) · 2 + 12 vocabulary)          float32

    The last term is that of a `head` over the vocabulary.
    With checkpointing only the input of each layer is kept, and one layer is whole at a time. Source of the activations (twice
    theirs, which are of 16 bits): Korthikanti et al. 2022, "Reducing activation recomputation", eq. 2.
    """
    width, layers = config.hidden_size, config.num_hidden_layers
    layer = 2 * (34 * width + 5 * config.num_attention_heads * tokens)
    kept = layers * 4 * width + layer if checkpointing else layers * layer
    each = kept + 12 * config.vocab_size * head  # logits, their logarithms and their slope
    return int(weights * (_WEIGHT_BYTES + _MIXED_BYTES * mixed) + rows * tokens * each)


def check(wanted: int, what: str, *, free: int | None = None) -> None:
    """Raise UserError if `wanted` bytes are more than are free."""
    found = available() if free is None else free
    if wanted > found:
        raise UserError(
            "{value}: about {wanted:.1f} GiB of memory are needed, {found:.1f} GiB are free.",
            "Take a smaller batch with more accumulate, fewer max_tokens, checkpointing, or a smaller model.",
            value=what,
            wanted=wanted / 2**30,
            found=found / 2**30,
        )


def available() -> float:
    """Bytes that are free: of the GPU where there is one, else of the machine, within the limit of its container."""
    import torch

    if torch.cuda.is_available():
        free, _ = torch.cuda.mem_get_info()
        return int(free)
    return min(_of_machine(), _limit())


def _of_machine() -> float:
    try:
        lines = Path("/proc/meminfo").read_text("utf-8").splitlines()
        return next(1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable"))
    except (OSError, StopIteration, ValueError):
        pages = os.sysconf_names.get("SC_PHYS_PAGES") if hasattr(os, "sysconf_names") else None
        return math.inf if pages is None else os.sysconf(pages) * os.sysconf("SC_PAGE_SIZE")


def _limit() -> float:
    try:
        return int(_LIMIT.read_text("utf-8"))
    except (OSError, ValueError):  # no container, or one that says "max"
        return math.inf
