"""Processes that do commands, one at a time; the others wait and can be seen to."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from mti.page.commands import Command

LINES = 200  # of a job's output that are kept
PATIENCE = 60  # seconds that a process has to write its checkpoint

State = Literal["waiting", "running", "finished", "failed", "stopped"]


@dataclass
class Job:
    """A command that is to be done, and what became of it."""

    number: int
    command: Command
    state: State = "waiting"
    output: deque[str] = field(default_factory=lambda: deque(maxlen=LINES))

    @property
    def is_over(self) -> bool:
        """Whether it is neither waiting nor running."""
        return self.state not in ("waiting", "running")


class Jobs:
    """Does commands in their order, each in a process of its own, with a thread that waits for it."""

    def __init__(self) -> None:
        self._jobs: list[Job] = []
        self._process: subprocess.Popen[str] | None = None
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def all(self) -> Sequence[Job]:
        """Every job, the first one first."""
        return tuple(self._jobs)

    def current(self) -> int | None:
        """The number of the job that runs, or else of the one that was begun last; None if none was."""
        begun = [job for job in self.all() if job.state != "waiting"]
        running = [job for job in begun if job.state == "running"]
        return next((job.number for job in reversed(running or begun)), None)

    def add(self, command: Command) -> Job:
        """Put a command behind the others; one that waits or runs already is not done twice."""
        with self._changed:
            same = [job for job in self._jobs if job.command == command and not job.is_over]
            if same:
                return same[0]
            job = Job(len(self._jobs) + 1, command)
            self._jobs.append(job)
            self._changed.notify_all()
            return job

    def stop(self, number: int) -> None:
        """Stop a job. What a run has done is kept; the same command goes on from there."""
        with self._changed:
            job = self._jobs[number - 1]
            if job.is_over:
                return
            was_running, job.state = job.state == "running", "stopped"
            if was_running and self._process:
                self._process.send_signal(signal.SIGTERM)

    def close(self) -> None:
        """Stop all jobs, and wait until the running one has written what it has done."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        for job in self.all():
            self.stop(job.number)
        self._thread.join(PATIENCE)
        if self._process and self._process.poll() is None:
            self._process.kill()

    def _next(self) -> Job | None:
        """The first that waits, as soon as there is one; None at the end."""
        with self._changed:
            while not self._closed:
                waiting = [job for job in self._jobs if job.state == "waiting"]
                if waiting:
                    waiting[0].state = "running"
                    return waiting[0]
                self._changed.wait()
        return None

    def _work(self) -> None:
        while job := self._next():
            try:
                code = self._done(job)
            except OSError as error:
                job.output.append(str(error))
                code = 1
            with self._changed:
                self._process = None
                if job.state == "running":
                    job.state = "failed" if code else "finished"

    def _done(self, job: Job) -> int:
        """Do a job's command; its exit code."""
        with self._changed:
            if job.state != "running":
                return 0
            process = self._process = subprocess.Popen(
                job.command.argv,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
                start_new_session=True,  # Ctrl-C is for the page, which stops its jobs itself
            )
        with process:
            for line in process.stdout or ():
                job.output.append(line.rstrip())
        return process.returncode
