"""Rows drawn at random: no words at all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import torch
from jaxtyping import Float
from torch import Tensor

from mti.ranges import AtLeast
from mti.rows import Vocabulary, set_norms
from mti.types import InitialText, LatentDiffusion, PreparedConcept, Tokenize


class Random:
    """Rows of random directions, as long as the vocabulary's median; those of a seed and picture are always the same.

    The paper's "initialization can be random". A row of two text encoders is two such vectors.
    """

    def __init__(self, num_vectors: Annotated[int | None, AtLeast(1)] = None) -> None:
        self.num_vectors = num_vectors or 1

    def __call__(self, concept: PreparedConcept, tokenize: Tokenize) -> InitialText:
        """A `*` for each row in records."""
        stars = " ".join("*" * self.num_vectors)
        return InitialText(stars, "random", stars, rows=random_rows)


def random_rows(
    model: LatentDiffusion, token_ids: Sequence[int], chance: torch.Generator
) -> Float[Tensor, "num_vectors width"]:
    """A row for each token, of the vocabulary's median norm."""
    rows = torch.cat([torch.randn(len(token_ids), width, generator=chance) for width in model.widths], dim=1)
    set_norms(rows, model.widths, Vocabulary(model.embedding, model.widths).medians)
    return rows
