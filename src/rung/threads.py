"""The number of BLAS threads of a matrix product: one if it is small, all that are allowed if it is large enough to gain by them.

BLAS threads wait for each other at every product. Where another program keeps a core busy, that wait lasts until the system
gives the core back: some milliseconds. A fit makes thousands of products that take less than that, so two threads make it many
times slower (`benchmarks/threads.py` has the figures). Encoders are left alone: their engines have settings of their own.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from threading import Lock, get_ident
from typing import Any

LARGE = 1 << 30  # multiply-adds: tens of milliseconds on one thread, beside which a wait for a busy core is short

_LIMIT_LOCK = Lock()  # held by the one block that limits: BLAS has one number of threads for the whole process
_limits_before: dict[int, Any] = {}  # by the Python thread of that block: the limits that applied before it


@contextmanager
def one_thread() -> Iterator[None]:
    """One BLAS thread inside, except for `matmul` of what is large; also a decorator.

    Afterwards the earlier number applies again. A nested block changes nothing. If blocks of several Python threads overlap, the
    first block decides for all; blocks that are still open when it ends run on as many threads as were allowed before it.
    """
    if not _LIMIT_LOCK.acquire(blocking=False):
        yield
        return
    try:
        before = _controller().info()
        with _controller().limit(limits=1, user_api="blas"):
            _limits_before[get_ident()] = before
            yield
    finally:
        _limits_before.clear()
        _LIMIT_LOCK.release()


def matmul(a: Any, b: Any) -> Any:
    """The product a @ b; inside `one_thread` a large one runs on all the threads that were allowed outside.

    >>> import numpy as np
    >>> matmul(np.array([[1.0, 2.0]]), np.array([[3.0], [4.0]])).tolist()
    [[11.0]]
    """
    before = _limits_before.get(get_ident())
    if before is None or a.size * (b.shape[1] if b.ndim > 1 else 1) < LARGE:
        return a @ b
    with _controller().limit(limits=before):
        return a @ b


@cache
def _controller() -> Any:
    """The controller of the BLAS libraries; made once, because finding them takes a hundred times as long as setting them."""
    import scipy.linalg  # noqa: F401 - SciPy has a BLAS of its own, which can only be found once it is loaded
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()
