"""The pocket autoencoder, a diffusers `AutoencoderKL`: 64 × 64 pictures, 16 × 16 latents of 8 channels."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL
from torch import Tensor

from mti.pocket.drawings import SIZE, Drawings
from mti.pocket.stage import DEVICE, Losses, Options, Stage, forget_origin, generator, keep_numbers, to_model

STEPS = 16_000
BATCH = 8
KL_WEIGHT = 2e-7
SSIM_WEIGHT = 0.5
MEASURED = 1_000  # held-out drawings


def build() -> AutoencoderKL:
    """The untrained autoencoder."""
    sizes: dict[str, Any] = {
        "down_block_types": ("DownEncoderBlock2D",) * 3,
        "up_block_types": ("UpDecoderBlock2D",) * 3,
        "block_out_channels": (32, 32, 96),
    }
    return AutoencoderKL(**sizes, layers_per_block=1, latent_channels=8, norm_num_groups=16, sample_size=SIZE)


def ssim(a: Tensor, b: Tensor) -> Tensor:
    """Mean structural similarity of pictures in [-1, 1]; Wang et al. 2004, Gaussian window, sigma 1.5."""
    x = torch.arange(11.0, device=a.device) - 5
    line = torch.exp(-(x**2) / (2 * 1.5**2))
    window = (line / line.sum()).expand(3, 1, 1, 11)

    def blur(picture: Tensor) -> Tensor:
        return F.conv2d(F.conv2d(picture, window, groups=3), window.mT, groups=3)

    a, b = a.float(), b.float()
    mean_a, mean_b = blur(a), blur(b)
    var_a, var_b = blur(a * a) - mean_a**2, blur(b * b) - mean_b**2
    covariance = blur(a * b) - mean_a * mean_b
    c1, c2 = (0.01 * 2) ** 2, (0.03 * 2) ** 2
    luminance = (2 * mean_a * mean_b + c1) / (mean_a**2 + mean_b**2 + c1)
    return (luminance * (2 * covariance + c2) / (var_a + var_b + c2)).mean()


def losses(vae: Any, pictures: Tensor) -> Losses:
    """L1, structure, and a little of the posterior's divergence, for pictures in [-1, 1]."""
    posterior = vae.encode(pictures).latent_dist
    decoded = vae.decode(posterior.sample()).sample
    with torch.autocast(DEVICE.type, enabled=False):
        l1, similarity = F.l1_loss(decoded.float(), pictures), ssim(decoded, pictures)
        kl = posterior.kl().float().mean()
    return {"loss": l1 + SSIM_WEIGHT * (1 - similarity) + KL_WEIGHT * kl, "l1": l1, "ssim": similarity, "kl": kl}


@torch.no_grad()
def measure(vae: Any, pictures: Tensor) -> dict[str, Any]:
    """How far decoded latents are from pictures in [-1, 1], and the latents' spread."""
    means = torch.cat([vae.encode(batch).latent_dist.mean for batch in pictures.split(100)])
    decoded = torch.cat([vae.decode(mean).sample.clamp(-1, 1) for mean in means.split(100)])
    return {
        "held_out_drawings": len(pictures),
        "mean_absolute_error": round(F.l1_loss(decoded, pictures).item(), 4),
        "ssim": round(ssim(decoded, pictures).item(), 4),
        "latent_std": round(means.std().item(), 4),
    }


def run(options: Options) -> None:
    """Train, measure on the held-out drawings, and write the weights."""
    train = Drawings("train", options.work)

    def loss(vae: Any, step: int) -> Losses:
        torch.manual_seed(step)  # of the posterior's sample
        return losses(vae, to_model(train.pictures(torch.randint(len(train), (BATCH,), generator=generator(step)))))

    torch.manual_seed(0)
    model = build()
    model.encoder.compile()
    model.decoder.compile()
    stage = Stage("vae", model, loss, options.steps, 1.2e-3, options.work, decay_share=0.6)
    vae = stage.run()
    summary = measure(vae, to_model(Drawings("test", options.work).pictures(slice(MEASURED))))
    vae.register_to_config(scaling_factor=round(1 / summary["latent_std"], 5))
    folder = options.weights / "ldm" / "vae"
    vae.half().save_pretrained(folder)
    forget_origin(folder)
    keep_numbers(stage, folder, summary, every=5)
