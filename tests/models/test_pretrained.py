from __future__ import annotations

import json
import shutil
from pathlib import Path

import forms
import pytest
import torch
from huggingface_hub import constants
from hydra import compose, initialize_config_dir

from mti.models.files import pipeline_files, weight_forms
from mti.models.pretrained import PretrainedModel
from mti.models.sd import StableDiffusion
from mti.types import LatentDiffusion, UserError
from mti.weights import missing_files

CONF = Path(__file__).parents[2] / "conf"


@pytest.fixture
def folder(tiny_sd_folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_sd_folder, tmp_path / "sd"))


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    return tmp_path / "cache"


def same(model: LatentDiffusion, other: LatentDiffusion, atol: float = 0.0) -> None:
    """The same pictures, texts and predictions."""
    assert model.token_ids("a photo of a red teapot, *") == other.token_ids("a photo of a red teapot, *")
    ids = torch.tensor([other.with_special_tokens(other.token_ids("a photo of a cat"))])
    assert ids[0].tolist() == model.with_special_tokens(model.token_ids("a photo of a cat"))
    noisy = torch.randn(1, *other.latent_shape, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        for one, two in (
            (model.encode_text(ids, model.embedding[:0]), other.encode_text(ids, other.embedding[:0])),
            (model.decode(noisy), other.decode(noisy)),
        ):
            torch.testing.assert_close(one, two, atol=atol, rtol=0)
        text = other.encode_text(ids, other.embedding[:0])
        one, two = (each.denoise(noisy, torch.tensor([500]), text) for each in (model, other))
        torch.testing.assert_close(one, two, atol=atol, rtol=0)
    assert torch.equal(model.alphas_cumprod, other.alphas_cumprod)


@pytest.mark.parametrize("form", [forms.as_bin, forms.sharded, forms.of_2022, forms.dreambooth])
def test_any_form_is_the_same_model_and_loads_without_a_word(
    folder: Path, tiny_sd: StableDiffusion, form, capsys: pytest.CaptureFixture[str]
) -> None:
    form(folder)
    found = PretrainedModel(str(folder), precision="fp32", variant="fp16")
    found.check()
    same(found.load(), tiny_sd)
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("variant", [None, "fp16"])
def test_half_precision_files_are_read_where_there_are_no_others(
    folder: Path, tiny_sd: StableDiffusion, variant: str | None
) -> None:
    forms.as_fp16(folder)
    model = PretrainedModel(str(folder), precision="fp32", variant=variant).load()
    same(model, tiny_sd, atol=0.01)
    assert model.embedding.dtype == torch.float32
    assert not torch.equal(model.embedding, tiny_sd.embedding)


def test_a_variant_is_preferred_and_no_demand() -> None:
    names = ("model", "pytorch_model")
    assert weight_forms(names, None)[0] == "model.safetensors"
    assert weight_forms(names, "fp16")[:5] == [
        "model.fp16.safetensors",
        "model.safetensors.index.fp16.json",
        "pytorch_model.fp16.bin",
        "pytorch_model.bin.index.fp16.json",
        "model.safetensors",
    ]
    assert set(weight_forms(names, None)) == set(weight_forms(names, "fp16"))


@pytest.mark.parametrize("revision", [None, "main", forms.COMMIT])
def test_a_hub_name_loads_from_the_cache(
    cache: Path, tiny_sd_folder: Path, tiny_sd: StableDiffusion, revision: str | None
) -> None:
    forms.in_cache(cache, tiny_sd_folder)
    found = PretrainedModel("org/tiny", precision="fp32", revision=revision)
    found.check()
    (need,) = found.wanted()
    assert need.is_local
    model = found.load()
    assert model.name == "tiny"
    same(model, tiny_sd)


def test_a_cache_folder_loads_too(cache: Path, tiny_sd_folder: Path, tiny_sd: StableDiffusion) -> None:
    snapshot = forms.in_cache(cache, tiny_sd_folder)
    found = PretrainedModel(str(snapshot.parents[1]), precision="fp32")
    assert found.wanted() == []
    same(found.load(), tiny_sd)


def test_what_is_not_in_the_cache_is_wanted(cache: Path, tiny_sd_folder: Path) -> None:
    found = PretrainedModel("org/tiny", name="mine")
    with pytest.raises(UserError, match=r"^model\.path=org/tiny is not in the cache .*`python -m mti\.download`"):
        found.check()
    (need,) = found.wanted()
    assert (need.what, need.source, need.is_local, need.place) == ("the model mine", "org/tiny", False, cache)
    (forms.in_cache(cache, tiny_sd_folder) / "unet" / "config.json").unlink()
    (need,) = found.wanted()
    assert not need.is_local
    with pytest.raises(UserError, match=r"lacks unet/config\.json"):
        found.check()
    with pytest.raises(UserError, match=r"^model\.path=org/tiny: org/tiny cannot be downloaded: the hub cannot be"):
        need.fetch()


def test_a_path_that_leads_nowhere_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"there is no folder or file .*nowhere"):
        PretrainedModel(str(tmp_path / "nowhere")).check()


def test_a_folder_that_lacks_files_is_named(folder: Path) -> None:
    (folder / "text_encoder" / "model.safetensors").unlink()
    with pytest.raises(UserError, match=r"lacks text_encoder/model\.safetensors or another form"):
        PretrainedModel(str(folder)).check()
    (folder / "model_index.json").unlink()
    with pytest.raises(UserError, match=r"has no model_index\.json: give the folder of a pipeline"):
        PretrainedModel(str(folder)).check()


def test_a_folder_lacks_the_shards_that_its_index_names(folder: Path) -> None:
    forms.sharded(folder)
    (folder / "unet" / "diffusion_pytorch_model-00002-of-00002.safetensors").unlink()
    with pytest.raises(UserError, match=r"lacks unet/diffusion_pytorch_model-00002-of-00002\.safetensors"):
        PretrainedModel(str(folder)).check()


@pytest.mark.parametrize("kind", ["StableDiffusion3Pipeline", "FluxPipeline", "StableDiffusionInpaintPipeline", None])
def test_what_is_not_supported_is_named_before_anything_is_loaded(folder: Path, kind: str | None) -> None:
    forms.rewrite(folder / "model_index.json", lambda index: index.update(_class_name=kind))
    with pytest.raises(
        UserError, match=rf"a {kind} is not supported: expected one of StableDiffusionPipeline, "
    ) as told:
        PretrainedModel(str(folder)).check()
    assert "\n" not in str(told.value)


def test_nine_channels_are_an_inpainting_model(folder: Path) -> None:
    forms.rewrite(folder / "unet" / "config.json", lambda config: config.update(in_channels=9))
    with pytest.raises(UserError, match="its U-Net takes 9 channels and its latents have 4, as of a model for inpaint"):
        PretrainedModel(str(folder)).check()


@pytest.mark.parametrize("content", ["{", "[]", "\udcff"])
def test_a_damaged_configuration_is_one_line(folder: Path, content: str) -> None:
    (folder / "unet" / "config.json").write_bytes(content.encode("utf-8", "surrogateescape"))
    with pytest.raises(UserError, match=r"unet/config\.json .*: download it again"):
        PretrainedModel(str(folder)).check()


@pytest.mark.parametrize("part", ["text_encoder", "vae", "unet"])
@pytest.mark.parametrize("form", [None, forms.as_bin])
def test_damaged_weights_are_one_line(folder: Path, part: str, form) -> None:
    if form:
        form(folder)
    file = next(file for file in (folder / part).iterdir() if file.suffix in (".safetensors", ".bin"))
    file.write_bytes(file.read_bytes()[:2000])
    with pytest.raises(UserError, match=rf"{file.name} cannot be loaded as a ") as told:
        PretrainedModel(str(folder)).load()
    assert "\n" not in str(told.value)


def test_weights_that_lack_a_tensor_are_refused(folder: Path) -> None:
    forms.rewrite(folder / "text_encoder" / "config.json", lambda config: config.update(num_hidden_layers=3))
    with pytest.raises(UserError, match=r"lacks weights of its CLIPTextModel: encoder\.layers\.2"):
        PretrainedModel(str(folder)).load()


def test_a_schedule_without_betas_is_refused(folder: Path) -> None:
    scheduler = {"_class_name": "FlowMatchEulerDiscreteScheduler", "num_train_timesteps": 1000, "shift": 3.0}
    (folder / "scheduler" / "scheduler_config.json").write_text(json.dumps(scheduler))
    with pytest.raises(UserError, match="under a FlowMatchEulerDiscreteScheduler: expected a model of epsilon"):
        PretrainedModel(str(folder)).load()


def test_other_files_of_a_repository_are_not_read() -> None:
    repository = [
        *("model_index.json", "README.md", "v1-5-pruned.ckpt", "v1-5-pruned-emaonly.safetensors"),
        *("scheduler/scheduler_config.json", "feature_extractor/preprocessor_config.json"),
        *(f"tokenizer/{name}" for name in ("vocab.json", "merges.txt", "tokenizer_config.json")),
        "tokenizer/special_tokens_map.json",
        *("safety_checker/config.json", "safety_checker/model.safetensors"),
        *(f"text_encoder/{name}" for name in ("config.json", "model.safetensors", "model.fp16.safetensors")),
        *("text_encoder/pytorch_model.bin", "unet/config.json", "vae/config.json"),
        *(
            f"{part}/diffusion_pytorch_model{kind}"
            for part in ("unet", "vae")
            for kind in (".safetensors", ".fp16.safetensors", ".bin", ".non_ema.safetensors")
        ),
    ]
    read = pipeline_files("StableDiffusionPipeline", "fp16").chosen(repository)
    assert [name for name in read if "safetensors" in name or ".bin" in name] == [
        "text_encoder/model.fp16.safetensors",
        "unet/diffusion_pytorch_model.fp16.safetensors",
        "vae/diffusion_pytorch_model.fp16.safetensors",
    ]
    assert len(read) == 12


def test_missing_files_say_which_would_do(tmp_path: Path) -> None:
    missing = missing_files(tmp_path, pipeline_files("StableDiffusionPipeline", None))
    assert "tokenizer/tokenizer.json or tokenizer/vocab.json" in missing
    assert "tokenizer/tokenizer.json or tokenizer/merges.txt" in missing


@pytest.mark.parametrize("choice", ["pocket", "sd14", "sd15", "sd21", "sd21_base", "ldm256", "sdxl"])
def test_every_choice_names_a_path_and_itself(choice: str) -> None:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        model = dict(compose("run", [f"model={choice}"]).model)
    assert model.pop("_target_") == "mti.models.pretrained.PretrainedModel"
    assert model["name"] == choice
    assert PretrainedModel(**model).path == model["path"]
