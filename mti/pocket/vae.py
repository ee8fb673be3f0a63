"""The pocket autoencoder, a diffusers `AutoencoderKL`: 64 × 64 pictures, 16 × 16 latents of 8 channels."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL
from torch import Tensor

from mti.pocket.drawings import SIZE, Drawings
from mti.pocket.stage import DEVICE, Losses, Options, Stage, forget_origin, generator, keep_numbers, to_model

STEPS = 20_000
BATCH = 8
KL_WEIGHT = 2e-7
SSIM_WEIGHT = 0.5
COLOR_FROM = 3_200  # the step from which the colour of patches counts too: shapes are learned first, and quicker
PATCH = 4  # pixels
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


def losses(vae: Any, pictures: Tensor, color_weight: float = 1.0) -> Losses:
    """L1 of pixels and of patches' means, structure, and a little of the posterior's divergence.

    For pictures in [-1, 1].
    """
    posterior = vae.encode(pictures).latent_dist
    decoded = vae.decode(posterior.sample()).sample
    with torch.autocast(DEVICE.type, enabled=False):
        decoded = decoded.float()
        l1, similarity = F.l1_loss(decoded, pictures), ssim(decoded, pictures)
        color = F.avg_pool2d(decoded - pictures, PATCH).abs().mean()
        kl = posterior.kl().float().mean()
    loss = l1 + color_weight * color + SSIM_WEIGHT * (1 - similarity) + KL_WEIGHT * kl
    return {"loss": loss, "l1": l1, "ssim": similarity, "kl": kl}


@torch.no_grad()
def balance(vae: Any, latents: Tensor) -> None:
    """Give each latent channel the mean 0 and the spread 1, which diffusion supposes; the decoder takes it back.

    Args:
        vae: the autoencoder, which is changed; it encodes and decodes pictures as before.
        latents: the posterior's means of many pictures, [pictures, channels, height, width].
    """
    std, mean = torch.std_mean(latents, (0, 2, 3))
    encoded, decoded, channels = vae.quant_conv, vae.post_quant_conv, len(std)
    decoded.bias += decoded.weight[:, :, 0, 0] @ mean
    decoded.weight *= std[:, None, None]
    encoded.weight[:channels] /= std[:, None, None, None]
    encoded.bias[:channels] = (encoded.bias[:channels] - mean) / std
    encoded.bias[channels:] -= 2 * std.log()  # of the log variances


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
        chosen = torch.randint(len(train), (BATCH,), generator=generator(step))
        return losses(vae, to_model(train.pictures(chosen)), color_weight=float(step >= COLOR_FROM))

    torch.manual_seed(0)
    model: Any = build()
    model.to(memory_format=torch.channels_last)  # quicker convolutions on CPUs
    model.encoder.compile()
    model.decoder.compile()
    stage = Stage("vae", model, loss, options.steps, 1.2e-3, options.work, decay_share=0.6)
    vae = stage.run()
    with torch.no_grad():
        some = to_model(train.pictures(slice(MEASURED)))
        balance(vae, torch.cat([vae.encode(batch).latent_dist.mean for batch in some.split(100)]))
    vae.register_to_config(scaling_factor=1.0)
    summary = measure(vae, to_model(Drawings("test", options.work).pictures(slice(MEASURED))))
    folder = options.weights / "ldm" / "vae"
    vae.half().save_pretrained(folder)
    forget_origin(folder)
    keep_numbers(stage, folder, summary, every=5)
