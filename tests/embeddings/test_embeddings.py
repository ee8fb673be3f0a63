from __future__ import annotations

import stat
from pathlib import Path

import pytest
import torch
from diffusers import StableDiffusionPipeline, StableDiffusionXLPipeline
from safetensors.torch import load_file, save_file
from tiny import tiny_sdxl
from torch import nn

from mti.embeddings import FORMS, SDXL, Learned, learned, read_embeddings, write_embeddings
from mti.models.sd import StableDiffusion
from mti.sampling import sample
from mti.types import UserError

METADATA = {"model": "sd15", "step": "200", "text": "a red teapot"}


def mug(count: int, width: int = 32) -> Learned:
    generator = torch.Generator().manual_seed(count)
    return Learned(torch.randn(count, width, generator=generator), "<mug>", METADATA)


def a1111s(path: Path) -> dict[str, torch.Tensor]:
    """What AUTOMATIC1111's web UI makes of a file (modules/textual_inversion/textual_inversion.py), by encoder."""
    data = torch.load(path, weights_only=True) if path.suffix == ".pt" else load_file(path)
    if "string_to_param" in data:
        assert len(data["string_to_param"]) == 1
        return {"clip_l": next(iter(data["string_to_param"].values()))}
    if "clip_g" in data:
        return {"clip_l": data["clip_l"], "clip_g": data["clip_g"]}
    assert len(data) == 1
    return {"clip_l": next(iter(data.values()))}


def comfyuis(path: Path, encoder: str) -> torch.Tensor:
    """What ComfyUI makes of a file for an encoder (comfy/sd1_clip.py)."""
    data = load_file(path) if path.suffix == ".safetensors" else torch.load(path, weights_only=True)
    if "string_to_param" in data:
        return next(iter(data["string_to_param"].values()))
    return data[encoder] if encoder in data else next(iter(data.values()))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("count", "width"), [(1, 768), (3, 1024), (2, sum(SDXL))])
def test_what_is_written_comes_back(tmp_path: Path, form: str, count: int, width: int) -> None:
    own = mug(count, width)
    files = write_embeddings(form, tmp_path / "mug-caption", own)
    back = read_embeddings(files[0])
    assert torch.equal(back.embeddings, own.embeddings)
    assert dict(back.metadata) == METADATA
    assert back.placeholder == {"diffusers": "<mug>", "a1111": "mug", "comfyui": "mug-caption"}[form] or width > 2000
    assert sorted(tmp_path.iterdir()) == sorted(files)
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o644}


@pytest.mark.parametrize("form", ["a1111", "comfyui"])
def test_the_web_ui_and_comfyui_read_them(tmp_path: Path, form: str) -> None:
    own = mug(3, 768)
    (file,) = write_embeddings(form, tmp_path / "mug", own)
    assert torch.equal(a1111s(file)["clip_l"], own.embeddings)
    assert torch.equal(comfyuis(file, "clip_l"), own.embeddings)
    own = mug(2, sum(SDXL))
    (file,) = write_embeddings(form, tmp_path / "mugxl", own)
    assert file.suffix == ".safetensors"
    assert [a1111s(file)[name].shape[1] for name in ("clip_l", "clip_g")] == list(SDXL)
    assert torch.equal(torch.cat([comfyuis(file, "clip_l"), comfyuis(file, "clip_g")], dim=1), own.embeddings)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("count", [1, 3])
def test_diffusers_reads_them_and_draws_our_picture(
    tiny_sd: StableDiffusion, tiny_sd_folder: Path, tmp_path: Path, form: str, count: int
) -> None:
    own = mug(count)
    noise = torch.randn(1, *tiny_sd.latent_shape, generator=torch.Generator().manual_seed(2))
    (file,) = write_embeddings(form, tmp_path / "mug", own)
    pipe = StableDiffusionPipeline.from_pretrained(tiny_sd_folder, safety_checker=None)
    pipe.set_progress_bar_config(disable=True)
    pipe.load_textual_inversion(str(file), token="<mug>")
    theirs = pipe("a photo of <mug>", latents=noise, num_inference_steps=3, guidance_scale=4.0, output_type="pt").images
    placeholders = [len(tiny_sd.embedding) + i for i in range(count)]
    ids = [
        tiny_sd.with_special_tokens(tiny_sd.token_ids("a photo of ") + placeholders),
        tiny_sd.with_special_tokens([]),
    ]
    text, empty = tiny_sd.encode_text(torch.tensor(ids), own.embeddings).chunk(2)
    ours = tiny_sd.decode(sample(tiny_sd, text, empty, noise, steps=3, guidance_scale=4.0))
    torch.testing.assert_close(ours / 2 + 0.5, theirs, atol=1e-5, rtol=0)


def test_diffusers_loads_both_files_of_sdxl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(learned, "SDXL", (32, 48))
    own = mug(2, 80)
    files = write_embeddings("diffusers", tmp_path / "learned_embeds", own)
    assert [file.name for file in files] == ["learned_embeds.safetensors", "learned_embeds_2.safetensors"]
    assert torch.equal(read_embeddings(files[0]).embeddings, own.embeddings)
    pipe = StableDiffusionXLPipeline.from_pretrained(tiny_sdxl(tmp_path / "xl"), add_watermarker=False)
    encoders = ((pipe.text_encoder, pipe.tokenizer), (pipe.text_encoder_2, pipe.tokenizer_2))
    for file, (encoder, tokenizer), part in zip(files, encoders, own.embeddings.split([32, 48], dim=1), strict=True):
        pipe.load_textual_inversion(str(file), text_encoder=encoder, tokenizer=tokenizer)
        ids = tokenizer.convert_tokens_to_ids(["<mug>", "<mug>_1"])
        assert torch.equal(encoder.get_input_embeddings().weight[ids], part)


def test_the_concepts_library_and_the_oldest_files_are_read(tmp_path: Path) -> None:
    torch.save({"<cat-toy>": torch.ones(768)}, tmp_path / "learned_embeds.bin")
    found = read_embeddings(tmp_path)  # the folder that the library has
    assert (found.placeholder, found.embeddings.shape) == ("<cat-toy>", (1, 768))
    parameters = nn.ParameterDict({"*": nn.Parameter(torch.ones(2, 768))})
    torch.save({"string_to_token": {"*": torch.tensor(265)}, "string_to_param": parameters}, tmp_path / "old.pt")
    found = read_embeddings(str(tmp_path / "old.pt"))
    assert (found.placeholder, found.embeddings.shape) == ("old", (2, 768))
    assert not found.embeddings.requires_grad
    save_file({"emb_params": torch.ones(768).half()}, tmp_path / "cat.safetensors")
    found = read_embeddings(tmp_path / "cat.safetensors")
    assert (found.placeholder, found.embeddings.dtype) == ("cat", torch.float32)


def test_a1111_says_what_its_tokens_came_from(tmp_path: Path) -> None:
    content = {
        **{"string_to_token": {"*": 265}, "string_to_param": {"*": torch.ones(2, 768)}, "name": "cat", "step": 300},
        **{"sd_checkpoint": "81761151", "sd_checkpoint_name": "v1-5-pruned"},
    }
    torch.save(content, tmp_path / "cat.pt")
    found = read_embeddings(tmp_path / "cat.pt")
    assert found.placeholder == "cat"
    assert found.metadata == {"step": "300", "model_hash": "81761151", "model": "v1-5-pruned"}


@pytest.mark.parametrize("name", ["a.pt", "a.bin", "a.safetensors"])
@pytest.mark.parametrize("content", [None, b"", b"text", b"PK\x03\x04", b"\x80\x02}q\x00."])
def test_damaged_files_are_one_line(tmp_path: Path, name: str, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=rf"{name} (cannot be read as learned tokens|holds nothing)") as told:
        read_embeddings(tmp_path / name)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize(
    "tensors",
    [
        {"a": torch.ones(2, 4), "b": torch.ones(2, 4)},
        {"a": torch.ones(2, 3, 4)},
        {"a": torch.ones(2, 4, dtype=torch.int64)},
        {"a": torch.full((2, 4), torch.nan)},
        {"clip_l": torch.ones(2, 768), "clip_g": torch.ones(3, 1280)},
        {"unet.lora_up.weight": torch.ones(4, 4), "unet.lora_down.weight": torch.ones(4, 4)},
    ],
)
def test_other_tensors_are_refused(tmp_path: Path, tensors: dict[str, torch.Tensor]) -> None:
    save_file(tensors, tmp_path / "other.safetensors")
    with pytest.raises(UserError, match=r"other\.safetensors (holds|cannot be read as learned tokens)") as told:
        read_embeddings(tmp_path / "other.safetensors")
    assert "\n" not in str(told.value)


def test_a_pickle_runs_no_code(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self):
            return (tmp_path.joinpath("ran").touch, ())

    torch.save(Evil(), tmp_path / "evil.pt")
    with pytest.raises(UserError, match="holds more than weights"):
        read_embeddings(tmp_path / "evil.pt")
    assert not (tmp_path / "ran").exists()


def test_an_unknown_form_lists_the_known(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"to=kohya: expected one of diffusers, a1111, comfyui"):
        write_embeddings("kohya", tmp_path / "x", mug(1))
