"""A vision transformer's embeddings of pictures, such as DINO's, through transformers."""

from __future__ import annotations

import functools
from typing import Any

import torch
import torch.nn.functional as F
import transformers
from jaxtyping import Float
from torch import Tensor
from transformers import AutoImageProcessor, ViTModel

from mti.images import to_pil
from mti.library_logging import quiet_transformers
from mti.metrics.features import DEVICE
from mti.weights import WITH_PREPROCESSING, model_folder


class Vit:
    """A ViT in transformers' format: a folder, or a hub name that is in the cache."""

    def __init__(self, path: str) -> None:
        self.path = path

    def record(self) -> dict[str, Any]:
        """Which network it is; the folder's name is the commit if it comes from the hub."""
        folder = model_folder(self.path, WITH_PREPROCESSING, "DINO: ").name
        return {"network": self.path, "folder": folder, "transformers": transformers.__version__}

    def check(self) -> None:
        """Raise a `UserError` if weights are missing."""
        model_folder(self.path, WITH_PREPROCESSING, "DINO: ")

    def pictures(self, pictures: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch embedding"]:
        """Unit vectors of pictures in [-1, 1]: the class token of the last layer, normalised."""
        processor, model = load(str(model_folder(self.path, WITH_PREPROCESSING, "DINO: ")))
        inputs = processor(images=[to_pil(picture) for picture in pictures], return_tensors="pt").to(DEVICE)
        with torch.no_grad():
            return F.normalize(model(**inputs).last_hidden_state[:, 0], dim=-1).cpu()


@functools.lru_cache(maxsize=1)
def load(folder: str) -> tuple[Any, Any]:
    """The preprocessing and the model, in fp32."""
    with quiet_transformers():
        model: Any = ViTModel.from_pretrained(folder, add_pooling_layer=False, dtype=torch.float32)
        return AutoImageProcessor.from_pretrained(folder), model.eval().to(DEVICE)
