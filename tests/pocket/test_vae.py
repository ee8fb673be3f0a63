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


def test_balanced_latents_have_spread_one_and_decode_to_the_same_pictures():
    torch.manual_seed(0)
    model = vae.build().eval()
    with torch.no_grad():
        model.quant_conv.bias += torch.arange(16) / 4
        before = model.encode(pictures()).latent_dist
        decoded = model.decode(before.mean).sample
        vae.balance(model, before.mean)
        after = model.encode(pictures()).latent_dist
        std, mean = torch.std_mean(after.mean, (0, 2, 3))
        torch.testing.assert_close(std, torch.ones(8), rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(mean, torch.zeros(8), rtol=0, atol=1e-4)
        torch.testing.assert_close(model.decode(after.mean).sample, decoded, rtol=1e-3, atol=1e-4)
        ratio = after.std / before.std
        torch.testing.assert_close(ratio, 1 / before.mean.std((0, 2, 3)).view(1, 8, 1, 1).expand_as(ratio))
