"""Stable Diffusion 1 and 2, and whatever else is a diffusers `StableDiffusionPipeline`."""

from __future__ import annotations

from collections.abc import Sequence

from jaxtyping import Float, Int
from torch import Tensor
from transformers import CLIPTextModel, CLIPTokenizer

from mti.models.base import FrozenPipeline
from mti.models.placeholders import encode
from mti.models.precision import guarded


class StableDiffusion(FrozenPipeline):
    """A CLIP text encoder, whose last hidden states condition the U-Net."""

    kind = "StableDiffusionPipeline"
    tokenizer_class = CLIPTokenizer
    encoder_classes = {"text_encoder": CLIPTextModel}  # noqa: RUF012

    def with_special_tokens(self, ids: Sequence[int]) -> list[int]:
        """A prompt's ids between begin and end, padded to `context_length`. The caller checks the length."""
        prompt = [self._tokenizer.bos_token_id, *ids, self._tokenizer.eos_token_id]
        return prompt + [self._tokenizer.pad_token_id] * (self.context_length - len(prompt))

    def encode_text(
        self, ids: Int[Tensor, "batch context"], embeddings: Float[Tensor, "num_vectors width"]
    ) -> Float[Tensor, "batch lines channels"]:
        """c_θ: padded prompts to conditioning. The id `len(embedding) + i` stands for `embeddings[i]`."""

        def hidden(embeddings: Tensor) -> Tensor:
            with self._inside():
                return encode(self._encoders[0], ids, embeddings).last_hidden_state.float()

        return guarded(hidden, embeddings, self._dtype)
