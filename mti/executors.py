"""Who trains a multirun: this process, or others that each train chunks of fused runs against a model of their own.

`hydra.launcher.executor` names one of `LocalExecutor`, `JoblibExecutor`, `SubmititExecutor` and `RayExecutor`. All
of them start `run_chunk`; what it found out lies in the run folders, which every machine must see at the same path.
"""

from __future__ import annotations

import importlib
import logging
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from queue import Queue
from typing import Annotated, Any, Literal

import yaml

from mti.errors import UserError
from mti.ranges import AtLeast
from mti.schema import RunConfig, groups, plain
from mti.typed import convert

log = logging.getLogger("mti")

Chunk = list[dict[str, Any]]
"""The configurations of runs, as plain data."""

Count = Annotated[int, AtLeast(1)]


def chunks(configs: Sequence[RunConfig], workers: int, runs_per_job: int | None) -> list[Chunk]:
    """Runs in chunks that can be trained together: of `runs_per_job`, or as many as there are workers for a group."""
    cut, together = [], groups(configs)
    for number, (words, indices) in enumerate(together, 1):
        if len(together) > 1:
            log.info("group %d of %d: %s; runs: %d", number, len(together), words, len(indices))
        size = runs_per_job or -(-len(indices) // workers)
        data = [plain(configs[i]) for i in indices]
        cut += [data[first : first + size] for first in range(0, len(data), size)]
    return cut


def run_chunk(chunk: Chunk, parent: int | None = None) -> int:
    """Train a chunk in this process; its exit code. What goes wrong is told on stderr, and in the run folders.

    With the process number of a parent, the chunk is stopped when that has died.
    """
    from mti.parts import Parts  # torch and its company, which composing a sweep need not wait for
    from mti.run import run_pending
    from mti.termination import TERMINATION, Terminated, end_with_parent

    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    faults: list[str] = []
    configs = [convert(config, RunConfig, "", faults) for config in chunk]
    try:
        if faults:
            raise UserError("\n".join(faults))
        if parent is not None:
            end_with_parent(parent)
        with TERMINATION.handled():
            refused = run_pending(configs, Parts())
    except UserError as mistake:
        print("\n".join(f"mti: {line}" for line in str(mistake).splitlines()), file=sys.stderr)
        return 2
    except Terminated as stopped:
        return stopped.exit_code
    return 1 if refused else 0


class LocalExecutor:
    """This process; or, with several devices, a process for each that takes chunk after chunk.

    Args:
        devices: how many, or the GPUs' numbers; "auto" is all GPUs. On a machine without GPUs, a number of
            processes that share its cores.
        runs_per_job: runs of a chunk; None: each group of runs is shared out evenly.
    """

    def __init__(
        self,
        devices: Literal["auto"] | Count | Sequence[Annotated[int, AtLeast(0)]] = "auto",
        runs_per_job: Count | None = None,
    ):
        self.devices = devices
        self.runs_per_job = runs_per_job
        self._processes: set[subprocess.Popen[bytes]] = set()

    @property
    def here(self) -> bool:
        """Whether this process trains all runs itself."""
        return len(self._numbers()) < 2

    def __call__(self, configs: Sequence[RunConfig]) -> None:
        """Train all runs."""
        from mti.termination import TERMINATION

        numbers = self._numbers()
        waiting = chunks(configs, len(numbers), self.runs_per_job)
        log.info("runs: %d, in %d chunks on %d devices", len(configs), len(waiting), len(numbers))
        free: Queue[int] = Queue()
        for number in numbers:
            free.put(number)
        with ThreadPoolExecutor(len(numbers)) as threads:
            try:
                for done in [threads.submit(self._train, chunk, free) for chunk in waiting]:
                    done.result()
            except BaseException:
                threads.shutdown(wait=False, cancel_futures=True)
                for process in list(self._processes):
                    process.terminate()
                raise
        TERMINATION.raise_if_requested()

    def _numbers(self) -> list[int]:
        import torch

        if self.devices == "auto":
            return list(range(torch.cuda.device_count()))
        return list(range(self.devices)) if isinstance(self.devices, int) else [int(one) for one in self.devices]

    def _train(self, chunk: Chunk, free: Queue[int]) -> None:
        """Have a process train the chunk, which sees one device: whatever happens to it happens to no other."""
        device = free.get()
        seen = os.environ.get("CUDA_VISIBLE_DEVICES")
        name = seen.split(",")[device] if seen else str(device)
        try:
            with tempfile.NamedTemporaryFile("w", suffix=".yaml", encoding="utf-8") as file:
                yaml.safe_dump({"chunk": chunk, "parent": os.getpid()}, file, allow_unicode=True)
                file.flush()
                environment = {**os.environ, "CUDA_VISIBLE_DEVICES": name}
                process = subprocess.Popen([sys.executable, "-m", "mti.executors", file.name], env=environment)
                self._processes.add(process)
                code = process.wait()
                self._processes.discard(process)
            if code not in (0, 1, 2):
                log.error("the process of device %s ended with %d: its runs can be resumed", name, code)
        finally:
            free.put(device)


class JoblibExecutor:
    """Processes of this machine, by joblib."""

    def __init__(self, workers: Count = 2, runs_per_job: Count | None = None):
        self.workers = workers
        self.runs_per_job = runs_per_job

    def __call__(self, configs: Sequence[RunConfig]) -> None:
        """Train all runs."""
        joblib = _library("joblib", "joblib")
        waiting = chunks(configs, self.workers, self.runs_per_job)
        try:
            joblib.Parallel(n_jobs=self.workers)(joblib.delayed(run_chunk)(chunk, os.getpid()) for chunk in waiting)
        except joblib.externals.loky.process_executor.TerminatedWorkerError as error:
            log.error("a worker was killed (%s): the same command goes on", " ".join(str(error).split())[:200])


@dataclass(frozen=True)
class SlurmJob:
    """A chunk as submitit runs it: a job that is preempted or out of time is queued again, and goes on.

    It outlives the process that submitted it, unless that is named as its parent.
    """

    parent: int | None = None

    def __call__(self, chunk: Chunk) -> int:
        """Train the chunk; its exit code."""
        return run_chunk(chunk, self.parent)

    def checkpoint(self, chunk: Chunk) -> Any:
        """What submitit queues when it is told to stop: the same chunk, which resumes from its checkpoints."""
        return _library("submitit", "slurm").helpers.DelayedSubmission(self, chunk)


class SubmititExecutor:
    """Jobs of a Slurm cluster, by submitit; or, with `cluster=local`, processes that stand in for them.

    Args:
        cluster: "slurm" or "local".
        folder: where submitit keeps the jobs' logs.
        runs_per_job: runs of a job; None: `workers` jobs for each group of runs.
        workers: jobs for each group, if `runs_per_job` is None.
        parameters: of `submitit.AutoExecutor.update_parameters`: timeout_min, slurm_partition, gpus_per_node …
    """

    def __init__(
        self,
        cluster: Literal["slurm", "local"],
        folder: str,
        runs_per_job: Count | None = None,
        workers: Count = 1,
        **parameters: Any,
    ):
        self.cluster, self.folder = cluster, folder
        self.runs_per_job, self.workers, self.parameters = runs_per_job, workers, parameters

    def __call__(self, configs: Sequence[RunConfig]) -> None:
        """Submit all chunks and wait for them."""
        submitit = _library("submitit", "slurm")
        executor = submitit.AutoExecutor(folder=self.folder, cluster=self.cluster)
        executor.update_parameters(name="mti", **{k: v for k, v in self.parameters.items() if v is not None})
        train = SlurmJob(os.getpid() if self.cluster == "local" else None)
        jobs = [executor.submit(train, chunk) for chunk in chunks(configs, self.workers, self.runs_per_job)]
        log.info("submitted: %s; logs: %s", ", ".join(job.job_id for job in jobs), self.folder)
        for job in jobs:
            error = job.exception()
            if error:
                log.error("job %s: %s", job.job_id, str(error).strip().splitlines()[-1])


class RayExecutor:
    """Tasks of a Ray cluster, or of this machine.

    Args:
        runs_per_job: runs of a task; None: `workers` tasks for each group of runs.
        workers: tasks for each group, if `runs_per_job` is None.
        init: of `ray.init`, such as `address`.
        remote: of `ray.remote`, such as `num_gpus` or `num_cpus`.
    """

    def __init__(self, runs_per_job: Count | None, workers: Count, init: Mapping[str, Any], remote: Mapping[str, Any]):
        self.runs_per_job, self.workers, self.init, self.remote = runs_per_job, workers, init, remote

    def __call__(self, configs: Sequence[RunConfig]) -> None:
        """Start all tasks and wait for them."""
        ray = _library("ray", "ray")
        ray.init(**self.init)
        try:
            task = ray.remote(**self.remote)(run_chunk) if self.remote else ray.remote(run_chunk)
            for reference in [task.remote(chunk) for chunk in chunks(configs, self.workers, self.runs_per_job)]:
                try:
                    ray.get(reference)
                except ray.exceptions.RayError as error:
                    log.error("a task was lost (%s): the same command goes on", str(error).strip().splitlines()[-1])
        finally:
            ray.shutdown()


def _library(name: str, extra: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        raise UserError(f"this hydra/launcher needs the package {name}: pip install 'mti[{extra}]'") from None


if __name__ == "__main__":
    given: Any = yaml.safe_load(Path(sys.argv[1]).read_text(encoding="utf-8"))
    sys.exit(run_chunk(given["chunk"], given["parent"]))
