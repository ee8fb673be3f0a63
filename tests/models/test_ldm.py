from __future__ import annotations

from pathlib import Path

import pytest
import torch
from diffusers import LDMTextToImagePipeline
from tiny import tiny_ldm

from mti.models.pretrained import PretrainedModel
from mti.sampling import sample
from mti.types import LatentDiffusion


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_ldm(tmp_path_factory.mktemp("tiny") / "ldm")


@pytest.fixture(scope="module")
def model(folder: Path) -> LatentDiffusion:
    found = PretrainedModel(str(folder), precision="fp32")
    found.check()
    return found.load()


def test_sizes_are_those_of_the_pipeline(model: LatentDiffusion, folder: Path) -> None:
    assert not list(folder.rglob("*.safetensors"))
    assert (model.name, model.resolution, model.latent_shape, model.context_length) == ("ldm", 32, (4, 8, 8), 77)
    assert model.token_names(model.token_ids("A red teapot, *")) == ["a", "red", "tea", "##pot", ",", "*"]
    assert len(model.token_ids("*")) == 1


def test_pictures_are_those_of_diffusers_pipeline(model: LatentDiffusion, folder: Path) -> None:
    """Padding without a mask, dropout off, guidance and decoding."""
    noise = torch.randn(2, *model.latent_shape, generator=torch.Generator().manual_seed(0))
    pipe = LDMTextToImagePipeline.from_pretrained(folder, use_safetensors=False)
    pipe.set_progress_bar_config(disable=True)
    prompts = ["a photo of a red teapot", "the cat"]
    theirs = pipe(  # which takes a factor of 8 for granted, where this autoencoder has 4
        prompts, 64, 64, latents=noise, num_inference_steps=3, guidance_scale=5.0, output_type="pt"
    ).images
    ids = torch.tensor([model.with_special_tokens(model.token_ids(prompt)) for prompt in ("", *prompts)])
    empty, *texts = model.encode_text(ids, model.embedding[:0]).split(1)
    ours = model.decode(sample(model, torch.cat(texts), empty, noise, steps=3, guidance_scale=5.0))
    torch.testing.assert_close(ours / 2 + 0.5, theirs, atol=1e-5, rtol=0)


def test_placeholders_that_copy_a_text_are_exactly_that_text(model: LatentDiffusion) -> None:
    plain = model.token_ids("a photo of a red teapot")
    start = len(model.embedding)
    placed = [*plain[:4], start, start + 1, start + 2]
    rows = model.embedding[plain[4:]].clone().requires_grad_()
    text, placed_text = (
        model.encode_text(torch.tensor([model.with_special_tokens(ids)]), rows) for ids in (plain, placed)
    )
    assert torch.equal(text, placed_text)
    placed_text.square().mean().backward()
    assert rows.grad is not None
    assert (rows.grad.abs().sum(dim=1) > 0).all()
