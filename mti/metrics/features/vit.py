"""A vision transformer's embeddings of pictures, such as DINO's, through transformers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import torch
import torch.nn.functional as F
import transformers
from jaxtyping import Float
from torch import Tensor
from torchvision.transforms import InterpolationMode, v2
from transformers import ViTModel

from mti.images import to_pil
from mti.library_logging import quiet_transformers
from mti.metrics.features import FrozenNetwork, origin
from mti.ranges import AtLeast
from mti.weights import NETWORK, Need, hub_need, model_folder

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Vit(FrozenNetwork[Any]):
    """A ViT in transformers' format: a folder, `pocket:NAME`, or a hub name that is in the cache.

    Pictures are preprocessed as facebookresearch/dino evaluates (eval_linear.py), and DreamBooth with it, whatever
    the folder's own preprocessor says: that of the hub squashes pictures to 224 × 224, and scores differ by 0.04.

    Args:
        path: where the model is.
        resize: the pictures' shorter side, in pixels, after bicubic antialiased scaling.
        crop: the side of the centre square that the network sees.
        mean: what is subtracted from channels in [0, 1].
        std: what they are divided by.
    """

    def __init__(
        self,
        path: str,
        resize: Annotated[int, AtLeast(1)] = 256,
        crop: Annotated[int, AtLeast(1)] = 224,
        mean: Sequence[float] = IMAGENET_MEAN,
        std: Sequence[float] = IMAGENET_STD,
    ) -> None:
        super().__init__()
        self.path = path
        self.preprocessing = {"resize": resize, "interpolation": "bicubic", "crop": crop}
        self.preprocessing |= {"mean": list(mean), "std": list(std)}
        self._preprocess = v2.Compose(
            [
                v2.Resize(resize, InterpolationMode.BICUBIC),
                v2.CenterCrop(crop),
                v2.PILToTensor(),
                v2.ToDtype(torch.float32, scale=True),
                v2.Normalize(list(mean), list(std)),
            ]
        )

    def record(self) -> dict[str, Any]:
        """Which network it is, and how pictures are preprocessed for it."""
        (folder,) = self._files()
        return {
            "network": self.path,
            **origin(folder),
            "preprocessing": self.preprocessing,
            "transformers": transformers.__version__,
        }

    def check(self) -> None:
        """Raise a `UserError` if weights are missing."""
        self._files()

    def wanted(self) -> list[Need]:
        """The files that can be downloaded."""
        return hub_need("DINO", self.path, NETWORK)

    @torch.no_grad()
    def pictures(self, pictures: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch embedding"]:
        """Unit vectors of pictures in [-1, 1]: the class token of the last layer, normalised."""
        inputs = torch.stack([self._preprocess(to_pil(picture)) for picture in pictures]).to(self.device)
        return F.normalize(self.loaded(pixel_values=inputs).last_hidden_state[:, 0], dim=-1).cpu()

    def _files(self) -> tuple[Path]:
        return (model_folder(self.path, NETWORK, "DINO: "),)

    def _load(self, *files: Path) -> Any:
        with quiet_transformers():
            model: Any = ViTModel.from_pretrained(files[0], add_pooling_layer=False, dtype=torch.float32)
        return model.eval().to(self.device)
