"""One process at a time in a run folder."""

from __future__ import annotations

import errno
import fcntl
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mti.files import make_folder, writing
from mti.types import UserError

SPARE, LEAST = 1024, 128  # open files beside the locks: so many are asked for, and with fewer nothing goes


@contextmanager
def locked(folder: Path) -> Iterator[bool]:
    """Keep every other process out of a folder, which is made. The lock ends with the block, or with the process.

    Gives whether there is a lock: who may write nothing in the folder holds none, and needs none.

    Raises:
        UserError: another process holds the folder, or it cannot be made.
    """
    with writing(folder):
        make_folder(folder)
        lock = _opened(folder / ".lock")
    if lock is None:
        yield False
        return
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(lock, 20, 0).decode(errors="replace")
            raise UserError(
                f"{folder} is in use by process {holder or 'of unknown number'}: "
                "wait until it has ended, or give this run another folder"
            ) from None
        with writing(folder):
            os.ftruncate(lock, 0)
            os.pwrite(lock, str(os.getpid()).encode(), 0)
        yield True
        os.ftruncate(lock, 0)
    finally:
        os.close(lock)


def allow_locks(count: int) -> None:
    """Have the system allow this process so many locks at once: each is an open file, and 1,024 are usual.

    Raises:
        UserError: it does not allow them.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = count + SPARE
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return
    allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if allowed < count + LEAST:
        raise UserError(
            f"{count:,} runs at once need {wanted:,} open files, and the system allows {hard:,}: "
            "split the sweep, or raise its limit (ulimit -Hn)"
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))


def _opened(path: Path) -> int | None:
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_NONBLOCK, 0o666)
    except OSError as error:
        if error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise
        return None
