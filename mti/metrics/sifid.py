"""Single-image FID: how far the statistics of a picture's patches are from those of another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import torch
from jaxtyping import Float
from torch import Tensor

from mti.metrics.base import BaseMetric
from mti.metrics.features import Features
from mti.ranges import INCIDENTAL, AtLeast


class SIFID(BaseMetric):
    """SIFID of every generated picture, the mean over the reference pictures; 0 is a copy.

    Shaham et al., "SinGAN", 2019, section 3: the Fréchet distance between the features at all places of
    one picture and those of another. Which features is the choice of `layer`: with torchvision's
    Inception-v3, "Conv2d_4a_3x3" (the default of `conf/metrics/sifid.yaml`: 192 channels, before the
    second pooling, what the papers say) or "Conv2d_2b_3x3" (64 channels, before the first pooling, what an
    older version of tamarott/SinGAN computed). Scores of different layers do not compare.
    """

    measures = "SIFID"
    better = "lower"
    about = "fidelity"

    def __init__(
        self,
        features: Features,
        layer: str,
        name: str = "sifid",
        label: str | None = "SIFID",
        batch_size: Annotated[int, AtLeast(1), INCIDENTAL] = 8,
    ) -> None:
        super().__init__(name, label, features)
        self.features = features
        self.layer = layer
        self.batch_size = batch_size

    def settings(self) -> dict[str, Any]:
        """The network, and which of its maps."""
        return {**super().settings(), "layer": self.layer}

    def check(self) -> None:
        """Raise a `UserError` if the network has no such layer, or its weights are missing."""
        self.features.check(self.layer)

    def __call__(
        self,
        generated: Float[Tensor, "generated 3 height width"],
        reference: Float[Tensor, "reference 3 height width"],
        prompts: Sequence[str],
    ) -> dict[str, Float[Tensor, " generated"]]:
        """One distance for each generated picture; pictures in [-1, 1], of any sizes."""
        targets = self._places(reference)
        scores = [
            torch.stack([frechet_distance(places, target) for target in targets]).mean()
            for places in self._places(generated)
        ]
        return {self.name: torch.stack(scores).float()}

    def _places(self, pictures: Tensor) -> list[Float[Tensor, "places channels"]]:
        """Each picture's features, one row a place."""
        return [own.flatten(1).T for part in pictures.split(self.batch_size) for own in self.features(part)[self.layer]]


def frechet_distance(first: Float[Tensor, "n channels"], second: Float[Tensor, "m channels"]) -> Float[Tensor, ""]:
    """Fréchet distance between the Gaussians of two samples, in float64; covariances with n - 1.

    Dowson and Landau, 1982: |μ₁ - μ₂|² + tr Σ₁ + tr Σ₂ - 2 tr (Σ₁ Σ₂)^½. With Σ = RᵀR the last trace is
    the sum of the singular values of R₁R₂ᵀ. R comes from a QR decomposition of the centred sample, so
    that nothing is squared whose root is taken after, and fewer samples than channels do no harm.
    """
    means, roots = zip(*(_mean_and_root(sample.double()) for sample in (first, second)), strict=True)
    shared = torch.linalg.svdvals(roots[0] @ roots[1].T).sum()
    spread = roots[0].square().sum() + roots[1].square().sum() - 2 * shared
    return (means[0] - means[1]).square().sum() + spread.clamp(min=0)


def _mean_and_root(sample: Tensor) -> tuple[Tensor, Tensor]:
    """A sample's mean, and R with RᵀR its covariance."""
    mean = sample.mean(0)
    centred = (sample - mean) / (len(sample) - 1) ** 0.5
    return mean, torch.linalg.qr(centred, mode="r").R
