"""Learned perceptual image patch similarity: how far a picture is from another in a network's features."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from mti.metrics.base import BaseMetric
from mti.metrics.features import Heads, Maps, WeightedFeatures
from mti.ranges import INCIDENTAL, AtLeast


class LPIPS(BaseMetric):
    """LPIPS v0.1 of every generated picture, the mean over the reference pictures; 0 is a copy.

    Zhang et al., "The Unreasonable Effectiveness of Deep Features as a Perceptual Metric", 2018, eq. (1),
    as richzhang/PerceptualSimilarity computes it: no resizing, so that all pictures must have one size.
    """

    measures = "LPIPS v0.1"
    better = "lower"
    about = "fidelity"

    def __init__(
        self,
        features: WeightedFeatures,
        name: str = "lpips",
        label: str | None = "LPIPS",
        batch_size: Annotated[int, AtLeast(1), INCIDENTAL] = 8,
    ) -> None:
        super().__init__(name, label, features)
        self.features = features
        self.batch_size = batch_size

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


class MaskedLPIPS(LPIPS):
    """LPIPS of the thing: what is not on it is grey in both pictures, which are compared as `LPIPS` does.

    A generated picture is masked with the reference picture's own mask. Reconstruction prompts ask for the picture
    again, so a thing that is drawn elsewhere or in another shape ought to cost; and a mask found in the generated
    picture would make the score depend on a segmenter's errors in pictures that it was never trained on. Of several
    reference pictures each masks with its own; those without a mask are left out. The mean is over the whole square:
    the smaller the thing, the smaller the distance, so that scores compare between runs of one concept.
    """

    measures = "LPIPS v0.1 with the background grey"
    wants_mask = True

    def __call__(
        self,
        generated: Float[Tensor, "generated 3 height width"],
        reference: Float[Tensor, "reference 3 height width"],
        prompts: Sequence[str],
        mask: Bool[Tensor, "reference height width"] | None = None,
    ) -> dict[str, Float[Tensor, " generated"]]:
        """One distance for each generated picture; nothing where no reference picture has a mask, and one warning."""
        masked = [] if mask is None else [pair for pair in zip(reference, mask, strict=True) if pair[1].any()]
        if not masked:
            return self._left_out("the concept has no mask; click on the thing with click=[x,y]")
        grey = torch.zeros(())
        each = [
            super(MaskedLPIPS, self).__call__(generated.where(thing, grey), picture[None].where(thing, grey), prompts)[
                self.name
            ]
            for picture, thing in masked
        ]
        return {self.name: torch.stack(each).mean(0)}


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
