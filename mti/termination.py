"""SIGTERM and SIGINT: training stops after the step that it is at, with a checkpoint, and says so.

The process ends with 128 + the signal's number, as a shell would have it, so that a cluster sees it was stopped.
A second signal of the kind ends it at once.
"""

from __future__ import annotations

import logging
import os
import select
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

log = logging.getLogger("mti")

GRACE = 60  # seconds that a worker whose parent died has for its last step
POLL = 1.0  # seconds


class Terminated(BaseException):
    """The process was told to stop. No error: nothing that isolates failures may catch it."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.exit_code = 128 + number


class Termination:
    """Whether the process was told to stop. While training, a step is finished first."""

    def __init__(self) -> None:
        self.requested: int | None = None
        self._deferred = False

    @contextmanager
    def handled(self) -> Iterator[None]:
        """While the block runs, SIGTERM and SIGINT raise `Terminated`. Only the main thread can have it so."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        self.requested = None
        before = {number: signal.signal(number, self._handle) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    @contextmanager
    def deferred(self) -> Iterator[None]:
        """While the block runs, a signal is only noted: the block calls `raise_if_requested` where it is safe."""
        self._deferred = True
        try:
            yield
        finally:
            self._deferred = False
        self.raise_if_requested()

    def raise_if_requested(self) -> None:
        """Stop here if the process was told to."""
        if self.requested is not None:
            raise Terminated(self.requested)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        again, self.requested = self.requested is not None, number
        if again or not self._deferred:
            raise Terminated(number)
        log.info("%s: stopping after this step", signal.Signals(number).name)


TERMINATION = Termination()
"""Of this process: signals have no other owner."""


def end_with_parent(parent: int) -> None:
    """End this worker when a process that it works for has died, as if it were told to: no orphan holds folders."""

    def watch() -> None:
        _wait_for_end(parent)
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(GRACE)
        os._exit(128 + signal.SIGTERM)

    threading.Thread(target=watch, daemon=True).start()


def _wait_for_end(process: int) -> None:
    """Return when a process has ended; where only Linux can tell that of any process, the process that started this."""
    if not hasattr(os, "pidfd_open"):
        while os.getppid() == process:
            time.sleep(POLL)
        return
    try:
        ended = os.pidfd_open(process)
    except ProcessLookupError:
        return
    select.select([ended], [], [])
    os.close(ended)
