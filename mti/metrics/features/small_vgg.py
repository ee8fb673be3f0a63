"""A small network of VGG's shape, five blocks of convolution, ReLU and pooling: the pocket world's perception."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from mti.metrics.features import OWN_SIZE, FrozenNetwork, Heads, Maps, WithHeads, origin
from mti.types import UserError
from mti.weights import weights_path

CONFIG, WEIGHTS = "config.json", "model.safetensors"


class SmallVGG(nn.Module):
    """One 3×3 convolution with ReLU a block; 2×2 max-pooling between the blocks."""

    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__()
        self.channels = tuple(channels)
        blocks = [nn.Conv2d(*sides, 3, padding=1) for sides in zip((3, *channels), channels, strict=False)]
        for block in blocks:
            nn.init.kaiming_normal_(block.weight, nonlinearity="relu")
            nn.init.zeros_(block.bias)  # pyright: ignore[reportArgumentType]
        self.blocks = nn.ModuleList(blocks)

    def forward(self, pictures: Float[Tensor, "batch 3 height width"]) -> Maps:
        """Every block's map before it is pooled, "relu1" at the pictures' resolution. Pictures in [-1, 1]."""
        maps, x = {}, pictures
        for i, block in enumerate(self.blocks, 1):
            x = F.relu(block(x if i == 1 else F.max_pool2d(x, 2)))
            maps[f"relu{i}"] = x
        return maps


class SmallVGGFeatures(FrozenNetwork[WithHeads]):
    """The maps of a `SmallVGG` in a folder, or of the shipped one: `pocket:perceptual`."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self.path = path

    def record(self) -> dict[str, Any]:
        """Which network it is; a network trained anew gives other scores under the same name."""
        (folder,) = self._files()
        return {"network": self.path, **origin(folder), "preprocessing": f"{OWN_SIZE}, in [-1, 1]"}

    def check(self, layer: str | None = None) -> None:
        """Raise a `UserError` if there is no such layer, or if a file is missing."""
        (folder,) = self._files()
        layers = [f"relu{i}" for i in range(1, len(json.loads((folder / CONFIG).read_text())["channels"]) + 1)]
        if layer and layer not in layers:
            raise UserError(f"the small VGG {self.path} has no layer {layer}: expected one of {', '.join(layers)}")

    @torch.no_grad()
    def __call__(self, pictures: Float[Tensor, "batch 3 height width"]) -> Maps:
        """The maps of pictures in [-1, 1], of at least 16 × 16."""
        return {name: maps.cpu() for name, maps in self.loaded.network(pictures.to(self.device)).items()}

    def heads(self) -> Heads:
        """The weights that were fitted to rankings of drawings."""
        return self.loaded.heads

    def _files(self) -> tuple[Path]:
        folder = weights_path(self.path)
        missing = [name for name in (CONFIG, WEIGHTS) if not (folder / name).is_file()]
        if missing:
            raise UserError(
                f"the small VGG {self.path}: {folder} lacks {', '.join(missing)}; "
                "train it with `python -m mti.pocket.build perceptual`"
            )
        return (folder,)

    def _load(self, *files: Path) -> WithHeads:
        """What `save` wrote."""
        (folder,) = files
        network = SmallVGG(json.loads((folder / CONFIG).read_text())["channels"])
        tensors = {name: tensor.float() for name, tensor in load_file(folder / WEIGHTS).items()}
        named = [name for name in sorted(tensors) if name.startswith("heads.")]
        heads = {name.removeprefix("heads."): tensors.pop(name) for name in named}
        network.load_state_dict(tensors)
        return WithHeads(network.eval().requires_grad_(False).to(self.device), heads)


def save(folder: Path, network: SmallVGG, heads: Heads) -> None:
    """Write a network and its heads, in half precision."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / CONFIG).write_text(
        json.dumps({"architecture": "SmallVGG", "channels": network.channels}, indent=2) + "\n"
    )
    tensors = {**network.state_dict(), **{f"heads.{name}": weights for name, weights in heads.items()}}
    save_file({name: tensor.half().contiguous() for name, tensor in tensors.items()}, folder / WEIGHTS)
