"""The networks that metrics look through, each with the same face."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

Maps = dict[str, Float[Tensor, "_ _ _ _"]]
"""A network's activations by the name of the layer, in the network's order: [batch, channels, height, width]."""

Heads = dict[str, Float[Tensor, " _"]]
"""What a channel's difference weighs in LPIPS, by the name of the layer: [channels]."""

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")


@runtime_checkable
class Features(Protocol):
    """A frozen convolutional network. Building one costs nothing; weights are read from disk at the first call."""

    def record(self) -> dict[str, Any]:
        """Which network it is."""
        ...

    def check(self, layer: str | None = None) -> None:
        """Raise a `UserError` if there is no such layer, or if weights are missing; reads none."""
        ...

    def __call__(self, pictures: Float[Tensor, "batch 3 height width"]) -> Maps:
        """The maps of pictures in [-1, 1], at the size that they have, on the CPU."""
        ...


@runtime_checkable
class WeightedFeatures(Features, Protocol):
    """A network whose channels have weights for LPIPS."""

    def heads(self) -> Heads:
        """The weights, none below 0, of the layers that count."""
        ...
