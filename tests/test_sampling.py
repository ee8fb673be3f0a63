from __future__ import annotations

from pathlib import Path

import pytest
import torch
from diffusers import DDIMScheduler, StableDiffusionPipeline
from tiny import tiny_pipeline

from mti.models.sd import StableDiffusion
from mti.sampling import sample


def conditioning(model: StableDiffusion, *prompts: str) -> torch.Tensor:
    ids = torch.tensor([model.with_special_tokens(model.token_ids(prompt)) for prompt in prompts])
    return model.encode_text(ids, model.embedding[:0])


def noise(model: StableDiffusion, count: int) -> torch.Tensor:
    return torch.randn(count, *model.latent_shape, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("prediction_type", ["epsilon", "v_prediction"])
def test_latents_are_those_of_diffusers_pipeline(tmp_path: Path, prediction_type: str) -> None:
    folder = tiny_pipeline(tmp_path / "sd", prediction_type)
    model = StableDiffusion(str(folder), name="tiny", precision="fp32")
    pipe = StableDiffusionPipeline.from_pretrained(folder, safety_checker=None)
    pipe.set_progress_bar_config(disable=True)
    assert isinstance(pipe.scheduler, DDIMScheduler)
    expected = pipe(
        ["a photo of a cat", "the red teapot"],
        latents=noise(model, 2),
        num_inference_steps=4,
        guidance_scale=4.0,
        output_type="latent",
    ).images
    text, empty = conditioning(model, "a photo of a cat", "the red teapot"), conditioning(model, "")
    latents = sample(model, text, empty, noise(model, 2), steps=4, guidance_scale=4.0)
    torch.testing.assert_close(latents, expected, atol=1e-5, rtol=1e-5)


def test_a_latent_owes_nothing_to_its_company(tiny_sd: StableDiffusion) -> None:
    text, empty = conditioning(tiny_sd, "a cat", "a teapot", "red"), conditioning(tiny_sd, "")
    together = sample(tiny_sd, text, empty, noise(tiny_sd, 3), steps=3)
    alone = sample(tiny_sd, text[1:2], empty, noise(tiny_sd, 3)[1:2], steps=3)
    chunked = sample(tiny_sd, text, empty.expand(3, -1, -1), noise(tiny_sd, 3), steps=3, max_batch=4)
    torch.testing.assert_close(alone[0], together[1], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(chunked, together, atol=1e-5, rtol=1e-5)
    assert (together[0] - together[1]).abs().max() > 0.1


def test_guidance_one_ignores_the_empty_prompt(tiny_sd: StableDiffusion) -> None:
    text, start = conditioning(tiny_sd, "a cat"), noise(tiny_sd, 1)
    ours = sample(tiny_sd, text, conditioning(tiny_sd, ""), start, steps=3, guidance_scale=1.0)
    other = sample(tiny_sd, text, conditioning(tiny_sd, "teapot"), start, steps=3, guidance_scale=1.0)
    torch.testing.assert_close(ours, other, atol=1e-5, rtol=1e-5)
