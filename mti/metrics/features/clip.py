"""CLIP's embeddings of pictures and texts, through transformers."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
import transformers
from jaxtyping import Float
from torch import Tensor
from transformers import AutoProcessor, CLIPModel

from mti.images import to_pil
from mti.library_logging import quiet_transformers
from mti.metrics.features import FrozenNetwork, origin
from mti.weights import WITH_PREPROCESSING, Need, hub_need, model_folder

PREPROCESSING = ("size", "crop_size", "resample", "image_mean", "image_std")


@dataclass(frozen=True)
class WithProcessor:
    """A model and its preprocessing."""

    model: Any
    processor: Any


class Clip(FrozenNetwork[WithProcessor]):
    """A CLIP model in transformers' format: a folder, `pocket:NAME`, or a hub name that is in the cache."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self.path = path

    def record(self) -> dict[str, Any]:
        """Which network it is, and how pictures are preprocessed for it."""
        (folder,) = self._files()
        return {
            "network": self.path,
            **origin(folder),
            "preprocessing": _preprocessing(folder),
            "transformers": transformers.__version__,
        }

    def check(self) -> None:
        """Raise a `UserError` if weights are missing."""
        self._files()

    def wanted(self) -> list[Need]:
        """The files that can be downloaded."""
        return hub_need("CLIP", self.path, WITH_PREPROCESSING)

    @torch.no_grad()
    def pictures(self, pictures: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch embedding"]:
        """Unit vectors of pictures in [-1, 1], scaled and cropped as the model's own preprocessing says."""
        images = [to_pil(picture) for picture in pictures]
        inputs = self.loaded.processor(images=images, return_tensors="pt").to(self.device)
        return F.normalize(self.loaded.model.get_image_features(**inputs).pooler_output, dim=-1).cpu()

    @torch.no_grad()
    def texts(self, texts: Sequence[str]) -> Float[Tensor, "batch embedding"]:
        """Unit vectors of texts, cut where the model's context ends."""
        inputs = self.loaded.processor(text=list(texts), return_tensors="pt", padding=True, truncation=True)
        return F.normalize(self.loaded.model.get_text_features(**inputs.to(self.device)).pooler_output, dim=-1).cpu()

    def _files(self) -> tuple[Path]:
        return (model_folder(self.path, WITH_PREPROCESSING, "CLIP: "),)

    def _load(self, *files: Path) -> WithProcessor:
        with quiet_transformers():
            model: Any = CLIPModel.from_pretrained(files[0], dtype=torch.float32)
            return WithProcessor(model.eval().to(self.device), AutoProcessor.from_pretrained(files[0]))


def _preprocessing(folder: Path) -> dict[str, Any]:
    """What a folder says of the preprocessing of pictures, in either of transformers' files."""
    own = folder / "preprocessor_config.json"
    config = json.loads((own if own.is_file() else folder / "processor_config.json").read_text())
    config = config.get("image_processor", config)
    return {name: config[name] for name in PREPROCESSING if name in config}
