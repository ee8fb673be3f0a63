"""A sharper decoder for the same latents: `python -m mti.pocket.refine_decoder`, after `train_ldm`.

The encoder stays as it is, and so does the latent space that the U-Net has learned; the decoder learns
on from the cached latents, with more weight on structure.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKL
from torch import Tensor

from mti.pocket.stage import DEVICE, Stage, arguments, to_model
from mti.pocket.train_ldm import PICTURES, latents
from mti.pocket.train_vae import finish, reconstruction

BATCH = 16
SSIM_WEIGHT = 0.5


def main() -> None:
    """Train the decoder, measure on the held-out drawings, and write the weights."""
    options = arguments(__doc__, steps=1_800)
    vae: Any = AutoencoderKL.from_pretrained(options.weights / "ldm" / "vae", torch_dtype=torch.float32)
    vae.encoder.requires_grad_(False)
    train = torch.from_numpy(np.load(options.work / "train.npy", mmap_mode="c"))
    known = latents(vae, options.work)

    def loss(vae: Any, step: int) -> dict[str, Tensor]:
        index = torch.randint(PICTURES, (BATCH,), generator=torch.Generator().manual_seed(step))
        picture = to_model(train[index])
        decoded = vae.decode(known[index].to(DEVICE).float() / vae.config.scaling_factor).sample
        return reconstruction(decoded, picture, SSIM_WEIGHT)

    stage = Stage("decoder", vae, loss, options.steps, 4e-4, options.work, decay_share=1.0)
    finish(stage.run(), "decoder", options)


if __name__ == "__main__":
    main()
