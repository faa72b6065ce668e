"""The precisions that a model can be computed in, and which of them this machine supports."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from rung.backbones.common.engine_selection import computes_bf16
from rung.errors import UserError

if TYPE_CHECKING:
    from rung.evidence import Array

DTYPES = {"float32": "float32", "bf16": "bfloat16", "fp16": "float16"}  # PyTorch's names
_TOLERANCE = 1e-3  # in standard deviations of log-probabilities: a wrong mask or cache changes far more
_ROUNDINGS = 16.0  # how many rounding errors of a lower precision the layers may add up to


def checked_precision(name: str, precision: str) -> str:
    """The precision to compute in for the backbone `name`: `auto` is bf16 where the machine supports it, else float32.

    Raises UserError for an unknown precision, and for one that this machine would only emulate.
    """
    if precision == "auto":
        return "bf16" if _supports("bf16") else "float32"
    if precision not in DTYPES:
        raise UserError(
            "backbone {name!r}: precision must be float32, bf16, fp16 or auto, got {precision!r}.",
            "Leave it out for float32.",
            name=name,
            precision=precision,
        )
    if not _supports(precision):
        raise UserError(
            "backbone {name!r}: this machine does not compute in {precision}.",
            "Leave precision out for float32, or use  precision=auto : bf16 where the machine supports it.",
            name=name,
            precision=precision,
        )
    return precision


def agree(found: Array, expected: Array, dtype: Any) -> bool:
    """Whether two methods gave the same log-probabilities, as far as a model of this dtype can: `expected` sets the scale."""
    import torch

    tolerance = _TOLERANCE if dtype == torch.float32 else _ROUNDINGS * float(torch.finfo(dtype).eps)
    return bool(np.abs(found - expected).max() <= tolerance * (float(expected.std()) + tolerance))


def _supports(precision: str) -> bool:
    import torch

    if precision == "float32":
        return True
    if torch.cuda.is_available():
        return precision == "fp16" or bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return precision == "bf16" and computes_bf16()
