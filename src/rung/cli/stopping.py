"""How a command ends before its time: Ctrl-C where something is kept to resume from, and disks that take no more."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rung.messages import Localized, tr

_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EFBIG, errno.EIO)
_FULL = tuple(map(os.strerror, (errno.ENOSPC, errno.EDQUOT, errno.EROFS)))  # as libraries that are not Python say it


@contextmanager
def resumable(folder: Path | None) -> Iterator[None]:
    """A block whose work is kept in `folder`: Ctrl-C says that the same command resumes there, if anything is kept yet."""
    try:
        yield
    except KeyboardInterrupt:
        if folder is None or not folder.is_dir() or not any(folder.iterdir()):
            raise
        raise KeyboardInterrupt(
            tr("stopped; what was done is kept in {folder}.\n  The same command resumes there.", folder=folder)
        ) from None


def disk_fault(error: Exception) -> Localized | None:
    """The two lines for a disk that is full, read-only or not ours; None for any other error, which is our bug."""
    if isinstance(error, OSError) and error.errno in _DISK:
        where, fault = error.filename, error.strerror
    else:
        where, fault = None, next((each for each in _FULL if each in str(error)), None)
    if fault is None:
        return None
    what = (
        tr("{file} cannot be written or read: {fault}.", file=where, fault=fault)
        if where
        else tr("a file cannot be written: {fault}.", fault=fault)
    )
    hint = tr("Check space and permissions (df -h, ls -ld), or name another folder, and give the command again.")
    return Localized(f"{what}\n  {hint}")
