"""The loss of latent diffusion, unreduced; the caller decides what to average."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from mti.types import LatentDiffusion


def latent_diffusion_loss(
    model: LatentDiffusion,
    z: Float[Tensor, "batch channels height width"],
    text: Float[Tensor, "batch context text_channels"],
    t: Int[Tensor, " batch"],
    eps: Float[Tensor, "batch channels height width"],
    weight: Float[Tensor, "batch 1 height width"] | None = None,
) -> Float[Tensor, " batch"]:
    """‖ε − ε_θ(z_t, t, c_θ(P))‖² of each sample, as the mean over the latent's elements: eq. (1) of the paper.

    z_t = √ᾱ_t z + √(1−ᾱ_t) ε. A model that predicts v = √ᾱ_t ε − √(1−ᾱ_t) z (Salimans and Ho 2022) is
    measured on v instead. With a weight it is the mean weighted by it, of each sample by itself.
    """
    alpha = model.alphas_cumprod.to(z.device)[t].view(-1, 1, 1, 1)
    z_t = alpha.sqrt() * z + (1 - alpha).sqrt() * eps
    target = eps if model.prediction_type == "epsilon" else alpha.sqrt() * eps - (1 - alpha).sqrt() * z
    error = torch.square(target - model.denoise(z_t, t, text))
    if weight is not None:
        error = error * (weight / weight.mean(dim=(1, 2, 3), keepdim=True))
    return error.mean(dim=(1, 2, 3))
