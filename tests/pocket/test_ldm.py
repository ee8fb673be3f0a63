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

    right = ldm.denoising_loss(knows, clean, ids, ALPHAS, generator(0))
    assert right["loss"].item() == pytest.approx(0, abs=1e-4)
    nothing = ldm.denoising_loss(
        lambda noisy, timesteps, ids: torch.zeros_like(noisy), clean, ids, ALPHAS, generator(0)
    )
    assert nothing["mse"].item() == pytest.approx(1, abs=0.05)
    assert nothing["loss"] < nothing["mse"]  # hardly noisy latents count less


def test_captions_are_kept_and_fit(drawn, tokenizer, tmp_path):
    train = Drawings("train", drawn)
    ids = ldm.caption_ids(tokenizer, train, tmp_path)
    assert ids.shape == (200, ldm.CAPTIONS_EACH, CONTEXT)
    assert (ids[..., -1] == tokenizer.eos_token_id).all()
    assert torch.equal(ldm.caption_ids(tokenizer, train, tmp_path), ids)
