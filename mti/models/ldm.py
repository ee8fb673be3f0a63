"""The paper's latent diffusion model: a diffusers `LDMTextToImagePipeline`, CompVis/ldm-text2im-large-256."""

from __future__ import annotations

from collections.abc import Sequence

from diffusers.pipelines.latent_diffusion.pipeline_latent_diffusion import LDMBertModel
from jaxtyping import Float, Int
from torch import Tensor
from transformers import BertTokenizer

from mti.models.base import FrozenPipeline
from mti.models.placeholders import encode
from mti.models.precision import guarded


class LatentDiffusionBERT(FrozenPipeline):
    """A transformer over BERT's word pieces, whose last hidden states condition the U-Net.

    Rombach et al. 2022, arXiv:2112.10752, section 4.3.1. The padding is not masked: the model has learned with it.
    """

    kind = "LDMTextToImagePipeline"
    tokenizer_class = BertTokenizer
    encoder_classes = {"bert": LDMBertModel}  # noqa: RUF012

    def with_special_tokens(self, ids: Sequence[int]) -> list[int]:
        """A prompt's ids between [CLS] and [SEP], padded to `context_length`. The caller checks the length."""
        prompt = [self._tokenizer.cls_token_id, *ids, self._tokenizer.sep_token_id]
        return prompt + [self._tokenizer.pad_token_id] * (self.context_length - len(prompt))

    def encode_text(
        self, ids: Int[Tensor, "batch context"], embeddings: Float[Tensor, "num_vectors width"]
    ) -> Float[Tensor, "batch lines channels"]:
        """c_θ: padded prompts to conditioning. The id `len(embedding) + i` stands for `embeddings[i]`."""

        def hidden(embeddings: Tensor) -> Tensor:
            with self._inside():
                return encode(self._encoders[0], ids, embeddings, return_dict=False)[0].float()

        return guarded(hidden, embeddings, self._dtype)
