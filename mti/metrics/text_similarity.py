"""How well generated pictures follow their prompts: cosines of CLIP's embeddings (CLIP-T)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from mti.metrics.base import BaseMetric
from mti.metrics.image_similarity import PictureEmbedding
from mti.ranges import INCIDENTAL, AtLeast


@runtime_checkable
class TextEmbedding(PictureEmbedding, Protocol):
    """A network that turns pictures and texts into vectors of one space."""

    def texts(self, texts: Sequence[str]) -> Float[Tensor, "batch embedding"]:
        """Unit vectors of texts."""
        ...


class TextSimilarity(BaseMetric):
    """The cosine of a generated picture's embedding and that of its prompt without the placeholders.

    CLIP-T of DreamBooth (Ruiz et al., 2023, section 4.2), the text as rinongal/textual_inversion's
    evaluation/clip_eval.py takes it. Says how editable the concept is.
    """

    measures = "cosine of picture and prompt without placeholders"
    better = "higher"
    about = "editability"
    unit = "cosine"
    prompt_set = "personalization"

    def __init__(
        self,
        embedding: TextEmbedding,
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
        vectors = torch.cat([self.embedding.pictures(part) for part in generated.split(self.batch_size)])
        texts = self.embedding.texts([without_placeholders(prompt) for prompt in prompts])
        return {self.name: (vectors * texts).sum(1)}


def without_placeholders(prompt: str) -> str:
    """ "Elmo holding a {}" to "Elmo holding a"."""
    return " ".join(prompt.replace("{}", " ").split())
