"""How many threads a matrix product takes: one where it is small, all cores where it is large enough to gain by them.

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

_TAKEN = Lock()  # by the one block that limits: BLAS has one number of threads for the whole process
_allowed: dict[int, Any] = {}  # the Python thread of that block, and what was allowed before it


@contextmanager
def one_thread() -> Iterator[None]:
    """One BLAS thread inside, except for `matmul` of what is large; also a decorator.

    Afterwards the number is what it was. A block inside another changes nothing. Where Python threads overlap, the first one's
    block decides for all; blocks that are still open when it ends run on as many threads as were allowed before.
    """
    if not _TAKEN.acquire(blocking=False):
        yield
        return
    try:
        before = _controller().info()
        with _controller().limit(limits=1, user_api="blas"):
            _allowed[get_ident()] = before
            yield
    finally:
        _allowed.clear()
        _TAKEN.release()


def matmul(a: Any, b: Any) -> Any:
    """The product a @ b; inside `one_thread` a large one runs on all the threads that were allowed outside.

    >>> import numpy as np
    >>> matmul(np.array([[1.0, 2.0]]), np.array([[3.0], [4.0]])).tolist()
    [[11.0]]
    """
    before = _allowed.get(get_ident())
    if before is None or a.size * (b.shape[1] if b.ndim > 1 else 1) < LARGE:
        return a @ b
    with _controller().limit(limits=before):
        return a @ b


@cache
def _controller() -> Any:
    """What sets the threads of BLAS libraries; made once, since to find them takes a hundred times as long as to set them."""
    import scipy.linalg  # noqa: F401 - it brings a BLAS of its own, which must be there to be found
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()
