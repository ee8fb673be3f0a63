"""VGG16 as LPIPS sees through it: torchvision's weights, the lpips package's heads."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import torch
import torchvision
from jaxtyping import Float
from torch import Tensor, nn
from torchvision.models import VGG16_Weights, vgg16

from mti.metrics.features import OWN_SIZE, FrozenNetwork, Heads, Maps, WithHeads
from mti.types import UserError
from mti.weights import Need, checkpoint, file_need

LAYERS = {"relu1_2": 3, "relu2_2": 8, "relu3_3": 15, "relu4_3": 22, "relu5_3": 29}
# What lpips' scaling layer subtracts and divides by: ImageNet's mean and deviation, for pictures in [-1, 1].
SHIFT, SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)


class VGG16(FrozenNetwork[WithHeads]):
    """The five activations of VGG16 that LPIPS compares, each before its pooling.

    Args:
        weights: the file of the network's weights; None is where torchvision keeps its own.
        linear: the file of the heads; None is the one in the lpips package, v0.1.
    """

    def __init__(self, weights: str | None = None, linear: str | None = None) -> None:
        super().__init__()
        self.weights = weights
        self.linear = linear

    def record(self) -> dict[str, Any]:
        """Which network it is, and how pictures are preprocessed for it."""
        return {
            "network": "VGG16",
            "weights": self.weights or str(VGG16_Weights.IMAGENET1K_V1),
            "preprocessing": f"{OWN_SIZE}, ImageNet's mean and deviation",
            "torchvision": torchvision.__version__,
        }

    def check(self, layer: str | None = None) -> None:
        """Raise a `UserError` if there is no such layer, or if the network's or the heads' weights are missing."""
        if layer and layer not in LAYERS:
            raise UserError(f"VGG16 has no layer {layer}: expected one of {', '.join(LAYERS)}")
        self._files()

    def wanted(self) -> list[Need]:
        """The files that can be downloaded."""
        return file_need("torchvision's VGG16", VGG16_Weights.IMAGENET1K_V1.url, self.weights)

    @torch.no_grad()
    def __call__(self, pictures: Float[Tensor, "batch 3 height width"]) -> Maps:
        """The maps of pictures in [-1, 1], of at least 16 × 16."""
        shift, scale = (torch.tensor(values).view(3, 1, 1) for values in (SHIFT, SCALE))
        x, maps = ((pictures - shift) / scale).to(self.device), {}
        names = {index: name for name, index in LAYERS.items()}
        for index, layer in enumerate(self.loaded.network):
            x = layer(x)
            if index in names:
                maps[names[index]] = x.cpu()
        return maps

    def heads(self) -> Heads:
        """The weights that Zhang et al. fitted to people's judgements."""
        return self.loaded.heads

    def _files(self) -> tuple[Path, Path]:
        weights = checkpoint(VGG16_Weights.IMAGENET1K_V1.url, "LPIPS needs torchvision's VGG16 (528 MB)", self.weights)
        return weights, self._linear()

    def _load(self, *files: Path) -> WithHeads:
        with torch.device("meta"):  # the classifier's 470 MB are never made
            layers = nn.Sequential(*vgg16(init_weights=False).features.children())[: LAYERS["relu5_3"] + 1]
        weights, linear = files
        state = torch.load(weights, map_location="cpu", weights_only=True, mmap=True)
        heads = torch.load(linear, map_location="cpu", weights_only=True)
        own = {name: state[f"features.{name}"].clone() for name in layers.state_dict()}
        layers.load_state_dict(own, assign=True)
        for layer in layers:
            if isinstance(layer, nn.ReLU):
                layer.inplace = False  # a map that was kept stays what it was
        named = {name: heads[f"lin{i}.model.1.weight"].flatten() for i, name in enumerate(LAYERS)}
        return WithHeads(layers.eval().requires_grad_(False).to(self.device), named)

    def _linear(self) -> Path:
        package = importlib.util.find_spec("lpips")
        if self.linear is None and (package is None or package.origin is None):
            raise UserError("LPIPS needs the heads in the package lpips, which is not installed: `pip install lpips`")
        folder = Path(package.origin).parent if package and package.origin else Path()
        file = Path(self.linear).expanduser() if self.linear else folder / "weights" / "v0.1" / "vgg.pth"
        if not file.is_file():
            raise UserError(f"LPIPS needs its heads for VGG16: there is no file {file}; `pip install lpips` has it")
        return file
