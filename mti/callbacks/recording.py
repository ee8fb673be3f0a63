"""Keeps what a list of runs measures, and checkpoints from which each can go on."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import pytorch_lightning as pl

from mti.inversion import TextualInversion
from mti.jobs import Job

log = logging.getLogger("mti")


class Recording(pl.Callback):
    """Records each run's training loss, and saves its state every so many steps and at the end."""

    def __init__(self, jobs: Sequence[Job], every: int):
        self.jobs = jobs
        self.every = every

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any) -> None:
        """Record the batch's loss; save when it is time to."""
        assert isinstance(pl_module, TextualInversion)
        for i in pl_module.active:
            self.jobs[i].record(pl_module.step - 1, {"train/mse": pl_module.losses[i]})
        if pl_module.step % self.every == 0 or pl_module.step == trainer.max_steps:
            self.save(pl_module)

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        """Say what becomes of an interrupted run; Lightning ends the process."""
        if isinstance(exception, KeyboardInterrupt):
            log.info("interrupted; the same command goes on from the last checkpoints")

    def save(self, module: TextualInversion) -> None:
        """Write the metrics and the state of every run that has not failed."""
        batch = [self.jobs[i].name for i in module.active]
        for i in module.active:
            self.jobs[i].folder.save_state(module.step, module.run_state(i), batch)
