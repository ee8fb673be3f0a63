"""How much generated pictures look like the concept's: cosines of embeddings (CLIP-I, DINO)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from mti.metrics.base import BaseMetric
from mti.ranges import INCIDENTAL, AtLeast


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


class ImageSimilarity(BaseMetric):
    """The cosine of a generated picture's and a reference picture's embeddings, the mean over the references.

    CLIP-I and DINO of DreamBooth (Ruiz et al., 2023, section 4.2), as rinongal/textual_inversion's
    evaluation/clip_eval.py averages: all pairs. 1 is a copy; says how faithful pictures are
    that are drawn for new prompts.
    """

    measures = "mean cosine of pictures"
    better = "higher"
    about = "fidelity"
    unit = "cosine"
    prompt_set = "personalization"

    def __init__(
        self,
        embedding: PictureEmbedding,
        name: str,
        label: str | None = None,
        batch_size: Annotated[int, AtLeast(1), INCIDENTAL] = 32,
        required: Annotated[bool, INCIDENTAL] = True,
    ) -> None:
        super().__init__(name, label, embedding, required=required)
        self.embedding = embedding
        self.batch_size = batch_size

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
