"""Learned perceptual image patch similarity: how far a picture is from another in a network's features."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from mti.metrics.features import Heads, Maps, WeightedFeatures


class LPIPS:
    """LPIPS v0.1 of every generated picture, the mean over the reference pictures; 0 is a copy, lower is better.

    Zhang et al., "The Unreasonable Effectiveness of Deep Features as a Perceptual Metric", 2018, eq. (1),
    as richzhang/PerceptualSimilarity computes it: no resizing, so that all pictures must have one size.
    """

    def __init__(self, features: WeightedFeatures, name: str = "lpips", batch_size: int = 8) -> None:
        self.features = features
        self.name = name
        self.batch_size = batch_size

    @property
    def record(self) -> Mapping[str, Any]:
        """What a score depends on."""
        return {"metric": "LPIPS v0.1", "version": 1, **self.features.record()}

    def check(self) -> None:
        """Raise a `UserError` if the network's weights are missing."""
        self.features.check()

    def __call__(
        self,
        generated: Float[Tensor, "generated 3 height width"],
        reference: Float[Tensor, "reference 3 height width"],
        prompts: Sequence[str],
    ) -> dict[str, Float[Tensor, " generated"]]:
        """One distance for each generated picture; pictures in [-1, 1]."""
        heads = self.features.heads()
        targets = [self.features(picture[None]) for picture in reference]
        parts = []
        for part in generated.split(self.batch_size):
            maps = self.features(part)
            parts.append(torch.stack([distance(maps, target, heads) for target in targets]).mean(0))
        return {self.name: torch.cat(parts)}


def distance(first: Maps, second: Maps, heads: Heads) -> Float[Tensor, " batch"]:
    """Eq. (1): the differences of all layers' channels, weighted and summed.

    One of the two may hold a single picture, which is then compared with all of the other's.
    """
    return torch.stack([difference(first[layer], second[layer]) @ weights for layer, weights in heads.items()]).sum(0)


def difference(first: Tensor, second: Tensor) -> Float[Tensor, "batch channels"]:
    """How much each channel adds to |u - v|², averaged over places; u, v: the maps' vectors scaled to length 1."""
    return (_directions(first) - _directions(second)).square().mean((2, 3))


def _directions(maps: Float[Tensor, "batch channels h w"]) -> Float[Tensor, "batch channels h w"]:
    """Where nothing is active, the vector stays 0."""
    return maps / (maps.square().sum(1, keepdim=True).sqrt() + 1e-10)
