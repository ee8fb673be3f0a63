import copy

import pytest
import torch

from mti.loss import latent_diffusion_loss

ALPHAS = torch.tensor([0.9, 0.5, 0.1])


@pytest.fixture
def model(tiny_sd):
    """A latent diffusion model with another U-Net and schedule."""

    def build(prediction_type, denoise):
        other = copy.copy(tiny_sd)
        other.alphas_cumprod, other.prediction_type, other.denoise = ALPHAS, prediction_type, denoise
        return other

    return build


@pytest.fixture
def batch():
    generator = torch.Generator().manual_seed(0)
    z, eps = torch.randn(2, 3, 4, 2, 2, generator=generator)
    return z, torch.zeros(3, 5, 6), torch.tensor([0, 1, 2]), eps


def test_a_model_that_knows_the_noise_has_no_loss(model, batch):
    z, text, t, eps = batch
    loss = latent_diffusion_loss(model("epsilon", lambda z_t, t, c: eps), z, text, t, eps)
    assert torch.equal(loss, torch.zeros(3))


def test_a_model_that_knows_v_has_no_loss(model, batch):
    z, text, t, eps = batch
    alpha = ALPHAS[t].view(-1, 1, 1, 1)

    def v(z_t, t, c):
        return (z_t * alpha.sqrt() - z) / (1 - alpha).sqrt()  # v, solved from z_t and z alone

    torch.testing.assert_close(
        latent_diffusion_loss(model("v_prediction", v), z, text, t, eps), torch.zeros(3), atol=1e-6, rtol=0
    )


def test_the_loss_is_the_mean_square_of_each_sample(model, batch):
    z, text, t, eps = batch
    loss = latent_diffusion_loss(model("epsilon", lambda z_t, t, c: torch.zeros_like(z_t)), z, text, t, eps)
    torch.testing.assert_close(loss, eps.square().flatten(1).mean(1))


def test_the_model_sees_the_noised_latent_of_its_timestep(model, batch):
    z, text, t, eps = batch
    seen = []

    def denoise(z_t, t, c):
        seen.append(z_t)
        return eps

    latent_diffusion_loss(model("epsilon", denoise), z, text, t, eps)
    expected = torch.stack([a**0.5 * z_i + (1 - a) ** 0.5 * e for a, z_i, e in zip(ALPHAS, z, eps, strict=True)])
    torch.testing.assert_close(seen[0], expected)
