"""CLIP's embeddings of pictures and texts, through transformers."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
import transformers
from jaxtyping import Float
from torch import Tensor
from transformers import AutoProcessor, CLIPModel

from mti.images import to_pil
from mti.library_logging import quiet_transformers
from mti.metrics.features import DEVICE
from mti.weights import WITH_PREPROCESSING, model_folder


class Clip:
    """A CLIP model in transformers' format: a folder, or a hub name that is in the cache."""

    def __init__(self, path: str) -> None:
        self.path = path

    def record(self) -> dict[str, Any]:
        """Which network it is; the folder's name is the commit if it comes from the hub."""
        folder = model_folder(self.path, WITH_PREPROCESSING, "CLIP: ").name
        return {"network": self.path, "folder": folder, "transformers": transformers.__version__}

    def check(self) -> None:
        """Raise a `UserError` if weights are missing."""
        model_folder(self.path, WITH_PREPROCESSING, "CLIP: ")

    def pictures(self, pictures: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch embedding"]:
        """Unit vectors of pictures in [-1, 1], scaled and cropped as the model's own preprocessing says."""
        processor, model = load(str(model_folder(self.path, WITH_PREPROCESSING, "CLIP: ")))
        inputs = processor(images=[to_pil(picture) for picture in pictures], return_tensors="pt").to(DEVICE)
        with torch.no_grad():
            return F.normalize(model.get_image_features(**inputs).pooler_output, dim=-1).cpu()

    def texts(self, texts: Sequence[str]) -> Float[Tensor, "batch embedding"]:
        """Unit vectors of texts, cut where the model's context ends."""
        processor, model = load(str(model_folder(self.path, WITH_PREPROCESSING, "CLIP: ")))
        inputs = processor(text=list(texts), return_tensors="pt", padding=True, truncation=True).to(DEVICE)
        with torch.no_grad():
            return F.normalize(model.get_text_features(**inputs).pooler_output, dim=-1).cpu()


@functools.lru_cache(maxsize=1)
def load(folder: str) -> tuple[Any, Any]:
    """The processor and the model, in fp32."""
    with quiet_transformers():
        model: Any = CLIPModel.from_pretrained(folder, dtype=torch.float32)
        return AutoProcessor.from_pretrained(folder), model.eval().to(DEVICE)
