"""The grown autoencoder's channels for the latent diffusion model: `python -m mti.pocket.grow_ldm`, after `grow_vae`.

The U-Net gets them as `grow_vae` says, and goes on learning with its text encoder.
"""

from __future__ import annotations

from typing import Any

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from transformers import CLIPTextModel, CLIPTokenizer

from mti.pocket.grow_vae import CHANNELS, KNOWN, grown
from mti.pocket.stage import DEVICE, Stage, arguments
from mti.pocket.train_ldm import Denoiser, finish, latents, objective


def main() -> None:
    """Grow, train, and write the `StableDiffusionPipeline` folder."""
    options = arguments(__doc__, steps=1_600)
    folder = options.weights / "ldm"
    vae: Any = AutoencoderKL.from_pretrained(folder / "vae", torch_dtype=torch.float32).eval()
    vae.to(DEVICE)
    unet: Any = UNet2DConditionModel.from_pretrained(folder / "unet", torch_dtype=torch.float32)
    if unet.config.in_channels == KNOWN:
        unet = grown(unet, in_channels=CHANNELS, out_channels=CHANNELS)
    text_encoder = CLIPTextModel.from_pretrained(folder / "text_encoder", dtype=torch.float32)
    tokenizer = CLIPTokenizer.from_pretrained(folder / "tokenizer")
    loss = objective(tokenizer, latents(vae, options.work, "grown_latents"), options.work)
    model = Denoiser(text_encoder, unet)
    stage = Stage("grown_ldm", model, loss, options.steps, 5e-4, options.work, weight_decay=0.001, decay_share=1.0)
    finish(stage.run(), vae, tokenizer, stage.name, options)


if __name__ == "__main__":
    main()
