"""More latent channels, for small things: `python -m mti.pocket.grow_vae`, after `refine_decoder`; then `grow_ldm`.

The trained autoencoder gets new channels beside the four that the U-Net knows. At first nothing that is
known listens to the new ones, so that it computes what it did (Net2Net: Chen et al. 2016,
arXiv:1511.05641); then all of it learns on, with more weight on structure. The latents that are known
move little, so that the U-Net need not begin anew.
"""

from __future__ import annotations

from typing import Any

import torch
from diffusers import AutoencoderKL
from torch import Tensor

from mti.pocket.drawings import pictures
from mti.pocket.stage import Stage, arguments, to_model
from mti.pocket.train_vae import finish, objective

KNOWN, CHANNELS = 4, 8
SSIM_WEIGHT = 0.5
BALANCED = 2_000  # drawings


@torch.no_grad()
def grown(model: Any, **channels: int) -> Any:
    """The same model with `CHANNELS` latent channels in place of `KNOWN`; what it knew it computes as before."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        larger: Any = type(model).from_config({**model.config, **channels})
    weights = larger.state_dict()
    for name, known in model.state_dict().items():
        places = [_places(*sizes) for sizes in zip(known.shape, weights[name].shape, strict=True)]
        weights[name][places[0]] = 0
        weights[name][torch.meshgrid(*places, indexing="ij")] = known
    return larger


def _places(known: int, grown: int) -> Tensor:
    """Where the known channels lie among the grown; means and log variances are two halves."""
    if known == grown:
        return torch.arange(known)
    return torch.cat([torch.arange(KNOWN) + half * CHANNELS for half in range(known // KNOWN)])


@torch.no_grad()
def balance(vae: Any, latents: Tensor) -> None:
    """Give the new channels the mean 0 and the spread that the scaling factor supposes; the decoder takes it back.

    Args:
        vae: the grown autoencoder, which is changed.
        latents: what it makes of many pictures, unscaled: [pictures, channels, height, width].
    """
    new = slice(KNOWN, CHANNELS)
    std, mean = torch.std_mean(latents[:, new], (0, 2, 3))
    scale = 1 / (vae.config.scaling_factor * std)
    encoded, decoded = vae.quant_conv, vae.post_quant_conv
    decoded.bias += decoded.weight[:, new, 0, 0] @ mean
    decoded.weight[:, new] /= scale[:, None, None]
    encoded.weight[new] *= scale[:, None, None, None]
    encoded.bias[new] = (encoded.bias[new] - mean) * scale
    encoded.bias[CHANNELS + KNOWN :] += 2 * scale.log()  # of the log variances


def main() -> None:
    """Grow, train, balance, measure on the held-out drawings, and write the weights."""
    options = arguments(__doc__, steps=4_500)
    vae: Any = AutoencoderKL.from_pretrained(options.weights / "ldm" / "vae", torch_dtype=torch.float32)
    if vae.config.latent_channels == KNOWN:
        vae = grown(vae, latent_channels=CHANNELS)
    loss = objective(options.work, SSIM_WEIGHT)
    stage = Stage("grown_vae", vae, loss, options.steps, 1e-3, options.work, decay_share=1.0)
    vae = stage.run()
    with torch.no_grad():
        train = to_model(torch.from_numpy(pictures("train", options.work)[:BALANCED].copy()))
        balance(vae, torch.cat([vae.encode(batch).latent_dist.mean for batch in train.split(100)]))
    finish(vae, stage.name, options)


if __name__ == "__main__":
    main()
