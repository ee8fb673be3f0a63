from __future__ import annotations

from pathlib import Path

import pytest
import torch
from diffusers import StableDiffusionXLPipeline
from tiny import tiny_sdxl

from mti.models.pretrained import PretrainedModel
from mti.sampling import sample
from mti.types import LatentDiffusion


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_sdxl(tmp_path_factory.mktemp("tiny") / "xl")


@pytest.fixture(scope="module")
def model(folder: Path) -> LatentDiffusion:
    found = PretrainedModel(str(folder), precision="fp32")
    found.check()
    return found.load()


@pytest.fixture
def pipe(folder: Path, model: LatentDiffusion) -> StableDiffusionXLPipeline:
    """The reference; its second encoder is told the real end token, without which it pools at another one."""
    pipe = StableDiffusionXLPipeline.from_pretrained(folder, add_watermarker=False)
    pipe.set_progress_bar_config(disable=True)
    pipe.text_encoder_2.config.eos_token_id = pipe.tokenizer_2.eos_token_id
    pipe.text_encoder_2.text_model.eos_token_id = pipe.tokenizer_2.eos_token_id
    return pipe


def ids_of(model: LatentDiffusion, *prompts: str) -> torch.Tensor:
    return torch.tensor([model.with_special_tokens(model.token_ids(prompt)) for prompt in prompts])


def test_a_row_has_the_embeddings_of_both_encoders(model: LatentDiffusion, pipe: StableDiffusionXLPipeline) -> None:
    tables = [encoder.get_input_embeddings().weight for encoder in (pipe.text_encoder, pipe.text_encoder_2)]
    assert torch.equal(model.embedding, torch.cat(tables, dim=1))
    assert model.embedding.shape[1] == 32 + 48


def test_conditioning_is_that_of_diffusers(model: LatentDiffusion, pipe: StableDiffusionXLPipeline) -> None:
    """Penultimate states, each encoder's own padding, and the pooled output behind them."""
    text = model.encode_text(ids_of(model, "a photo of a red teapot"), model.embedding[:0])
    hidden, _, pooled, _ = pipe.encode_prompt("a photo of a red teapot", do_classifier_free_guidance=False)
    torch.testing.assert_close(text[:, :-1], hidden, atol=1e-6, rtol=0)
    torch.testing.assert_close(text[:, -1, :40], pooled, atol=1e-6, rtol=0)
    assert (text[:, -1, 40:] == 0).all()


def test_pictures_are_those_of_diffusers_pipeline(model: LatentDiffusion, pipe: StableDiffusionXLPipeline) -> None:
    noise = torch.randn(2, *model.latent_shape, generator=torch.Generator().manual_seed(0))
    prompts = ["a photo of a red teapot", "the cat"]
    theirs = pipe(prompts, latents=noise, num_inference_steps=3, guidance_scale=5.0, output_type="pt").images
    empty, *texts = model.encode_text(ids_of(model, "", *prompts), model.embedding[:0]).split(1)
    ours = model.decode(sample(model, torch.cat(texts), empty, noise, steps=3, guidance_scale=5.0))
    torch.testing.assert_close(ours / 2 + 0.5, theirs, atol=1e-5, rtol=0)


def test_placeholders_that_copy_a_text_are_exactly_that_text(model: LatentDiffusion) -> None:
    """The pooled output too: their ids lie above that of the end token."""
    plain = model.token_ids("a photo of a red teapot")
    start = len(model.embedding)
    rows = model.embedding[plain[4:]].clone().requires_grad_()
    text, placed = (
        model.encode_text(torch.tensor([model.with_special_tokens(ids)]), rows)
        for ids in (plain, [*plain[:4], start, start + 1])
    )
    assert torch.equal(text, placed)
    noisy = torch.randn(1, *model.latent_shape, generator=torch.Generator().manual_seed(0))
    model.denoise(noisy, torch.tensor([500]), placed).square().mean().backward()
    assert rows.grad is not None
    assert all((part.abs().sum(dim=1) > 0).all() for part in rows.grad.split([32, 48], dim=1))


def test_pooled_output_sends_gradients_too(model: LatentDiffusion) -> None:
    start = len(model.embedding)
    rows = model.embedding[:1].clone().requires_grad_()
    text = model.encode_text(torch.tensor([model.with_special_tokens([start])]), rows)
    text[:, -1].square().sum().backward()
    assert rows.grad is not None
    assert (rows.grad[:, 32:] != 0).any()
    assert (rows.grad[:, :32] == 0).all()
