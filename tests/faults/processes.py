"""`python -m mti.…` in processes that are forked from one which has loaded everything: quick to start, and to kill."""

from __future__ import annotations

import multiprocessing
import os
import runpy
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

KILLED = -signal.SIGKILL
CHANGES = ("os.rename", "os.mkdir", "os.remove", "os.rmdir", "shutil.copyfile")
"""Python's audit events of whatever changes a file, besides `open` for writing."""

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["faults.loaded"])


class Events:
    """Counts a process's changes of files below a folder, and kills it right before the one of a given number."""

    def __init__(self, root: Path, fatal: int | None = None) -> None:
        self.root, self.fatal = f"{root}{os.sep}", fatal
        self._count = CONTEXT.RawValue("i", 0)  # memory that processes share

    @property
    def count(self) -> int:
        """How many there were."""
        return self._count.value

    def watch(self) -> None:
        """Count those of this process from now on."""
        sys.addaudithook(self._hear)

    def _hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open":
            path, _, flags = arguments
            if not flags & (os.O_WRONLY | os.O_RDWR):
                return
        elif event in CHANGES:
            path = arguments[0]
        else:
            return
        if isinstance(path, str | os.PathLike) and os.path.abspath(path).startswith(self.root):
            if self._count.value == self.fatal:
                os.kill(os.getpid(), signal.SIGKILL)
            self._count.value += 1


def run(
    module: str,
    arguments: list[str],
    log: Path,
    before: Callable[[], object] | None = None,
    kill_after: float | None = None,
    limit: float = 300,
) -> int | None:
    """Run an entry; its exit code, negative for a signal that ended it, None if it hung.

    The process calls `before` first. It is killed after `kill_after` seconds, and counts as hung after `limit` seconds.
    """
    process = CONTEXT.Process(target=_become, args=(module, arguments, log, before))
    process.start()
    process.join(kill_after or limit)
    hung = process.exitcode is None and not kill_after
    process.kill()
    process.join()
    return None if hung else process.exitcode


def _become(module: str, arguments: list[str], log: Path, before: Callable[[], object] | None) -> None:
    """Go on as `python -m module arguments` would, and end."""
    code: Any = 1
    try:
        with log.open("w") as file:
            os.dup2(file.fileno(), 1), os.dup2(file.fileno(), 2)
        sys.stdout = os.fdopen(1, "w", buffering=1, closefd=False)
        sys.stderr = os.fdopen(2, "w", buffering=1, closefd=False)
        sys.argv = [module, *arguments]
        if before:
            before()
        runpy.run_module(module, run_name="__main__", alter_sys=True)
        code = 0
    except SystemExit as end:
        code = end.code or 0
        if isinstance(code, str):
            print(code, file=sys.stderr)
            code = 1
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush(), sys.stderr.flush()
        os._exit(code)
