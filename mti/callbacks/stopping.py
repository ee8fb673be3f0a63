"""Takes runs that have learned enough out of their batch."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import pytorch_lightning as pl

from mti.callbacks.evaluation import after, losses_of
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
        """Ask before the first update: new runs, and again those that a process left behind when they had stopped."""
        assert isinstance(pl_module, TextualInversion)
        self._ask(pl_module)

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any) -> None:
        """Ask the rules whose turn it is."""
        assert isinstance(pl_module, TextualInversion)
        self._ask(pl_module)

    def _ask(self, module: TextualInversion) -> None:
        if TERMINATION.requested is not None:
            return
        rules = {i: rule for i in module.active if (rule := module.runs[i].stop) and module.step(i) % rule.every == 0}
        due = [i for i in rules if module.step(i) not in self.writers[i].folder.curve(LOSS)]
        if due:
            with phase(f"asking {len(due)} rules {after(module, due)}"):
                losses = losses_of(module, due, self.evaluation)
            for i, loss in zip(due, losses, strict=True):
                self.writers[i].record(module.step(i), {LOSS: loss})
        for i, rule in rules.items():
            if rule(self.writers[i].folder.curve(LOSS)):
                module.stopped[i] = module.step(i)
                title = self.writers[i].prepared.planned.config.title
                log.info("%s: stopped by its rule at step %d", title, module.step(i))
