"""How much generated pictures look like the concept's: cosines of embeddings (CLIP-I, DINO)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor


@runtime_checkable
class PictureEmbedding(Protocol):
    """A network that turns a picture into a vector."""

    def record(self) -> dict[str, Any]:
        """Which network it is."""
        ...

    def check(self) -> None:
        """Raise a `UserError` if weights are missing; reads none."""
        ...

    def pictures(self, pictures: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch embedding"]:
        """Unit vectors of pictures in [-1, 1]."""
        ...


class ImageSimilarity:
    """The cosine of a generated picture's and a reference picture's embeddings, the mean over the references.

    CLIP-I and DINO of DreamBooth (Ruiz et al., 2023, section 4.2), as rinongal/textual_inversion's
    evaluation/clip_eval.py averages: all pairs. 1 is a copy, higher is better; says how faithful
    pictures are that are drawn for new prompts.
    """

    prompt_set = "personalization"

    def __init__(self, embedding: PictureEmbedding, name: str, batch_size: int = 32) -> None:
        self.embedding = embedding
        self.name = name
        self.batch_size = batch_size

    @property
    def record(self) -> Mapping[str, Any]:
        """What a score depends on."""
        return {"metric": "mean cosine of pictures", "version": 1, **self.embedding.record()}

    def check(self) -> None:
        """Raise a `UserError` if the network's weights are missing."""
        self.embedding.check()

    def __call__(
        self,
        generated: Float[Tensor, "generated 3 height width"],
        reference: Float[Tensor, "reference 3 height width"],
        prompts: Sequence[str],
    ) -> dict[str, Float[Tensor, " generated"]]:
        """One similarity for each generated picture, in [-1, 1]."""
        vectors, targets = (
            torch.cat([self.embedding.pictures(part) for part in pictures.split(self.batch_size)])
            for pictures in (generated, reference)
        )
        return {self.name: (vectors @ targets.T).mean(1)}
