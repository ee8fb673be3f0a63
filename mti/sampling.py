"""From noise to latents."""

from __future__ import annotations

from typing import cast

import torch
from diffusers import DDIMScheduler
from jaxtyping import Float
from torch import Tensor

from mti.types import LatentDiffusion


@torch.no_grad()
def sample(
    model: LatentDiffusion,
    text: Float[Tensor, "batch context text_channels"],
    empty: Float[Tensor, "one_or_batch context text_channels"],
    noise: Float[Tensor, "batch channels height width"],
    steps: int = 25,
    guidance_scale: float = 4.0,
    max_batch: int = 64,
) -> Float[Tensor, "batch channels height width"]:
    """Latents for prompts, each from its own initial noise and whatever else is in the batch.

    Deterministic DDIM (Song et al. 2021, arXiv:2010.02502, eq. 12 with σ = 0) with classifier-free guidance
    (Ho and Salimans 2022, arXiv:2207.12598) in Stable Diffusion's writing: ε = ε_∅ + guidance_scale · (ε_text − ε_∅),
    so that a guidance scale of 1 is none. `empty` is the conditioning ∅ of the empty prompt. The U-Net sees at most
    `max_batch` samples at once, two for each latent.
    """
    config = {**model.scheduler_config, "clip_sample": False}  # latents exceed [-1, 1]
    scheduler = cast(DDIMScheduler, DDIMScheduler.from_config(config))
    scheduler.set_timesteps(steps)
    conditioning = torch.cat([empty.expand_as(text), text]).split(max_batch)
    latents = noise
    for timestep in scheduler.timesteps.tolist():
        twice = latents.repeat(2, 1, 1, 1).split(max_batch)
        predictions = [
            model.denoise(part, torch.full((len(part),), timestep, device=part.device), condition)
            for part, condition in zip(twice, conditioning, strict=True)
        ]
        without, along = torch.cat(predictions).chunk(2)
        latents = scheduler.step(without + guidance_scale * (along - without), timestep, latents, return_dict=False)[0]
    return latents
