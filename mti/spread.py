"""Shares of a multirun on other processes and machines: each share is a chunk of runs that one model trains.

`hydra/launcher=` names one of `Here`, `Joblib`, `Submitit` and `Ray`. All of them start `do`, which trains a
share as a process of its own would; what it found out lies in the run folders, which every machine must see at
the same path.
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import Queue
from typing import Any

from omegaconf import DictConfig, OmegaConf

from mti.config import groups
from mti.types import UserError

log = logging.getLogger("mti")

Share = list[dict[str, Any]]
"""The configurations of runs, as plain data."""


def shares(configs: Sequence[DictConfig], workers: int, runs_per_job: int | None) -> list[Share]:
    """Runs in shares that can be trained together: of `runs_per_job`, or as many as there are workers for a group."""
    cut, together = [], groups(configs)
    for number, (words, indices) in enumerate(together, 1):
        if len(together) > 1:
            log.info("group %d of %d: %s; runs: %d", number, len(together), words, len(indices))
        size = runs_per_job or -(-len(indices) // workers)
        plain: list[Any] = [OmegaConf.to_container(configs[i], resolve=True) for i in indices]
        cut += [plain[first : first + size] for first in range(0, len(plain), size)]
    return cut


def do(share: Share) -> None:
    """Train a share. What goes wrong is told on stderr, and shows as runs that are not finished."""
    from mti.training import work  # torch and its company, which composing a sweep need not wait for

    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    try:
        work([OmegaConf.create(config) for config in share])
    except UserError as mistake:
        print("\n".join(f"mti: {line}" for line in str(mistake).splitlines()), file=sys.stderr)


class Here:
    """This process; or, with several devices, a process for each that takes share after share.

    Args:
        devices: how many, or the GPUs' numbers; "auto" is all GPUs. On a machine without GPUs, a number of
            processes that share its cores.
        runs_per_job: runs of a share; None: each group of runs is shared out evenly.
    """

    def __init__(self, devices: int | str | Sequence[int] = "auto", runs_per_job: int | None = None):
        self.devices = devices
        self.runs_per_job = runs_per_job

    def __call__(self, configs: Sequence[DictConfig]) -> None:
        """Train all runs."""
        devices = self._devices()
        if len(devices) < 2:
            return do_here(configs)
        waiting = shares(configs, len(devices), self.runs_per_job)
        log.info("runs: %d, in %d shares on %d devices", len(configs), len(waiting), len(devices))
        free: Queue[int] = Queue()
        for device in devices:
            free.put(device)
        with ThreadPoolExecutor(len(devices)) as threads:
            list(threads.map(lambda share: self._process(share, free), waiting))
        return None

    def _devices(self) -> list[int]:
        import torch

        gpus = list(range(torch.cuda.device_count()))
        if self.devices == "auto":
            return gpus
        if isinstance(self.devices, int):
            return list(range(self.devices))
        return [int(device) for device in self.devices]

    def _process(self, share: Share, free: Queue[int]) -> None:
        """A process for the share, which sees one device: whatever happens to it happens to no other."""
        device = free.get()
        seen = os.environ.get("CUDA_VISIBLE_DEVICES")
        name = seen.split(",")[device] if seen else str(device)
        try:
            with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
                file.write(OmegaConf.to_yaml(OmegaConf.create({"share": share})))
                file.flush()
                environment = {**os.environ, "CUDA_VISIBLE_DEVICES": name}
                ended = subprocess.run([sys.executable, "-m", "mti.spread", file.name], env=environment)
            if ended.returncode:
                log.error("the process of device %s ended with %d: its runs can be resumed", name, ended.returncode)
        finally:
            free.put(device)


class Joblib:
    """Processes of this machine, by joblib."""

    def __init__(self, workers: int = 2, runs_per_job: int | None = None):
        self.workers = workers
        self.runs_per_job = runs_per_job

    def __call__(self, configs: Sequence[DictConfig]) -> None:
        """Train all runs."""
        joblib = _library("joblib", "joblib")
        waiting = shares(configs, self.workers, self.runs_per_job)
        try:
            joblib.Parallel(n_jobs=self.workers)(joblib.delayed(do)(share) for share in waiting)
        except joblib.externals.loky.process_executor.TerminatedWorkerError as error:
            log.error("a worker was killed (%s): the same command goes on", " ".join(str(error).split())[:200])


class Submitit:
    """Jobs of a Slurm cluster, by submitit; or, with `cluster=local`, processes that stand in for them.

    Args:
        cluster: "slurm" or "local".
        folder: where submitit keeps the jobs' logs.
        runs_per_job: runs of a job; None: `workers` jobs for each group of runs.
        workers: jobs for each group, if `runs_per_job` is None.
        parameters: of `submitit.AutoExecutor.update_parameters`: timeout_min, slurm_partition, gpus_per_node …
    """

    def __init__(self, cluster: str, folder: str, runs_per_job: int | None = None, workers: int = 1, **parameters: Any):
        self.cluster, self.folder = cluster, folder
        self.runs_per_job, self.workers, self.parameters = runs_per_job, workers, parameters

    def __call__(self, configs: Sequence[DictConfig]) -> None:
        """Submit all shares and wait for them."""
        submitit = _library("submitit", "slurm")
        executor = submitit.AutoExecutor(folder=self.folder, cluster=self.cluster)
        executor.update_parameters(name="mti", **{k: v for k, v in self.parameters.items() if v is not None})
        jobs = [executor.submit(do, share) for share in shares(configs, self.workers, self.runs_per_job)]
        log.info("submitted: %s; logs: %s", ", ".join(job.job_id for job in jobs), self.folder)
        for job in jobs:
            error = job.exception()
            if error:
                log.error("job %s: %s", job.job_id, str(error).strip().splitlines()[-1])


class Ray:
    """Tasks of a Ray cluster, or of this machine.

    Args:
        runs_per_job: runs of a task; None: `workers` tasks for each group of runs.
        workers: tasks for each group, if `runs_per_job` is None.
        init: of `ray.init`, such as `address`.
        remote: of `ray.remote`, such as `num_gpus` or `num_cpus`.
    """

    def __init__(self, runs_per_job: int | None, workers: int, init: dict[str, Any], remote: dict[str, Any]):
        self.runs_per_job, self.workers, self.init, self.remote = runs_per_job, workers, init, remote

    def __call__(self, configs: Sequence[DictConfig]) -> None:
        """Start all tasks and wait for them."""
        ray = _library("ray", "ray")
        ray.init(**self.init)
        try:
            task = ray.remote(**self.remote)(do) if self.remote else ray.remote(do)
            for reference in [task.remote(share) for share in shares(configs, self.workers, self.runs_per_job)]:
                try:
                    ray.get(reference)
                except ray.exceptions.RayError as error:
                    log.error("a task was lost (%s): the same command goes on", str(error).strip().splitlines()[-1])
        finally:
            ray.shutdown()


def do_here(configs: Sequence[DictConfig]) -> None:
    """Train all runs in this process."""
    from mti.training import work

    work(configs)


def _library(name: str, extra: str) -> Any:
    import importlib

    try:
        return importlib.import_module(name)
    except ImportError:
        raise UserError(f"this hydra/launcher needs the package {name}: pip install 'mti[{extra}]'") from None


if __name__ == "__main__":
    given: Any = OmegaConf.to_container(OmegaConf.load(Path(sys.argv[1])))
    do(given["share"])
