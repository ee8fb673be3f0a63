"""The learning rate over the updates of a run."""

from __future__ import annotations

import math

from mti.schema import Training


def rate(training: Training, step: int) -> float:
    """The learning rate of the update after `step` others.

    It rises linearly over `warmup` updates. From there it is constant, or falls along half a cosine to zero at
    `horizon` (Loshchilov and Hutter 2017, arXiv:1608.03983, without restarts) and stays there.
    """
    factor = min(1.0, (step + 1) / (training.warmup + 1))
    if training.schedule == "cosine" and training.horizon is not None and step >= training.warmup:
        done = min(1.0, (step - training.warmup) / (training.horizon - training.warmup))
        factor = (1 + math.cos(math.pi * done)) / 2
    return training.learning_rate * factor
