"""Whether a generated picture still shows the concept's own thing, and not just another of its kind."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Bool, Float
from PIL import Image
from torch import Tensor

from mti.images import to_tensor
from mti.metrics.image_similarity import PictureEmbedding
from mti.types import UserError
from mti.weights import weights_path


class SameIndividual:
    """A picture shows the individual if it is nearer to the concept's pictures than to every other individual's.

    Near is the cosine of an embedding that tells individuals apart, such as DINO's. The others are of the same kind.

    Args:
        embedding: gives the vectors.
        others: a folder with a folder of pictures for each kind of thing, such as `others/coffee_mug/0.png`, each of
            another individual; `pocket:NAME` among the shipped weights.
    """

    def __init__(self, embedding: PictureEmbedding, others: str) -> None:
        self.embedding = embedding
        self.others = others
        self._vectors: dict[str, Tensor | None] = {}

    def record(self) -> dict[str, Any]:
        """Which network it is, and which others."""
        return {"individual": {**self.embedding.record(), "others": self.others}}

    def check(self) -> None:
        """Raise a `UserError` if weights or pictures are missing."""
        self.embedding.check()
        if not self._folder.is_dir():
            raise UserError(f"there is no folder {self._folder} with pictures of other individuals")

    def to(self, device: torch.device) -> None:
        """Say where the network computes."""
        getattr(self.embedding, "to", lambda _: None)(device)

    def release(self) -> None:
        """Free the network's memory."""
        getattr(self.embedding, "release", lambda: None)()

    def there(
        self,
        generated: Float[Tensor, "generated 3 height width"],
        reference: Float[Tensor, "reference 3 height width"],
        kind: str,
    ) -> Bool[Tensor, " generated"] | None:
        """In which pictures, all in [-1, 1], the individual is; None where no other of its kind is known."""
        if kind not in self._vectors:
            self._vectors[kind] = self._read(kind)
        others = self._vectors[kind]
        if others is None:
            return None
        vectors = self.embedding.pictures(generated)
        own = (vectors @ self.embedding.pictures(reference).mT).mean(1)
        return own > (vectors @ others.mT).amax(1)

    @property
    def _folder(self) -> Path:
        return weights_path(self.others)

    def _read(self, kind: str) -> Float[Tensor, "others embedding"] | None:
        paths = sorted((self._folder / kind_folder(kind)).glob("*.png"))
        if not paths:
            return None
        pictures = [Image.open(path).convert("RGB") for path in paths]
        return self.embedding.pictures(torch.stack([to_tensor(picture, picture.width) for picture in pictures]))


def kind_folder(kind: str) -> str:
    """The name of a kind's folder: "teddy bear" is teddy_bear."""
    return re.sub(r"\W", "_", kind)
