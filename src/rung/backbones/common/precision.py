"""The precisions that a model may be computed in, and which of them this machine computes in itself."""

from __future__ import annotations

from typing import Any

from rung.backbones.common.engine_selection import computes_bf16
from rung.errors import UserError

DTYPES = {"float32": "float32", "bf16": "bfloat16", "fp16": "float16"}  # as PyTorch calls them
_TOLERANCE = 1e-3  # of the spread of log-probabilities: what a wrong mask or memory moves is far more
_ROUNDINGS = 16.0  # of a coarser precision, which its layers add up to


def usable(name: str, asked: str) -> str:
    """The precision to compute in for the backbone `name`: `auto` is bf16 where the machine computes in it, else float32.

    Raises UserError for what is no precision, and for one that this machine would only emulate.
    """
    if asked == "auto":
        return "bf16" if _computes("bf16") else "float32"
    if asked not in DTYPES:
        raise UserError(
            "backbone {name!r}: precision must be float32, bf16, fp16 or auto, got {asked!r}.",
            "Leave it out for float32.",
            name=name,
            asked=asked,
        )
    if not _computes(asked):
        raise UserError(
            "backbone {name!r}: this machine does not compute in {asked}.",
            "Leave precision out for float32, or take  precision=auto : bf16 where the machine has it.",
            name=name,
            asked=asked,
        )
    return asked


def tolerance(dtype: Any) -> float:
    """How far two ways of one computation may lie apart, in spreads of log-probabilities, for a model of this dtype."""
    import torch

    return _TOLERANCE if dtype == torch.float32 else _ROUNDINGS * float(torch.finfo(dtype).eps)


def _computes(precision: str) -> bool:
    import torch

    if precision == "float32":
        return True
    if torch.cuda.is_available():
        return precision == "fp16" or bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return precision == "bf16" and computes_bf16()
