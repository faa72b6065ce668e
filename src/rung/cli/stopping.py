"""Messages for a command that ends early: Ctrl-C where a run can be resumed, and a disk that is full or cannot be written."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rung.messages import Localized, tr

_DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EFBIG, errno.EIO)
_DISK_MESSAGES = tuple(
    map(os.strerror, (errno.ENOSPC, errno.EDQUOT, errno.EROFS))
)  # in errors of libraries that are not written in Python


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
    """The two lines for a disk that is full, read-only or not permitted; None for any other error, which is our bug."""
    if isinstance(error, OSError) and error.errno in _DISK_ERRORS:
        file, fault = error.filename, error.strerror
    else:
        file, fault = None, next((each for each in _DISK_MESSAGES if each in str(error)), None)
    if fault is None:
        return None
    what = (
        tr("{file} cannot be written or read: {fault}.", file=file, fault=fault)
        if file
        else tr("a file cannot be written: {fault}.", fault=fault)
    )
    hint = tr("Check space and permissions (df -h, ls -ld), or name another folder, and give the command again.")
    return Localized(f"{what}\n  {hint}")
