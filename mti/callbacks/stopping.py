"""Takes runs that have learned enough out of their batch."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import pytorch_lightning as pl

from mti.callbacks.evaluation import losses_of
from mti.close import RunWriter
from mti.inversion import TextualInversion
from mti.phases import phase
from mti.schema import Evaluation
from mti.termination import TERMINATION

log = logging.getLogger("mti")

LOSS = "stop/mse"  # the evaluation loss, in a column of its own, since it is measured more often


class Stopping(pl.Callback):
    """Measures the evaluation loss of the runs that have a rule, without pictures, and asks the rule.

    To be called before the callbacks that evaluate and save: a run that stops is still theirs after this update.
    """

    def __init__(self, writers: Sequence[RunWriter], evaluation: Evaluation) -> None:
        self.writers, self.evaluation = writers, evaluation

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Ask before the first update, and what was not asked where a process was stopped."""
        assert isinstance(pl_module, TextualInversion)
        self._ask(pl_module)

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any) -> None:
        """Ask the rules whose turn it is."""
        assert isinstance(pl_module, TextualInversion)
        self._ask(pl_module)

    def _ask(self, module: TextualInversion) -> None:
        step = module.step
        rules = {i: rule for i in module.active if (rule := module.runs[i].stop) and step % rule.every == 0}
        due = [i for i in rules if step not in self.writers[i].folder.curve(LOSS)]
        if not due or TERMINATION.requested is not None:
            return
        with phase(f"asking {len(due)} rules after {step} steps"):
            losses = losses_of(module, due, self.evaluation)
        for i, loss in zip(due, losses, strict=True):
            writer = self.writers[i]
            writer.record(step, {LOSS: loss})
            if rules[i](writer.folder.curve(LOSS)):
                module.stopped[i] = step
                log.info("%s: stopped by its rule at step %d", writer.prepared.planned.config.title, step)
