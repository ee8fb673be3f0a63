"""The pocket latent diffusion model: a Stable Diffusion in small.

An ε-predicting U-Net with cross-attention on the pocket autoencoder's latents. What speaks to it is the
pocket CLIP's text encoder, which learns on together with the U-Net.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from transformers import CLIPTextModel, CLIPTokenizer

from mti.pocket import clip, language
from mti.pocket.drawing import sticker_area
from mti.pocket.drawings import SIZE, Drawings, scene
from mti.pocket.stage import (
    DEVICE,
    QUICK_ATTENTION,
    Losses,
    Options,
    Stage,
    forget_origin,
    generator,
    keep_numbers,
    to_model,
)
from mti.pocket.tokenizer import BEGIN, CONTEXT, END, encoded
from mti.templates import OBJECT

STEPS = 15_000
BATCH = 64
LATENT_SIZE = SIZE // 4
CAPTIONS_EACH = 4
NOISES_EACH = 2  # (t, ε) pairs for each picture of a batch, which share the encoded caption
EMPTY_SHARE = 0.1
MIN_SNR_GAMMA = 5.0
STICKERS_FROM = 8_000  # first the whole is learned, then what is small counts more
STICKER_WEIGHT = 3.0
LARGEST = "15MB"  # of a file of weights


def caption_ids(tokenizer: CLIPTokenizer, drawings: Drawings, work: Path) -> Int[Tensor, "pictures captions context"]:
    """Token ids of several captions of every training picture, kept on disk."""
    path = work / "captions.npy"
    if not path.exists():
        rng, parts = np.random.default_rng(4), []
        for start in range(0, len(drawings), 4_000):
            scenes = drawings.scenes(slice(start, start + 4_000))
            texts = [language.caption(scene, rng, OBJECT) for scene in scenes for _ in range(CAPTIONS_EACH)]
            parts.append(encoded(tokenizer, texts).to(torch.int16))
        np.save(path, torch.cat(parts).view(-1, CAPTIONS_EACH, CONTEXT).numpy())
    return torch.from_numpy(np.load(path))


def latents(vae: Any, drawings: Drawings, work: Path) -> Float[Tensor, "pictures 8 16 16"]:
    """The scaled latents of every training picture, fp16, kept on disk."""
    path = work / "latents.npy"
    if not path.exists():
        parts = []
        with torch.inference_mode(), torch.autocast(DEVICE.type, torch.bfloat16):
            for start in range(0, len(drawings), 250):
                mean = vae.encode(to_model(drawings.pictures(slice(start, start + 250)))).latent_dist.mean
                parts.append((mean.float() * vae.config["scaling_factor"]).half().cpu())
        np.save(path, torch.cat(parts).numpy())
    return torch.from_numpy(np.load(path))


def sticker_areas(drawings: Drawings, work: Path) -> Bool[Tensor, "pictures 16 16"]:
    """Where the stickers of every training picture are in its latents, kept on disk."""
    path = work / "stickers.npy"
    if not path.exists():
        areas = [sticker_area(scene(drawings.split, index), LATENT_SIZE) for index in range(len(drawings))]
        np.save(path, np.stack(areas))
    return torch.from_numpy(np.load(path))


class Denoiser(nn.Module):
    """The two parts that are trained: a text encoder and a U-Net."""

    def __init__(self, text_encoder: Any, unet: Any):
        super().__init__()
        self.text_encoder = text_encoder
        self.unet = unet

    def forward(self, noisy: Tensor, timesteps: Tensor, ids: Tensor) -> Tensor:
        """The predicted noise; each prompt serves its share of the batch."""
        text = self.text_encoder(ids).last_hidden_state.repeat_interleave(len(noisy) // len(ids), 0)
        return self.unet(noisy, timesteps, text).sample


def build(text_encoder: CLIPTextModel) -> Denoiser:
    """The untrained U-Net, and the text encoder that has learned from pictures and captions."""
    unet = UNet2DConditionModel(
        sample_size=LATENT_SIZE,
        in_channels=8,
        out_channels=8,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        block_out_channels=(64, 128, 192),
        layers_per_block=1,
        cross_attention_dim=clip.WIDTH,
        attention_head_dim=4,
    )
    unet.set_attn_processor(AttnProcessor())  # not fused, as QUICK_ATTENTION
    text_encoder.set_attn_implementation(QUICK_ATTENTION)
    return Denoiser(text_encoder, unet)


def scheduler() -> DDIMScheduler:
    """Stable Diffusion's noise schedule."""
    return DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
    )


def denoising_loss(
    model: Any, clean: Tensor, ids: Tensor, weights: Tensor, alphas: Tensor, draws: torch.Generator
) -> Losses:
    """The error of the predicted noise, min-SNR weighted (Hang et al. 2023, arXiv:2303.09556).

    Args:
        model: predicts the noise from noisy latents, timesteps and token ids.
        clean: scaled latents, [pictures, channels, height, width]; each gets `NOISES_EACH` noises.
        ids: a caption for each, [pictures, context].
        weights: of the errors at each place, [pictures, height, width].
        alphas: the schedule's cumulative products, [timesteps].
        draws: gives timesteps and noise.
    """
    clean = clean.repeat_interleave(NOISES_EACH, 0).to(DEVICE).float()
    timesteps = torch.randint(len(alphas), (len(clean),), generator=draws).to(DEVICE)
    noise = torch.randn(clean.shape, generator=draws).to(DEVICE)
    alpha = alphas[timesteps].view(-1, 1, 1, 1)
    noisy = alpha.sqrt() * clean + (1 - alpha).sqrt() * noise
    error = (model(noisy, timesteps, ids.to(DEVICE)).float() - noise).pow(2).mean(1)
    weighed = (error * weights.repeat_interleave(NOISES_EACH, 0).to(DEVICE)).mean((1, 2))
    snr = (alpha / (1 - alpha)).flatten()
    return {"loss": (weighed * snr.clamp(max=MIN_SNR_GAMMA) / snr).mean(), "mse": error.mean()}


def run(options: Options) -> None:
    """Prepare latents and captions, train, and write a `StableDiffusionPipeline` folder."""
    folder = options.weights / "ldm"
    spoken, tokenizer = clip.load(options.weights / "clip")
    vae: Any = AutoencoderKL.from_pretrained(folder / "vae", torch_dtype=torch.float32)
    vae.eval().to(DEVICE)
    train = Drawings("train", options.work)
    captions, clean = caption_ids(tokenizer, train, options.work), latents(vae, train, options.work)
    stickers = sticker_areas(train, options.work)
    alphas = scheduler().alphas_cumprod.to(DEVICE)
    vocabulary = tokenizer.get_vocab()
    empty = torch.tensor([vocabulary[BEGIN]] + [vocabulary[END]] * (CONTEXT - 1))

    def loss(model: nn.Module, step: int) -> Losses:
        draws = generator(step)
        chosen = torch.randint(len(clean), (BATCH // NOISES_EACH,), generator=draws)
        ids = captions[chosen, torch.randint(CAPTIONS_EACH, chosen.shape, generator=draws)].long()
        ids[torch.rand(chosen.shape, generator=draws) < EMPTY_SHARE] = empty
        weights = torch.ones(len(chosen), LATENT_SIZE, LATENT_SIZE)
        if step >= STICKERS_FROM:
            weights[stickers[chosen]] = STICKER_WEIGHT
        return denoising_loss(model, clean[chosen], ids, weights, alphas, draws)

    torch.manual_seed(0)
    text_encoder = CLIPTextModel(spoken.config.text_config)
    text_encoder.load_state_dict(spoken.text_model.state_dict(), strict=False)
    model = build(text_encoder)
    model.unet.compile()
    how: dict[str, Any] = {"weight_decay": 0.001, "ema_decay": 0.9995, "decay_share": 0.47}
    stage = Stage("ldm", model, loss, options.steps, 8e-4, options.work, **how)
    write(stage.run(), vae, tokenizer, folder)
    keep_numbers(stage, folder, {"pictures_seen": max(stage.trained(), options.steps) * BATCH}, every=20)


def write(model: Any, vae: Any, tokenizer: CLIPTokenizer, folder: Path) -> None:
    """Write all parts as a pipeline in half precision."""
    parts: dict[str, Any] = {
        "vae": vae,
        "text_encoder": model.text_encoder,
        "tokenizer": tokenizer,
        "unet": model.unet,
        "scheduler": scheduler(),
        "safety_checker": None,
        "feature_extractor": None,
    }
    pipeline = StableDiffusionPipeline(**parts, requires_safety_checker=False).to(dtype=torch.float16)
    pipeline.save_pretrained(folder, max_shard_size=LARGEST)
    for name in ("vae", "unet"):
        forget_origin(folder / name)
