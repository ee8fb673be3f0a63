"""The pocket autoencoder: `python -m mti.pocket.train_vae`.

A diffusers `AutoencoderKL` with factor 4 and 4 latent channels: 64x64 pictures, 16x16x4 latents.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL
from torch import Tensor

from mti.pocket import drawings
from mti.pocket.stage import DEVICE, Stage, arguments, forget_origin, keep_log, to_model

BATCH = 16
KL_WEIGHT = 1e-7
SSIM_WEIGHT = 0.1


def build() -> AutoencoderKL:
    """The untrained autoencoder."""
    sizes: dict[str, Any] = {
        "down_block_types": ("DownEncoderBlock2D",) * 3,
        "up_block_types": ("UpDecoderBlock2D",) * 3,
        "block_out_channels": (32, 32, 96),
    }
    return AutoencoderKL(**sizes, layers_per_block=1, latent_channels=4, norm_num_groups=16, sample_size=drawings.SIZE)


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


def reconstruction(decoded: Tensor, picture: Tensor, ssim_weight: float) -> dict[str, Tensor]:
    """How far pictures are from what they should be, in fp32: L1 and structure, and their weighted sum as "loss"."""
    with torch.autocast(DEVICE.type, enabled=False):
        l1, similarity = F.l1_loss(decoded.float(), picture), ssim(decoded, picture)
    return {"loss": l1 + ssim_weight * (1 - similarity), "l1": l1, "ssim": similarity}


def objective(work: Path, ssim_weight: float) -> Callable[[Any, int], dict[str, Tensor]]:
    """What an autoencoder's stage minimises: L1, structure, and a little of the posterior's divergence."""
    train = torch.from_numpy(np.load(work / "train.npy", mmap_mode="c"))

    def loss(vae: Any, step: int) -> dict[str, Tensor]:
        generator = torch.Generator().manual_seed(step)
        batch = to_model(train[torch.randint(len(train), (BATCH,), generator=generator)])
        posterior = vae.encode(batch).latent_dist
        losses = reconstruction(vae.decode(posterior.sample()).sample, batch, ssim_weight)
        with torch.autocast(DEVICE.type, enabled=False):
            kl = posterior.kl().float().mean()
        return {**losses, "loss": losses["loss"] + KL_WEIGHT * kl, "kl": kl}

    return loss


def main() -> None:
    """Train, measure on the held-out drawings, and write the weights."""
    options = arguments(__doc__, steps=5_200)
    stage = Stage("vae", build(), objective(options.work, SSIM_WEIGHT), options.steps, 1.5e-3, options.work)
    finish(stage.run(), "vae", options)


def finish(vae: Any, stage: str, options: argparse.Namespace) -> None:
    """Measure on the held-out drawings, and write weights, measurements and log."""
    test = to_model(torch.from_numpy(drawings.pictures("test", options.work)[:1000].copy()))
    with torch.no_grad():
        means = [vae.encode(batch).latent_dist.mean for batch in test.split(100)]
        decoded = torch.cat([vae.decode(mean).sample.clamp(-1, 1) for mean in means])
    summary = {
        "held_out_drawings": len(test),
        "mean_absolute_error": round(F.l1_loss(decoded, test).item(), 4),
        "ssim": round(ssim(decoded, test).item(), 4),
        "steps": options.steps,
    }
    print(summary)
    if stage == "vae":
        vae.register_to_config(scaling_factor=round(1 / torch.cat(means).std().item(), 5))
    folder = options.weights / "ldm" / "vae"
    vae.half().save_pretrained(folder)
    forget_origin(folder)
    (folder / f"{stage}.json").write_text(json.dumps(summary, indent=2) + "\n")
    keep_log(stage, options.work, folder)


if __name__ == "__main__":
    main()
