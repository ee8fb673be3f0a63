"""The loss of latent diffusion, unreduced; the caller decides what to average."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

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


def in_parts(
    loss: Callable[[Float[Tensor, "part context text_channels"], slice], Float[Tensor, " part"]],
    text: Float[Tensor, "batch context text_channels"],
    at_once: int | None,
) -> Float[Tensor, " batch"]:
    """The loss of samples that do not touch each other, so many at once; None: all.

    Each part's gradient to its text is computed at once too, so no more than one part's way through the U-Net is held.
    `loss` is given a part's text, and which samples it is of.
    """
    if at_once is None or at_once >= len(text):
        return loss(text, slice(None))
    found = _InParts.apply(text, loss, at_once)
    assert isinstance(found, Tensor)
    return found


class _InParts(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, text: Tensor, loss: Callable[[Tensor, slice], Tensor], at_once: int) -> Tensor:
        losses, gradients = [], []
        for first in range(0, len(text), at_once):
            part = slice(first, first + at_once)
            with torch.enable_grad():
                own = text[part].detach().requires_grad_()
                each = loss(own, part)
                gradients += torch.autograd.grad(each.sum(), own)
            losses.append(each.detach())
        context.save_for_backward(torch.cat(gradients))
        return torch.cat(losses)

    @staticmethod
    def backward(context: Any, *outputs: Tensor) -> tuple[Tensor, None, None]:
        (own,), (of_losses,) = context.saved_tensors, outputs
        return own * of_losses.view(-1, *[1] * (own.ndim - 1)), None, None
