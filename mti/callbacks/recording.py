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
    """Records each run's training loss, and saves the states of all: every so many steps of the first of them, when
    told to stop, and when one of them ends; then the batch ends too."""

    def __init__(self, writers: Sequence[RunWriter], every: int):
        self.writers = writers
        self.every = every

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Stop before the first step if the process was told to, or if a run has ended."""
        assert isinstance(pl_module, TextualInversion)
        TERMINATION.raise_if_requested()
        trainer.should_stop = _ended(pl_module)

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any) -> None:
        """Record the batch's loss; save when it is time to."""
        assert isinstance(pl_module, TextualInversion)
        module, present = pl_module, pl_module.present
        losses = module.losses
        self._each(module, present, lambda i: self.writers[i].record(module.step(i) - 1, {"train/mse": losses[i]}))
        clock = any(module.step(i) % self.every == 0 for i in present[:1])
        if clock or _ended(module) or TERMINATION.requested is not None:
            self._each(module, present, lambda i: self.writers[i].save_state(module.step(i), module.run_state(i)))
        TERMINATION.raise_if_requested()
        trainer.should_stop = _ended(module)

    def _each(self, module: TextualInversion, runs: Iterable[int], action: Any) -> None:
        """Do something for each run; one that it fails for is trained no further."""
        isolated(runs, action, module.failures.__setitem__)


def _ended(module: TextualInversion) -> bool:
    return len(module.active) < len(module.runs)
