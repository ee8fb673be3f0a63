"""The Lightning trainer, as bare as it can be."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader

from mti.library_logging import quiet_lightning
from mti.schema import Trainer

SERVICES_OFF: dict[str, Any] = {
    "max_epochs": 1,
    "logger": False,
    "enable_checkpointing": False,
    "enable_progress_bar": False,
    "enable_model_summary": False,
}
"""Lightning's services that run folders, callbacks and the progress bar of our own stand in for."""


def lightning_trainer(settings: Trainer, callbacks: Sequence[pl.Callback] = ()) -> pl.Trainer:
    """The trainer; also what tells which device there is."""
    return pl.Trainer(
        accelerator=settings.accelerator,
        devices=settings.devices,
        max_steps=settings.max_steps,
        callbacks=list(callbacks),
        **SERVICES_OFF,
    )


def device_of(settings: Trainer) -> torch.device:
    """The device that a run is trained on."""
    with quiet_lightning():
        return lightning_trainer(settings).strategy.root_device


def step_numbers(steps: int) -> DataLoader[int]:
    """What Lightning iterates over: numbers alone, since the module draws its batches itself."""
    numbers: Any = range(steps)
    return DataLoader(numbers, batch_size=None)
