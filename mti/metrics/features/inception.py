"""The first layers of Inception-v3, as SIFID sees through them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torchvision.models import Inception_V3_Weights, inception_v3

from mti.metrics.features import OWN_SIZE, FrozenNetwork, Maps
from mti.types import UserError
from mti.weights import Need, checkpoint, file_need

LAYERS = ("Conv2d_1a_3x3", "Conv2d_2a_3x3", "Conv2d_2b_3x3", "maxpool1", "Conv2d_3b_1x1", "Conv2d_4a_3x3")


class InceptionV3(FrozenNetwork[nn.ModuleDict]):
    """torchvision's Inception-v3 up to the second pooling, without torchvision's change of normalisation.

    Args:
        weights: the file of the network's weights; None is where torchvision keeps its own.
    """

    def __init__(self, weights: str | None = None) -> None:
        super().__init__()
        self.weights = weights

    def record(self) -> dict[str, Any]:
        """Which network it is, and how pictures are preprocessed for it."""
        return {
            "network": "Inception-v3",
            "weights": self.weights or f"torchvision {Inception_V3_Weights.IMAGENET1K_V1}",
            "preprocessing": f"{OWN_SIZE}, in [-1, 1]",
        }

    def check(self, layer: str | None = None) -> None:
        """Raise a `UserError` if there is no such layer, or if the weights are missing."""
        if layer and layer not in LAYERS:
            raise UserError(f"Inception-v3 has no layer {layer} here: expected one of {', '.join(LAYERS)}")
        self._files()

    def wanted(self) -> list[Need]:
        """The files that can be downloaded."""
        return file_need("torchvision's Inception-v3", Inception_V3_Weights.IMAGENET1K_V1.url, self.weights)

    @torch.no_grad()
    def __call__(self, pictures: Float[Tensor, "batch 3 height width"]) -> Maps:
        """The maps of pictures in [-1, 1], of at least 19 × 19; no layer sees beyond the second pooling."""
        x, maps = pictures.to(self.device), {}
        for name, layer in self.loaded.items():
            x = layer(x)
            maps[name] = x.cpu()
        return maps

    def _files(self) -> tuple[Path]:
        url = Inception_V3_Weights.IMAGENET1K_V1.url
        return (checkpoint(url, "SIFID needs torchvision's Inception-v3 (104 MB)", self.weights),)

    def _load(self, *files: Path) -> nn.ModuleDict:
        with torch.device("meta"):  # the layers above are never made
            network = inception_v3(init_weights=False)
            layers = nn.ModuleDict({name: getattr(network, name) for name in LAYERS})
        state = torch.load(files[0], map_location="cpu", weights_only=True, mmap=True)
        layers.load_state_dict({name: state[name].clone() for name in layers.state_dict()}, assign=True)
        return layers.eval().requires_grad_(False).to(self.device)
