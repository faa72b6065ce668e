"""What tests of threads watch: how many BLAS has, and how many it had at each product."""

from __future__ import annotations

from typing import Any

import numpy as np
from threadpoolctl import ThreadpoolController


def blas() -> set[int]:
    """The numbers of threads of the BLAS libraries of this process."""
    return {each["num_threads"] for each in ThreadpoolController().info() if each["user_api"] == "blas"}


class Watched(np.ndarray[Any, Any]):
    """An array that notes with how many threads it is multiplied."""

    seen: set[int] = set()  # noqa: RUF012 - shared by all that is computed from it

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **how: Any) -> Any:
        if ufunc is np.matmul:
            self.seen |= blas()
        plain = [each.view(np.ndarray) if isinstance(each, Watched) else each for each in inputs]
        if "out" in how:
            how["out"] = tuple(each.view(np.ndarray) if isinstance(each, Watched) else each for each in how["out"])
        found = getattr(ufunc, method)(*plain, **how)
        return found.view(Watched) if isinstance(found, np.ndarray) else found


def watched(rows: Any) -> Any:
    Watched.seen.clear()
    return rows.view(Watched)
