import pytest
import torch

from mti.pocket import vae


def pictures():
    return torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0)) * 2 - 1


def test_ssim_is_one_for_a_copy_and_less_for_noise():
    own = pictures()
    assert vae.ssim(own, own).item() == pytest.approx(1, abs=1e-5)
    assert vae.ssim(own, own + 0.3 * torch.randn_like(own)) < 0.95


def test_latents_have_eight_channels_a_quarter_of_the_pictures_side():
    torch.manual_seed(0)
    model = vae.build()
    assert model.encode(pictures()).latent_dist.mean.shape == (2, 8, 16, 16)
    losses = vae.losses(model, pictures())
    assert losses["loss"] > losses["l1"] > 0
    found = vae.measure(model.eval(), pictures())
    assert found["held_out_drawings"] == 2
    assert found["latent_std"] > 0
