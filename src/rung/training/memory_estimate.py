"""Estimate the memory of a training before it starts, so that it is refused rather than killed half way."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

from rung.errors import UserError

_WEIGHT_BYTES = 16  # a weight in float32: the weight, its gradient, and Adam's two moments
_MIXED_BYTES = 2  # in mixed precision, a copy of the weight in 16 bits
_LIMIT = Path("/sys/fs/cgroup/memory.max")


def training_bytes(
    weights: int,
    config: Any,
    *,
    rows: int,
    tokens: int,
    mixed: bool = False,
    checkpointing: bool = False,
    head: bool = True,
) -> int:
    """Bytes that a training needs for `weights` parameters and a batch of `rows` texts of `tokens` tokens each.

    weights · 16  +  rows · tokens · (layers · (34 d + 5 heads · tokens) · 2 + 12 vocabulary)          float32

    The last term belongs to the `head` over the vocabulary. With checkpointing only the input of each layer is kept, and the
    activations of one layer at a time. Source of the activations (theirs are in 16 bits, ours take twice as much): Korthikanti et
    al. 2022, "Reducing activation recomputation", eq. 2.
    """
    width, layers = config.hidden_size, config.num_hidden_layers
    layer = 2 * (34 * width + 5 * config.num_attention_heads * tokens)
    activations = layers * 4 * width + layer if checkpointing else layers * layer
    per_token = activations + 12 * config.vocab_size * head  # logits, their log-softmax and their gradient
    return int(weights * (_WEIGHT_BYTES + _MIXED_BYTES * mixed) + rows * tokens * per_token)


def check_available(required: int, command: str, *, free: int | None = None) -> None:
    """Raise UserError if more bytes are `required` than are free."""
    available = available_bytes() if free is None else free
    if required > available:
        raise UserError(
            "{command}: about {required:.1f} GiB of memory are needed, {available:.1f} GiB are free.",
            "Take a smaller batch with more accumulate, fewer max_tokens, checkpointing, or a smaller model.",
            command=command,
            required=required / 2**30,
            available=available / 2**30,
        )


def available_bytes() -> float:
    """Free bytes: on the GPU if there is one, else on the machine, within the limit of its container."""
    import torch

    if torch.cuda.is_available():
        free, _ = torch.cuda.mem_get_info()
        return int(free)
    return min(_machine_bytes(), _container_bytes())


def _machine_bytes() -> float:
    try:
        lines = Path("/proc/meminfo").read_text("utf-8").splitlines()
        return next(1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable"))
    except (OSError, StopIteration, ValueError):
        pages = os.sysconf_names.get("SC_PHYS_PAGES") if hasattr(os, "sysconf_names") else None
        return math.inf if pages is None else os.sysconf(pages) * os.sysconf("SC_PAGE_SIZE")


def _container_bytes() -> float:
    try:
        return int(_LIMIT.read_text("utf-8"))
    except (OSError, ValueError):  # no container, or one that says "max"
        return math.inf
