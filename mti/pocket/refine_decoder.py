"""A wider, sharper decoder for the same latents: `python -m mti.pocket.refine_decoder`, after `train_ldm`.

The latent space that the U-Net has learned must stay as it is. So the trained autoencoder is widened
without changing what it computes (Net2Net: Chen et al. 2016, arXiv:1511.05641), its encoder is frozen,
and its decoder learns on from the cached latents, with more weight on structure.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL
from torch import Tensor

from mti.pocket.stage import DEVICE, Stage, arguments, to_model
from mti.pocket.train_ldm import PICTURES, latents
from mti.pocket.train_vae import finish, ssim

BATCH = 16
SSIM_WEIGHT = 0.5
CHANNELS = (32, 64, 192)
SYMMETRY_NOISE = 0.1  # of a weight tensor's spread: tells the copies of a channel apart


def widened(narrow: Any, channels: tuple[int, ...]) -> Any:
    """The same autoencoder with each block's channels repeated to so many; its output stays the same.

    A repeated input channel has its weights shared out over the copies. The copies of a channel lie in
    the same normalisation group, so that the group's mean and variance stay. In attention, the products
    of twice as many channels are scaled by the square root of twice as many: queries make up for it.
    """
    wide: Any = AutoencoderKL.from_config({**narrow.config, "block_out_channels": channels})
    known, weights = narrow.state_dict(), wide.state_dict()
    for name, weight in weights.items():
        old = known[name] if name in known else _identity(name, known)
        new = old.repeat_interleave(len(weight) // len(old), 0)
        if old.ndim > 1:
            copies = weight.shape[1] // old.shape[1]
            new = new.repeat_interleave(copies, 1) / copies
        if ".to_q." in name:
            new = new / (len(new) / len(old)) ** 0.5
        weights[name] = new
    wide.load_state_dict(weights)
    return wide


def _identity(name: str, known: dict[str, Tensor]) -> Tensor:
    """The shortcut of a block that needed none while it had as many channels in as out."""
    channels = len(known[name.replace("conv_shortcut", "conv2")])
    return torch.zeros(channels) if name.endswith("bias") else torch.eye(channels)[:, :, None, None]


def break_symmetry(decoder: Any) -> None:
    """A little noise on all weights, so that copies of a channel learn different things."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in decoder.parameters():
            if weight.ndim > 1:
                weight += SYMMETRY_NOISE * weight.std() * torch.randn(weight.shape, generator=generator)


def main() -> None:
    """Train the decoder, measure on the held-out drawings, and write the weights."""
    options = arguments(__doc__, steps=6_000)
    vae: Any = AutoencoderKL.from_pretrained(options.weights / "ldm" / "vae", torch_dtype=torch.float32)
    train = torch.from_numpy(np.load(options.work / "train.npy", mmap_mode="c"))
    known = latents(vae.to(DEVICE), options.work)
    if tuple(vae.config.block_out_channels) != CHANNELS:
        vae = widened(vae, CHANNELS)
        break_symmetry(vae.decoder)
    vae.encoder.requires_grad_(False)

    def loss(vae: Any, step: int) -> dict[str, Tensor]:
        index = torch.randint(PICTURES, (BATCH,), generator=torch.Generator().manual_seed(step))
        picture = to_model(train[index])
        decoded = vae.decode(known[index].to(DEVICE).float() / vae.config.scaling_factor).sample
        with torch.autocast(DEVICE.type, enabled=False):
            l1, similarity = F.l1_loss(decoded.float(), picture), ssim(decoded, picture)
        return {"loss": l1 + SSIM_WEIGHT * (1 - similarity), "l1": l1, "ssim": similarity}

    stage = Stage("decoder", vae, loss, options.steps, 6e-4, options.work, decay_share=1.0)
    finish(stage.run(), "decoder", options)


if __name__ == "__main__":
    main()
