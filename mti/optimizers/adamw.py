"""AdamW, that of every published textual inversion."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import torch

from mti.ranges import Above, Between
from mti.rows import Group, Vocabulary


class AdamW:
    """Loshchilov and Hutter 2019, arXiv:1711.05101, as torch has it.

    Args:
        beta1: the share that the gradient's mean keeps at each step.
        beta2: the share that its square keeps.
        epsilon: beside the root of the square's mean.
    """

    def __init__(
        self,
        beta1: Annotated[float, Between(0, 0.9999)] = 0.9,
        beta2: Annotated[float, Between(0, 0.999999)] = 0.999,
        epsilon: Annotated[float, Above(0)] = 1e-8,
    ) -> None:
        self.betas, self.epsilon = (beta1, beta2), epsilon

    def __call__(self, groups: Sequence[Group], vocabulary: Vocabulary) -> torch.optim.Optimizer:
        """One torch optimizer for the rows of all runs."""
        return torch.optim.AdamW([dict(group) for group in groups], betas=self.betas, eps=self.epsilon)
