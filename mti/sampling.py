"""From noise to latents."""

from __future__ import annotations

from typing import Any, Literal

import torch
from diffusers import DDIMScheduler, DPMSolverMultistepScheduler
from jaxtyping import Float
from torch import Tensor

from mti.types import LatentDiffusion

Sampler = Literal["ddim", "dpm++"]


@torch.no_grad()
def sample(
    model: LatentDiffusion,
    text: Float[Tensor, "batch context text_channels"],
    empty: Float[Tensor, "one_or_batch context text_channels"],
    noise: Float[Tensor, "batch channels height width"],
    steps: int = 25,
    guidance_scale: float = 4.0,
    max_batch: int = 64,
    sampler: Sampler = "ddim",
    karras: bool = True,
) -> Float[Tensor, "batch channels height width"]:
    """Latents for prompts, each from its own initial noise and whatever else is in the batch.

    Classifier-free guidance (Ho and Salimans 2022, arXiv:2207.12598) in Stable Diffusion's writing:
    ε = ε_∅ + guidance_scale · (ε_text − ε_∅), so that a guidance scale of 1 is none, and takes half the time.
    `empty` is the conditioning ∅ of the empty prompt, or of a negative one. The U-Net sees at most `max_batch`
    samples at once, with guidance two for each latent. `sampler` and `karras` are those of `noise_scheduler`.
    """
    scheduler = noise_scheduler(model, sampler, karras)
    scheduler.set_timesteps(steps)
    guided = guidance_scale != 1
    conditioning = (torch.cat([empty.expand_as(text), text]) if guided else text).split(max_batch)
    latents = noise
    for timestep in scheduler.timesteps.tolist():
        noisy = (latents.repeat(2, 1, 1, 1) if guided else latents).split(max_batch)
        predictions = [
            model.denoise(part, torch.full((len(part),), timestep, device=part.device), condition)
            for part, condition in zip(noisy, conditioning, strict=True)
        ]
        prediction = torch.cat(predictions)
        if guided:
            without, along = prediction.chunk(2)
            prediction = without + guidance_scale * (along - without)
        latents = scheduler.step(prediction, timestep, latents, return_dict=False)[0]
    return latents


def noise_scheduler(model: LatentDiffusion, sampler: Sampler, karras: bool = True) -> Any:
    """The diffusers scheduler of a sampler, with the model's own noise schedule. Both are deterministic.

    - "ddim": Song et al. 2021, arXiv:2010.02502, eq. (12) with σ = 0;
    - "dpm++": DPM-Solver++(2M), Lu et al. 2022, arXiv:2211.01095, algorithm 2. With `karras` the noise levels are
      spaced as in Karras et al. 2022, arXiv:2206.00364, eq. (5); without, the timesteps as the model's scheduler does.
    """
    if sampler == "ddim":
        return DDIMScheduler.from_config({**model.scheduler_config, "clip_sample": False})  # latents exceed [-1, 1]
    options = {"algorithm_type": "dpmsolver++", "solver_order": 2, "use_karras_sigmas": karras}
    return DPMSolverMultistepScheduler.from_config({**model.scheduler_config, **options})
