from __future__ import annotations

from pathlib import Path

import pytest
import torch
from diffusers import StableDiffusionPipeline
from safetensors.torch import save_file

from mti.models.sd import StableDiffusion
from mti.outputs.tokens_file import load_tokens, save_tokens
from mti.sampling import sample
from mti.types import UserError


@pytest.mark.parametrize("count", [1, 3])
def test_diffusers_reads_our_tokens_and_draws_our_picture(
    tiny_sd: StableDiffusion, tiny_sd_folder: Path, tmp_path: Path, count: int
) -> None:
    embeddings = torch.randn(count, 32, generator=torch.Generator().manual_seed(1))
    noise = torch.randn(1, *tiny_sd.latent_shape, generator=torch.Generator().manual_seed(2))
    save_tokens(tmp_path / "tokens.safetensors", embeddings, "<concept>")
    pipe = StableDiffusionPipeline.from_pretrained(tiny_sd_folder, safety_checker=None)
    pipe.set_progress_bar_config(disable=True)
    pipe.load_textual_inversion(str(tmp_path / "tokens.safetensors"))
    theirs = pipe(
        "a photo of <concept>", latents=noise, num_inference_steps=3, guidance_scale=4.0, output_type="pt"
    ).images

    placeholders = [len(tiny_sd.embedding) + i for i in range(count)]
    ids = [
        tiny_sd.with_special_tokens(tiny_sd.token_ids("a photo of ") + placeholders),
        tiny_sd.with_special_tokens([]),
    ]
    text, empty = tiny_sd.encode_text(torch.tensor(ids), embeddings).chunk(2)
    ours = tiny_sd.decode(sample(tiny_sd, text, empty, noise, steps=3, guidance_scale=4.0))
    torch.testing.assert_close(ours / 2 + 0.5, theirs, atol=1e-5, rtol=0)


def test_tokens_come_back_as_they_were(tmp_path: Path) -> None:
    embeddings = torch.randn(3, 32, requires_grad=True)
    save_tokens(tmp_path / "tokens.safetensors", embeddings, "<teapot>")
    loaded, placeholder = load_tokens(tmp_path / "tokens.safetensors")
    assert placeholder == "<teapot>"
    assert torch.equal(loaded, embeddings)
    assert [path.name for path in tmp_path.iterdir()] == ["tokens.safetensors"]


def test_a_single_vector_of_diffusers_is_one_row(tmp_path: Path) -> None:
    save_file({"<cat>": torch.ones(32)}, tmp_path / "learned_embeds.safetensors")
    assert load_tokens(tmp_path / "learned_embeds.safetensors")[0].shape == (1, 32)


def test_other_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.safetensors"
    with pytest.raises(UserError, match="cannot be read"):
        load_tokens(path)
    path.write_text("no tensors")
    with pytest.raises(UserError, match="cannot be read"):
        load_tokens(path)
    save_file({"clip_l": torch.ones(2, 32), "clip_g": torch.ones(2, 64)}, path)
    with pytest.raises(UserError, match="holds clip_g, clip_l: expected one placeholder"):
        load_tokens(path)
