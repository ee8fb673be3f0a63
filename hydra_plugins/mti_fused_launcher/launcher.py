"""The launcher of `mti.run -m`: all jobs of a multirun as one list of runs, trained here or in shares elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn, JobStatus, configure_log, setup_globals
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, open_dict


class FusedLauncher(Launcher):
    """Composes every job as Hydra's basic launcher does, then hands all of them to `spread` at once.

    Args:
        spread: one of `mti.spread`: where and in which shares the runs are trained.
    """

    def __init__(self, spread: Any) -> None:
        self.spread = spread

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Keep what `launch` composes with. The task function is for one job, and so of no use here."""
        self.hydra_context = hydra_context
        self.config = config

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Train the runs of all jobs; ends the process as a single run does if one of them fails."""
        from mti.run import prepared, start

        setup_globals()
        configure_log(self.config.hydra.hydra_logging, self.config.hydra.verbose)
        configs, returns = [], []
        context = Singleton.get_state()
        for number, overrides in enumerate(job_overrides, initial_job_idx):
            config = self.hydra_context.config_loader.load_sweep_config(self.config, list(overrides))
            with open_dict(config):
                config.hydra.job.id = f"job_id_for_{number}"
                config.hydra.job.num = number
            HydraConfig.instance().set_config(config)
            returns.append(JobReturn(overrides=overrides, cfg=config, status=JobStatus.COMPLETED))
            configs.append(prepared(config.copy()))
        start(configs, self.spread)
        Singleton.set_state(context)
        return returns
