"""Stable Diffusion XL: a diffusers `StableDiffusionXLPipeline`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor
from transformers import CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from mti.models.base import FrozenPipeline
from mti.models.placeholders import encode
from mti.models.precision import guarded
from mti.models.source import Pipeline


class StableDiffusionXL(FrozenPipeline):
    """Two CLIP text encoders; pictures are square and uncropped to the U-Net.

    Podell et al. 2023, arXiv:2307.01952. A row of `embedding` is that of the first encoder, then that of the
    second. The conditioning has a line for each token, the penultimate hidden states of both encoders, and a last
    one that begins with the pooled output of the second.
    """

    kind = "StableDiffusionXLPipeline"
    tokenizer_class = CLIPTokenizer
    encoder_classes = {"text_encoder": CLIPTextModel, "text_encoder_2": CLIPTextModelWithProjection}  # noqa: RUF012

    def _read_settings(self, pipeline: Pipeline) -> None:
        super()._read_settings(pipeline)
        self._second_pad = pipeline.tokenizer("tokenizer_2", CLIPTokenizer).pad_token_id
        self._empty_is_zero = bool(pipeline.index.get("force_zeros_for_empty_prompt", True))
        self._pooled_width = cast(Any, self._encoders[1]).config.projection_dim

    def with_special_tokens(self, ids: Sequence[int]) -> list[int]:
        """A prompt's ids between begin and end, padded for the first encoder. The caller checks the length."""
        prompt = [self._tokenizer.bos_token_id, *ids, self._tokenizer.eos_token_id]
        return prompt + [self._tokenizer.pad_token_id] * (self.context_length - len(prompt))

    def encode_text(
        self, ids: Int[Tensor, "batch context"], embeddings: Float[Tensor, "num_vectors width"]
    ) -> Float[Tensor, "batch lines channels"]:
        """c_θ: padded prompts to conditioning. The id `len(embedding) + i` stands for `embeddings[i]`.

        The pooled output is taken at the end token, where transformers with an old configuration takes it at the
        highest id, which is a placeholder's. The empty prompt is all zeros, as the pipeline has it.
        """
        return guarded(lambda embeddings: self._conditioning(ids, embeddings), embeddings, self._dtype)

    def _conditioning(self, ids: Tensor, embeddings: Tensor) -> Tensor:
        end = (ids == self._tokenizer.eos_token_id).int().argmax(dim=1)
        padding = torch.arange(ids.shape[1], device=ids.device) > end[:, None]
        all_ids = (ids, ids.masked_fill(padding, self._second_pad))
        with self._inside():
            first, second = (
                encode(encoder, own, part, output_hidden_states=True)
                for encoder, own, part in zip(
                    self._encoders, all_ids, embeddings.split(self.widths, dim=1), strict=True
                )
            )
            last = second.last_hidden_state[torch.arange(len(ids), device=ids.device), end]
            pooled = cast(Any, self._encoders[1]).text_projection(last).float()
        hidden = torch.cat([first.hidden_states[-2], second.hidden_states[-2]], dim=-1).float()
        text = torch.cat([hidden, F.pad(pooled, (0, hidden.shape[-1] - self._pooled_width))[:, None]], dim=1)
        return text.masked_fill((end == 1)[:, None, None], 0.0) if self._empty_is_zero else text

    def denoise(
        self,
        noisy: Float[Tensor, "batch channels h w"],
        timesteps: Int[Tensor, " batch"],
        text: Float[Tensor, "batch lines text_channels"],
    ) -> Float[Tensor, "batch channels h w"]:
        """The U-Net's prediction, of ε or of v as `prediction_type` says."""
        sizes = noisy.new_full((len(noisy), 6), self.resolution)  # the original's, of the crop's corner, the target's
        sizes[:, 2:4] = 0
        pooled = text[:, -1, : self._pooled_width].to(self._unet_dtype)
        more = {"text_embeds": pooled, "time_ids": sizes.to(self._unet_dtype)}
        return self._predict(noisy, timesteps, text[:, :-1], added_cond_kwargs=more)
