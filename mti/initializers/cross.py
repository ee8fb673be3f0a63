"""Cross initialization: rows that start from what the text encoder makes of the words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from mti.types import Concept, Initializer, InitialText, LatentDiffusion, PreparedConcept, Tokenize, UserError


class Cross:
    """The text of another initializer; its rows start from the text encoder's output, not from its embedding table.

    Pang et al. 2024, "Cross Initialization for Personalized Text-to-Image Generation" (CVPR): learned rows resemble
    the encoder's output more than its input. So the loss at step 0 is not that of the text.
    """

    def __init__(self, initializer: Initializer) -> None:
        self.initializer = initializer

    def check(self, concept: Concept) -> None:
        """Raise a `UserError` for what the other initializer lacks."""
        inner: Any = self.initializer
        getattr(inner, "check", lambda _: None)(concept)

    def release(self) -> None:
        """Let go of the other's models."""
        inner: Any = self.initializer
        getattr(inner, "release", lambda: None)()

    def __call__(self, concept: PreparedConcept, tokenize: Tokenize) -> InitialText:
        """The other's text."""
        text = self.initializer(concept, tokenize)
        if text.embeddings is not None or text.rows is not None or text.candidates:
            raise UserError(f"init=cross takes a start of words, this one brings rows of its own ({text.source})")
        return replace(text, rows=encoded_rows)


@torch.no_grad()
def encoded_rows(
    model: LatentDiffusion, token_ids: Sequence[int], chance: torch.Generator
) -> Float[Tensor, "num_vectors width"]:
    """The conditioning at the text's tokens, in a prompt of the text alone; of two encoders, both side by side."""
    width = model.embedding.shape[1]
    prompt = torch.tensor([model.with_special_tokens(list(token_ids))], device=model.device)
    lines = model.encode_text(prompt, torch.zeros(0, width, device=model.device))[0]
    if lines.shape[1] != width:
        raise UserError(
            f"init=cross: {model.name} encodes text {lines.shape[1]} wide, and its rows are {width} wide: "
            "choose another init"
        )
    return lines[1 : 1 + len(token_ids)].float().cpu()
