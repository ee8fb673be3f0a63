"""Keeps what a batch of runs measures, and checkpoints from which each can go on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import pytorch_lightning as pl

from mti.close import RunWriter
from mti.inversion import TextualInversion
from mti.isolation import isolated
from mti.termination import TERMINATION


class Recording(pl.Callback):
    """Records each run's training loss, and saves its state every so many steps, when one of them
    stops, at the end, and when told to stop."""

    def __init__(self, writers: Sequence[RunWriter], every: int):
        self.writers = writers
        self.every = every

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Keep what was measured of runs that had stopped; stop before the first step if the process was told to."""
        assert isinstance(pl_module, TextualInversion)
        self._each(pl_module, pl_module.stopped, lambda i: self.writers[i].folder.flush())
        TERMINATION.raise_if_requested()

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any) -> None:
        """Record the batch's loss; save when it is time to."""
        assert isinstance(pl_module, TextualInversion)
        losses, step = pl_module.losses, pl_module.step
        self._each(pl_module, pl_module.present, lambda i: self.writers[i].record(step - 1, {"train/mse": losses[i]}))
        stop = TERMINATION.requested is not None or step in pl_module.stopped.values()
        if stop or step % self.every == 0 or step == trainer.max_steps:
            states = pl_module.run_state
            self._each(pl_module, pl_module.present, lambda i: self.writers[i].save_state(step, states(i)))
        TERMINATION.raise_if_requested()
        trainer.should_stop = not pl_module.active

    def _each(self, module: TextualInversion, runs: Iterable[int], action: Any) -> None:
        """Do something for each run; one that it fails for is trained no further."""
        isolated(runs, action, module.failures.__setitem__)
