"""Latent channels beside those that the pocket models know."""

import pytest
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel

from mti.pocket.grow_vae import CHANNELS, KNOWN, balance, grown


def noise(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def autoencoder(tiny_sd_folder):
    return AutoencoderKL.from_pretrained(tiny_sd_folder / "vae").eval()


@torch.no_grad()
def test_a_grown_autoencoder_computes_what_it_did_and_can_say_more(autoencoder):
    larger = grown(autoencoder, latent_channels=CHANNELS).eval()
    picture = noise(2, 3, 32, 32)
    before, after = (vae.encode(picture).latent_dist for vae in (autoencoder, larger))
    assert after.mean.shape[1] == CHANNELS
    for old, new in ((before.mean, after.mean), (before.logvar, after.logvar)):
        torch.testing.assert_close(new[:, :KNOWN], old)
        assert new[:, KNOWN:].std() > 0
    torch.testing.assert_close(larger.decode(after.mean).sample, autoencoder.decode(before.mean).sample)


@torch.no_grad()
def test_balanced_channels_spread_as_the_scaling_factor_supposes_and_decode_to_the_same(autoencoder):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        vae = AutoencoderKL.from_config({**autoencoder.config, "latent_channels": CHANNELS}).eval()
    picture = noise(4, 3, 32, 32)
    before = vae.encode(picture).latent_dist
    decoded = vae.decode(before.mean).sample
    balance(vae, before.mean)
    after = vae.encode(picture).latent_dist
    std, mean = torch.std_mean(after.mean[:, KNOWN:] * vae.config.scaling_factor, (0, 2, 3))
    torch.testing.assert_close(std, torch.ones(CHANNELS - KNOWN), rtol=1e-4, atol=0)
    torch.testing.assert_close(mean, torch.zeros(CHANNELS - KNOWN), rtol=0, atol=1e-5)
    torch.testing.assert_close(after.mean[:, :KNOWN], before.mean[:, :KNOWN])
    torch.testing.assert_close(vae.decode(after.mean).sample, decoded, rtol=1e-4, atol=1e-5)
    share = before.std[:, KNOWN:] / before.mean[:, KNOWN:].std((0, 2, 3), keepdim=True)
    torch.testing.assert_close(after.std[:, KNOWN:] * vae.config.scaling_factor, share, rtol=1e-4, atol=0)


@torch.no_grad()
def test_a_grown_unet_predicts_what_it_did_whatever_the_new_channels_hold(tiny_sd_folder):
    known = UNet2DConditionModel.from_pretrained(tiny_sd_folder / "unet").eval()
    larger = grown(known, in_channels=CHANNELS, out_channels=CHANNELS).eval()
    latents, text = noise(2, CHANNELS, 8, 8), noise(2, 5, 32)
    predicted = larger(latents, 7, text).sample
    torch.testing.assert_close(predicted[:, :KNOWN], known(latents[:, :KNOWN], 7, text).sample)
    assert predicted[:, KNOWN:].std() > 0
