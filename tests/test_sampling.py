from __future__ import annotations

from pathlib import Path

import pytest
import torch
from diffusers import DDIMScheduler, DPMSolverMultistepScheduler, StableDiffusionPipeline
from tiny import tiny_pipeline

from mti.models.sd import StableDiffusion
from mti.sampling import Sampler, noise_scheduler, sample


def conditioning(model: StableDiffusion, *prompts: str) -> torch.Tensor:
    ids = torch.tensor([model.with_special_tokens(model.token_ids(prompt)) for prompt in prompts])
    return model.encode_text(ids, model.embedding[:0])


def noise(model: StableDiffusion, count: int) -> torch.Tensor:
    return torch.randn(count, *model.latent_shape, generator=torch.Generator().manual_seed(0))


SAMPLERS = [("ddim", True), ("dpm++", True), ("dpm++", False)]


@pytest.mark.parametrize(("sampler", "karras"), SAMPLERS)
@pytest.mark.parametrize("prediction_type", ["epsilon", "v_prediction"])
def test_latents_are_those_of_diffusers_pipeline(
    tmp_path: Path, prediction_type: str, sampler: Sampler, karras: bool
) -> None:
    folder = tiny_pipeline(tmp_path / "sd", prediction_type)
    model = StableDiffusion(str(folder), name="tiny", precision="fp32")
    pipe = StableDiffusionPipeline.from_pretrained(folder, safety_checker=None)
    pipe.set_progress_bar_config(disable=True)
    assert isinstance(pipe.scheduler, DDIMScheduler)
    if sampler == "dpm++":
        pipe.scheduler = DPMSolverMultistepScheduler.from_config(pipe.scheduler.config, use_karras_sigmas=karras)
    expected = pipe(
        ["a photo of a cat", "the red teapot"],
        latents=noise(model, 2),
        num_inference_steps=4,
        guidance_scale=4.0,
        output_type="latent",
    ).images
    text, empty = conditioning(model, "a photo of a cat", "the red teapot"), conditioning(model, "")
    latents = sample(model, text, empty, noise(model, 2), 4, 4.0, sampler=sampler, karras=karras)
    torch.testing.assert_close(latents, expected, atol=1e-5, rtol=1e-5)


def test_few_steps_of_dpm_come_nearer_to_many_of_ddim_than_few_of_ddim(tiny_sd: StableDiffusion) -> None:
    text, empty, start = conditioning(tiny_sd, "a cat"), conditioning(tiny_sd, ""), noise(tiny_sd, 1)
    many = sample(tiny_sd, text, empty, start, steps=100)
    few = {name: sample(tiny_sd, text, empty, start, steps=6, sampler=name) for name in ("ddim", "dpm++")}
    away = {name: (latents - many).abs().mean() for name, latents in few.items()}
    assert away["dpm++"] < away["ddim"] / 2


@pytest.mark.parametrize(("sampler", "tolerance"), [("ddim", 1e-5), ("dpm++", 1e-4)])  # whose steps are larger
def test_a_latent_owes_nothing_to_its_company(tiny_sd: StableDiffusion, sampler: Sampler, tolerance: float) -> None:
    text, empty = conditioning(tiny_sd, "a cat", "a teapot", "red"), conditioning(tiny_sd, "")
    together = sample(tiny_sd, text, empty, noise(tiny_sd, 3), steps=3, sampler=sampler)
    alone = sample(tiny_sd, text[1:2], empty, noise(tiny_sd, 3)[1:2], steps=3, sampler=sampler)
    chunked = sample(tiny_sd, text, empty.expand(3, -1, -1), noise(tiny_sd, 3), steps=3, max_batch=4, sampler=sampler)
    torch.testing.assert_close(alone[0], together[1], atol=tolerance, rtol=tolerance)
    torch.testing.assert_close(chunked, together, atol=tolerance, rtol=tolerance)
    assert (together[0] - together[1]).abs().max() > 0.1


def test_without_guidance_the_empty_prompt_is_not_asked(tiny_sd: StableDiffusion, monkeypatch) -> None:
    seen = []
    denoise = tiny_sd.denoise
    monkeypatch.setattr(tiny_sd, "denoise", lambda noisy, *rest: (seen.append(len(noisy)), denoise(noisy, *rest))[1])
    text, start = conditioning(tiny_sd, "a cat"), noise(tiny_sd, 1)
    ours = sample(tiny_sd, text, conditioning(tiny_sd, ""), start, steps=3, guidance_scale=1.0)
    other = sample(tiny_sd, text, conditioning(tiny_sd, "teapot"), start, steps=3, guidance_scale=1.0)
    assert torch.equal(ours, other)
    assert seen == [1] * 6
    almost = sample(tiny_sd, text, conditioning(tiny_sd, ""), start, steps=3, guidance_scale=1 + 1e-6)
    assert seen[6:] == [2] * 3
    torch.testing.assert_close(ours, almost, atol=1e-4, rtol=1e-4)


def test_a_sampler_keeps_the_models_noise_schedule(tiny_sd: StableDiffusion) -> None:
    for sampler in ("ddim", "dpm++"):
        torch.testing.assert_close(noise_scheduler(tiny_sd, sampler).alphas_cumprod, tiny_sd.alphas_cumprod)
