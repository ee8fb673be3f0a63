"""The launcher of `mti.run -m`: all jobs of a multirun as one list of runs, trained here or in chunks elsewhere."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn, JobStatus, configure_log, setup_globals
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf, open_dict

from hydra_plugins.mti_fused_launcher.composing import ComposedOnce


class FusedLauncher(Launcher):
    """Composes every job as Hydra's basic launcher does, then hands all of them to `mti.run.start` at once.

    Args:
        executor: the node of one of `mti.executors`: where and in which chunks the runs are trained.
    """

    def __init__(self, executor: DictConfig) -> None:
        self.executor = executor

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Keep what `launch` composes with. The task function is for one job, and so of no use here."""
        loader: Any = ComposedOnce(hydra_context.config_loader)
        hydra_context.config_loader = loader  # for the sweeper, too
        self.hydra_context = hydra_context
        self.config = config

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Train the runs of all jobs; ends the process as a single run does if one of them fails."""
        from mti.errors import UserError
        from mti.run import start, typed

        if not job_overrides:
            raise UserError("the sweep has no runs: a value such as glob(*) finds names in conf/ only")
        setup_globals()
        configure_log(self.config.hydra.hydra_logging, self.config.hydra.verbose)
        runs, returns = [], []
        context = Singleton.get_state()
        for number, overrides in enumerate(job_overrides, initial_job_idx):
            config = self._composed(list(overrides))
            with open_dict(config):
                config.hydra.job.id = f"job_id_for_{number}"
                config.hydra.job.num = number
            HydraConfig.instance().set_config(config)
            returns.append(JobReturn(overrides=overrides, status=JobStatus.COMPLETED))
            runs.append(typed(config))
        executor: Any = OmegaConf.to_container(self.executor, resolve=True)
        maximize = "maximize" in str(self.config.hydra.sweeper.get("direction", "")).lower()
        values = start(runs, executor, worst=-math.inf if maximize else math.inf)
        for job, value in zip(returns, values, strict=True):
            job.return_value = value
        Singleton.set_state(context)
        return returns

    def _composed(self, overrides: list[str]) -> DictConfig:
        """A job's configuration."""
        from mti.command_line import COMPOSING, composition_faults
        from mti.errors import UserError
        from mti.schema import RunConfig

        try:
            return self.hydra_context.config_loader.load_sweep_config(self.config, overrides)
        except COMPOSING as error:
            raise UserError("\n".join(composition_faults(overrides, "run", RunConfig, error))) from error
