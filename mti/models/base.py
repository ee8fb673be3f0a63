"""What the adapters have in common: files, devices, precision, pictures and latents."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import PurePath
from typing import Any, ClassVar, Literal, cast

import torch
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from jaxtyping import Float, Int
from torch import Tensor, nn

from mti.models.files import LAYOUTS
from mti.models.placeholders import open_vocabulary
from mti.models.precision import DTYPES, automatic, guarded, keep_products_in, plain_attention
from mti.models.source import Pipeline, check_resolution, open_pipeline
from mti.types import Posterior, UserError

PREDICTION_TYPES = ("epsilon", "v_prediction")
SMALL = 32  # side of latents whose attention maps are kept without regret
PIXELS = 2 * 512**2  # that the autoencoder sees at once: about 1.5 GB in fp32


class FrozenPipeline(ABC):
    """A diffusers pipeline as a frozen `mti.types.LatentDiffusion`. Making one loads its weights.

    Args:
        path: a name on the hub, a folder, a file, or `pocket:NAME` for a model that comes along.
        name: what the model is called in messages and records; None takes it from the path.
        revision: of a hub name: a branch, tag or commit; None is the main branch.
        variant: "fp16" to prefer the half-precision files (`….fp16.safetensors`) where the pipeline has both.
        precision: inside U-Net and text encoder; auto is what the device is quick at (`mti.models.precision`). The
            autoencoder is always fp32, since those of Stable Diffusion overflow in fp16.
        resolution: the side of the pictures in pixels; None is what the U-Net was trained for.
        compile: whether `torch.compile` makes kernels for the U-Net: minutes at first use, for long sweeps. True, or
            a mode of it: "reduce-overhead" (CUDA graphs), "max-autotune".
        channels_last: whether the U-Net's weights lie channels last, as a GPU's tensor cores read them.
        gradient_checkpointing: whether the U-Net's blocks are computed again for the gradient instead of kept: less
            memory, more time.

    Raises:
        UserError: the weights are not to be had, or an argument has no such value.
    """

    kind: ClassVar[str]  # the class that model_index.json names
    tokenizer_class: ClassVar[type[Any]]
    encoder_classes: ClassVar[Mapping[str, type[Any]]]  # of each text encoder's part

    scheduler_config: Mapping[str, Any]
    prediction_type: Literal["epsilon", "v_prediction"]

    def __init__(
        self,
        path: str,
        name: str | None = None,
        revision: str | None = None,
        variant: str | None = None,
        precision: str = "auto",
        resolution: int | None = None,
        compile: bool | str = False,
        channels_last: bool = False,
        gradient_checkpointing: bool = False,
    ):
        if precision not in (*DTYPES, "auto"):
            raise UserError(f"model.precision={precision}: expected one of {', '.join(DTYPES)}, auto")
        pipeline = open_pipeline(path, revision, variant)
        if pipeline.kind != self.kind:
            raise UserError(f"model.path={path}: expected a {self.kind}, this is a {pipeline.kind}")
        self.name = name or PurePath(path).stem
        check_resolution(pipeline, self.name, resolution)
        self._wanted_precision = precision
        self._tokenizer = pipeline.tokenizer("tokenizer", self.tokenizer_class)
        self._encoders = [
            open_vocabulary(_frozen(pipeline.network(part, kind))) for part, kind in self.encoder_classes.items()
        ]
        self._vae = cast(AutoencoderKL, _frozen(pipeline.network(LAYOUTS[self.kind].autoencoder, AutoencoderKL)))
        self._unet = cast(UNet2DConditionModel, _frozen(pipeline.network("unet", UNet2DConditionModel)))
        if channels_last:
            cast(Any, self._unet).to(memory_format=torch.channels_last)
        if gradient_checkpointing:
            self._unet.enable_gradient_checkpointing()
        if compile:
            self._unet.compile(mode=None if compile is True else compile)
        self._read_settings(pipeline)
        self._read_sizes(resolution)
        self._place(torch.device("cpu"))

    def _read_settings(self, pipeline: Pipeline) -> None:
        config = self.scheduler_config = pipeline.scheduler_config
        self.prediction_type = config.get("prediction_type", "epsilon")
        if self.prediction_type not in PREDICTION_TYPES or "beta_start" not in config:
            raise UserError(
                f"{self.name} predicts {self.prediction_type!r} under a {config.get('_class_name')}: "
                f"expected a model of {' or '.join(PREDICTION_TYPES)} with a schedule of β"
            )
        self.alphas_cumprod = cast(DDIMScheduler, DDIMScheduler.from_config(dict(config))).alphas_cumprod

    def _read_sizes(self, resolution: int | None) -> None:
        positions = [cast(Any, encoder).config.max_position_embeddings for encoder in self._encoders]
        self.context_length = min(self._tokenizer.model_max_length, *positions)
        factor = 2 ** (len(self._vae.config["block_out_channels"]) - 1)
        self.resolution = resolution or self._unet.config["sample_size"] * factor
        side = self.resolution // factor
        self.latent_shape = (self._unet.config["in_channels"], side, side)
        self._pictures_at_once = max(1, PIXELS // self.resolution**2)

    def to(self, device: torch.device) -> FrozenPipeline:
        """Move everything to a device, where the weights take the inner precision."""
        self._place(torch.device(device))
        if self._dtype != torch.float32:
            for network in (*self._encoders, self._unet):
                keep_products_in(network, self._dtype)
        if self.device.type != "cpu":
            nn.Module.to(self._unet, self._dtype)  # not `unet.to`: that of diffusers warns of casts
        return self

    def _place(self, device: torch.device) -> None:
        self.device = device
        self.precision = automatic(device) if self._wanted_precision == "auto" else self._wanted_precision
        self._dtype = DTYPES[self.precision]
        for network in (*self._encoders, self._vae, self._unet):
            nn.Module.to(network, device)
        self.alphas_cumprod = self.alphas_cumprod.to(device)
        tables = [cast(Any, encoder).get_input_embeddings().weight.detach() for encoder in self._encoders]
        self.embedding = tables[0] if len(tables) == 1 else torch.cat(tables, dim=1)
        self.widths: Sequence[int] = [table.shape[1] for table in tables]

    def token_ids(self, text: str) -> list[int]:
        """A text's token ids, without begin and end, of any length."""
        return self._tokenizer.encode(text, add_special_tokens=False, verbose=False)

    def token_names(self, ids: Sequence[int]) -> list[str]:
        """The tokens as the tokenizer writes them, such as "teapot</w>"."""
        return self._tokenizer.convert_ids_to_tokens(list(ids))

    @abstractmethod
    def with_special_tokens(self, ids: Sequence[int]) -> list[int]:
        """A prompt's ids between begin and end, padded to `context_length`. The caller checks the length."""

    @abstractmethod
    def encode_text(
        self, ids: Int[Tensor, "batch context"], embeddings: Float[Tensor, "num_vectors width"]
    ) -> Float[Tensor, "batch lines channels"]:
        """c_θ: padded prompts to conditioning. The id `len(embedding) + i` stands for `embeddings[i]`."""

    @torch.no_grad()
    def encode_picture(self, pictures: Float[Tensor, "batch 3 height width"]) -> Posterior:
        """Pictures in [-1, 1] to their latents' posterior, a few at a time."""
        scale, shift = self._scale_and_shift
        parts = [
            cast(Any, self._vae.encode(part)).latent_dist
            for part in pictures.to(self.device).split(self._pictures_at_once)
        ]
        mean, std = (torch.cat([getattr(part, name) for part in parts]) for name in ("mean", "std"))
        return Posterior((mean - shift) * scale, std * scale)

    @torch.no_grad()
    def decode(self, latents: Float[Tensor, "batch channels h w"]) -> Float[Tensor, "batch 3 height width"]:
        """Latents to pictures in [-1, 1], a few at a time."""
        scale, shift = self._scale_and_shift
        parts = (latents / scale + shift).split(self._pictures_at_once)
        vae = cast(Any, self._vae)
        return torch.cat([vae.decode(part).sample.clamp(-1, 1) for part in parts])

    def denoise(
        self,
        noisy: Float[Tensor, "batch channels h w"],
        timesteps: Int[Tensor, " batch"],
        text: Float[Tensor, "batch lines text_channels"],
    ) -> Float[Tensor, "batch channels h w"]:
        """The U-Net's prediction, of ε or of v as `prediction_type` says."""
        return self._predict(noisy, timesteps, text)

    def _predict(self, noisy: Tensor, timesteps: Tensor, text: Tensor, **more: Any) -> Tensor:
        dtype = self._unet_dtype

        def predict(text: Tensor) -> Tensor:
            with self._inside(cast=dtype != self._dtype):
                found = self._unet(noisy.to(dtype), timesteps, text.to(dtype), **more).sample
                return found.to(torch.float32, copy=True)  # a CUDA graph writes its next output where this one is

        return guarded(predict, text, self._dtype)

    @property
    def _unet_dtype(self) -> torch.dtype:
        """What goes into the U-Net: on a CPU some of its weights stay fp32, and autocast does the rest."""
        return torch.float32 if self.device.type == "cpu" else self._dtype

    @contextmanager
    def _inside(self, cast: bool = True) -> Iterator[None]:
        """Computes in the inner precision, casting to it where the weights do not have it already.

        A CPU's fused attention is slow to differentiate in bf16; where the attention maps are small, training
        does without it.
        """
        low = self._dtype != torch.float32
        small = self.device.type == "cpu" and self.latent_shape[-1] <= SMALL
        attention = plain_attention() if low and small and torch.is_grad_enabled() else nullcontext()
        with torch.autocast(self.device.type, self._dtype, enabled=cast and low), attention:
            yield

    @property
    def _scale_and_shift(self) -> tuple[float, float]:
        return self._vae.config["scaling_factor"], self._vae.config.get("shift_factor") or 0.0


def _frozen(network: nn.Module) -> nn.Module:
    """In evaluation mode, without gradients."""
    return network.eval().requires_grad_(False)
