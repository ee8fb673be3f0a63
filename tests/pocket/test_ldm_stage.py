import pytest
import torch

from mti.pocket import ldm
from mti.pocket.drawings import Drawings
from mti.pocket.stage import generator
from mti.pocket.tokenizer import CONTEXT

ALPHAS = ldm.scheduler().alphas_cumprod


def test_the_loss_is_the_weighted_error_of_the_noise():
    clean, ids = torch.randn(8, 8, 16, 16), torch.zeros(8, CONTEXT, dtype=torch.long)

    def knows(noisy, timesteps, ids):
        alpha = ALPHAS[timesteps].view(-1, 1, 1, 1)
        return (noisy - alpha.sqrt() * clean.repeat_interleave(ldm.NOISES_EACH, 0)) / (1 - alpha).sqrt()

    def loss(model, weights):
        return ldm.denoising_loss(model, clean, ids, weights, ALPHAS, generator(0))

    def silent(noisy, timesteps, ids):
        return torch.zeros_like(noisy)

    even = torch.ones(8, 16, 16)
    right = loss(knows, even)
    assert right["loss"].item() == pytest.approx(0, abs=1e-4)
    nothing = loss(silent, even)
    assert nothing["mse"].item() == pytest.approx(1, abs=0.05)
    assert nothing["loss"] < nothing["mse"]  # hardly noisy latents count less
    above = torch.cat([even[:, :8], 0 * even[:, 8:]], 1)
    below = 2 * (even - above)
    heavier = loss(silent, above + below)
    assert heavier["loss"] == pytest.approx((loss(silent, above)["loss"] + loss(silent, below)["loss"]).item())
    assert heavier["mse"] == nothing["mse"]


def test_stickers_are_found_in_the_latents(drawn, tmp_path):
    train = Drawings("train", drawn)
    areas = ldm.sticker_areas(train, tmp_path)
    assert areas.shape == (200, 16, 16)
    with_stickers = train.label("sticker", slice(0, 200)) > 0
    assert torch.equal(areas.any((1, 2)), with_stickers)
    assert torch.equal(ldm.sticker_areas(train, tmp_path), areas)


def test_captions_are_kept_and_fit(drawn, tokenizer, tmp_path):
    train = Drawings("train", drawn)
    ids = ldm.caption_ids(tokenizer, train, tmp_path)
    assert ids.shape == (200, ldm.CAPTIONS_EACH, CONTEXT)
    assert (ids[..., -1] == tokenizer.eos_token_id).all()
    assert torch.equal(ldm.caption_ids(tokenizer, train, tmp_path), ids)
