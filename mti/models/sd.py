"""Stable Diffusion 1 and 2, and whatever else is a diffusers `StableDiffusionPipeline`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, cast

import torch
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from transformers import CLIPTextModel, CLIPTokenizer

from mti.library_logging import quiet_transformers
from mti.models.files import check_folder, pipeline_folder
from mti.types import Posterior, UserError

PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
PREDICTION_TYPES = ("epsilon", "v_prediction")
SMALL = 32  # side of latents whose attention maps are kept without regret


class StableDiffusion:
    """A Stable Diffusion pipeline as a frozen `mti.types.LatentDiffusion`. Making one loads its weights.

    Args:
        path: a name on the hub, a pipeline folder, or `pocket:NAME` for a model that comes along.
        name: what the model is called in messages and records.
        revision: of a hub name: a branch, tag or commit; None is the main branch.
        variant: "fp16" to read the half-precision files (`….fp16.safetensors`), where the pipeline has them.
        precision: inside U-Net and text encoder: fp32, bf16, fp16, or auto, which is bf16 on a GPU and on a CPU
            that multiplies in bf16 (AVX512-BF16, AMX: twice as fast there), and fp32 on any other. The autoencoder
            is always fp32, since that of Stable Diffusion overflows in fp16.
        resolution: the side of the pictures in pixels; None is what the U-Net was trained for.
        compile: whether `torch.compile` makes kernels for the U-Net: minutes at first use, for long sweeps.

    Raises:
        UserError: the weights are not to be had, or an argument has no such value.
    """

    def __init__(
        self,
        path: str,
        name: str,
        revision: str | None = None,
        variant: str | None = None,
        precision: str = "auto",
        resolution: int | None = None,
        compile: bool = False,
    ):
        if precision not in (*PRECISIONS, "auto"):
            raise UserError(f"model.precision={precision}: expected one of {', '.join(PRECISIONS)}, auto")
        folder = pipeline_folder(path, revision, variant)
        self.name = name
        self._wanted_precision = precision
        self._tokenizer = CLIPTokenizer.from_pretrained(folder / "tokenizer")
        with quiet_transformers():
            self._text_encoder, self._vae, self._unet = (
                _frozen(kind, folder / part, variant)
                for part, kind in (
                    ("text_encoder", CLIPTextModel),
                    ("vae", AutoencoderKL),
                    ("unet", UNet2DConditionModel),
                )
            )
        if compile:
            self._unet.compile()
        self._injection = Injection(self._text_encoder.get_input_embeddings())
        self.scheduler_config = json.loads((folder / "scheduler" / "scheduler_config.json").read_text())
        self.prediction_type = self.scheduler_config.get("prediction_type", "epsilon")
        if self.prediction_type not in PREDICTION_TYPES:
            raise UserError(
                f"{name} predicts {self.prediction_type!r}: expected a model of {' or '.join(PREDICTION_TYPES)}"
            )
        self.alphas_cumprod = cast(DDIMScheduler, DDIMScheduler.from_config(self.scheduler_config)).alphas_cumprod
        self.context_length = min(self._tokenizer.model_max_length, self._text_encoder.config.max_position_embeddings)
        factor = 2 ** (len(self._vae.config["block_out_channels"]) - 1)
        self.resolution = resolution or self._unet.config["sample_size"] * factor
        multiple = factor * 2 ** (len(self._unet.config["block_out_channels"]) - 1)
        if self.resolution % multiple:
            raise UserError(f"model.resolution={resolution}: expected a multiple of {multiple} for {name}")
        side = self.resolution // factor
        self.latent_shape = (self._unet.config["in_channels"], side, side)
        self.to(torch.device("cpu"))

    @staticmethod
    def check(path: str, variant: str | None = None) -> None:
        """Raise a `UserError` for what can be known of a path without loading anything or asking a network."""
        check_folder(path, variant)

    def to(self, device: torch.device) -> StableDiffusion:
        """Move everything to a device. On a GPU the U-Net's weights take the inner precision."""
        self.device = torch.device(device)
        on_cpu = self.device.type == "cpu"
        auto = "bf16" if _quick_bf16(self.device) else "fp32"
        self.precision = auto if self._wanted_precision == "auto" else self._wanted_precision
        self._dtype = PRECISIONS[self.precision]
        self._text_encoder.to(self.device)
        self._vae.to(self.device)
        # not `unet.to`: that of diffusers warns of casts
        nn.Module.to(self._unet, self.device, torch.float32 if on_cpu else self._dtype)
        self.embedding = self._text_encoder.get_input_embeddings().weight.detach()
        return self

    def token_ids(self, text: str) -> list[int]:
        """A text's token ids, without begin and end, of any length."""
        return self._tokenizer.encode(text, add_special_tokens=False, verbose=False)

    def token_names(self, ids: Sequence[int]) -> list[str]:
        """The tokens as the tokenizer writes them, such as "teapot</w>"."""
        return self._tokenizer.convert_ids_to_tokens(list(ids))

    def with_special_tokens(self, ids: Sequence[int]) -> list[int]:
        """A prompt's ids between begin and end, padded to `context_length`. The caller checks the length."""
        prompt = [self._tokenizer.bos_token_id, *ids, self._tokenizer.eos_token_id]
        return prompt + [self._tokenizer.pad_token_id] * (self.context_length - len(prompt))

    @torch.no_grad()
    def encode_picture(self, pictures: Float[Tensor, "batch 3 height width"]) -> Posterior:
        """Pictures in [-1, 1] to their latents' posterior."""
        posterior = self._vae.encode(pictures.to(self.device)).latent_dist
        scale, shift = self._scale_and_shift
        return Posterior((posterior.mean - shift) * scale, posterior.std * scale)

    @torch.no_grad()
    def decode(self, latents: Float[Tensor, "batch channels h w"]) -> Float[Tensor, "batch 3 height width"]:
        """Latents to pictures in [-1, 1]."""
        scale, shift = self._scale_and_shift
        return self._vae.decode(latents / scale + shift).sample.clamp(-1, 1)

    def encode_text(
        self, ids: Int[Tensor, "batch context"], embeddings: Float[Tensor, "num_vectors width"]
    ) -> Float[Tensor, "batch context channels"]:
        """c_θ: padded prompts to conditioning. The id `len(embedding) + i` stands for `embeddings[i]`."""
        with self._injection.of(embeddings), self._inside():
            return self._text_encoder(ids).last_hidden_state.float()

    def denoise(
        self,
        noisy: Float[Tensor, "batch channels h w"],
        timesteps: Int[Tensor, " batch"],
        text: Float[Tensor, "batch context text_channels"],
    ) -> Float[Tensor, "batch channels h w"]:
        """The U-Net's prediction, of ε or of v as `prediction_type` says."""
        dtype = self._unet.dtype
        with self._inside(cast=dtype != self._dtype):
            return self._unet(noisy.to(dtype), timesteps, text.to(dtype)).sample.float()

    @contextmanager
    def _inside(self, cast: bool = True) -> Iterator[None]:
        """Computes in the inner precision, casting to it where the weights do not have it already.

        A CPU's fused attention is slow to differentiate in bf16; where the attention maps are small, training
        does without it (U-Net forward and backward of the pocket model: 6.1 instead of 8.0 ms a sample).
        """
        low = self._dtype != torch.float32
        small = self.device.type == "cpu" and self.latent_shape[-1] <= SMALL
        plain = sdpa_kernel(SDPBackend.MATH) if low and small and torch.is_grad_enabled() else nullcontext()
        with torch.autocast(self.device.type, self._dtype, enabled=cast and low), plain:
            yield

    @property
    def _scale_and_shift(self) -> tuple[float, float]:
        return self._vae.config["scaling_factor"], self._vae.config.get("shift_factor") or 0.0


def _quick_bf16(device: torch.device) -> bool:
    """Whether a device multiplies in bf16, instead of casting to fp32 and back."""
    return device.type != "cpu" or torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()


def _frozen(kind: type[Any], folder: Path, variant: str | None) -> Any:
    """A part of the pipeline in fp32, in evaluation mode, without gradients."""
    part, report = kind.from_pretrained(
        folder, variant=variant, torch_dtype=torch.float32, use_safetensors=True, output_loading_info=True
    )
    if report["missing_keys"]:
        raise UserError(f"{folder} lacks weights of its {kind.__name__}: {', '.join(sorted(report['missing_keys']))}")
    return part.eval().requires_grad_(False)


class Injection:
    """Makes an embedding layer read ids beyond its vocabulary from other embeddings, wherever in a prompt they are.

    A hook before the layer hides such ids from it, and one behind it puts the embeddings in their place; so the
    layer and its table stay as they are, and gradients reach the embeddings alone.
    """

    def __init__(self, layer: nn.Embedding):
        self._vocabulary = layer.num_embeddings
        layer.register_forward_pre_hook(self._hide)
        layer.register_forward_hook(self._replace)

    @contextmanager
    def of(self, embeddings: Float[Tensor, "num_vectors width"]) -> Iterator[None]:
        """While the block runs, the id `vocabulary + i` stands for `embeddings[i]`."""
        self._rows = embeddings
        try:
            yield
        finally:
            del self._rows, self._ids

    def _hide(self, layer: nn.Module, arguments: tuple[Any, ...]) -> tuple[Tensor]:
        (self._ids,) = arguments
        return (self._ids.clamp(max=self._vocabulary - 1),)

    def _replace(self, layer: nn.Module, arguments: tuple[Any, ...], output: Tensor) -> Tensor:
        beyond = self._ids >= self._vocabulary
        output[beyond] = self._rows[self._ids[beyond] - self._vocabulary].to(output.dtype)
        return output
