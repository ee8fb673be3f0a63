"""How long an update takes."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import pytorch_lightning as pl

from mti.callbacks.progress import Progress
from mti.close import RunWriter
from mti.inversion import TextualInversion


class UpdateTimer(pl.Callback):
    """Times each update of a batch of runs, and gives every run that it trains an equal share of it.

    To be the first of the callbacks: so what the others do after an update, such as evaluations, is not part of it.
    A GPU's work is, for an update ends with numbers that are waited for (`TextualInversion` asks whether the
    embeddings are finite).
    """

    def __init__(self, writers: Sequence[RunWriter], progress: Progress) -> None:
        self.writers, self.progress = writers, progress

    def on_train_batch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any) -> None:
        """An update begins."""
        assert isinstance(pl_module, TextualInversion)
        self._active, self._began = pl_module.active, time.perf_counter()

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any) -> None:
        """It is done."""
        seconds = time.perf_counter() - self._began
        for i in self._active:
            self.writers[i].updated(seconds, len(self._active))
        self.progress.update_seconds += seconds
