from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import forms
import pytest
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from huggingface_hub import constants
from safetensors.torch import load_file, save_file
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

from mti.models import single_file
from mti.models.pretrained import PretrainedModel
from mti.models.sd import StableDiffusion
from mti.models.single_file import CONFIGS, check_file, predicts_v
from mti.types import UserError

RESNET = {
    "unet": {
        **{"norm1": "in_layers.0", "conv1": "in_layers.2", "norm2": "out_layers.0", "conv2": "out_layers.3"},
        **{"time_emb_proj": "emb_layers.1", "conv_shortcut": "skip_connection"},
    },
    "vae": {"conv_shortcut": "nin_shortcut"},
}
UNET = [  # of two levels with one block each: diffusers' names, the original's
    *(("time_embedding.linear_1", "time_embed.0"), ("time_embedding.linear_2", "time_embed.2")),
    *(("conv_in", "input_blocks.0.0"), ("conv_norm_out", "out.0"), ("conv_out", "out.2")),
    *(("down_blocks.0.resnets.0", "input_blocks.1.0"), ("down_blocks.0.downsamplers.0.conv", "input_blocks.2.0.op")),
    *(("down_blocks.1.resnets.0", "input_blocks.3.0"), ("down_blocks.1.attentions.0", "input_blocks.3.1")),
    *(("mid_block.resnets.0", "middle_block.0"), ("mid_block.attentions.0", "middle_block.1")),
    ("mid_block.resnets.1", "middle_block.2"),
    *(("up_blocks.0.resnets.0", "output_blocks.0.0"), ("up_blocks.0.attentions.0", "output_blocks.0.1")),
    *(("up_blocks.0.resnets.1", "output_blocks.1.0"), ("up_blocks.0.attentions.1", "output_blocks.1.1")),
    ("up_blocks.0.upsamplers.0.conv", "output_blocks.1.2.conv"),
    *(("up_blocks.1.resnets.0", "output_blocks.2.0"), ("up_blocks.1.resnets.1", "output_blocks.3.0")),
]
ATTENTION = {"group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "proj_out"}


def original_unet(name: str) -> str:
    """The original name of a weight of the tiny U-Net."""
    for start, original in sorted(UNET, key=lambda pair: -len(pair[0])):
        if name.startswith(f"{start}."):
            rest = name.removeprefix(f"{start}.")
            for ours, theirs in RESNET["unet"].items():
                rest = re.sub(rf"^{ours}\.", f"{theirs}.", rest) if "resnets" in start else rest
            return f"model.diffusion_model.{original}.{rest}"
    raise AssertionError(name)


def original_vae(name: str) -> str:
    """The original name of a weight of the tiny autoencoder, of three levels."""
    name = re.sub(r"mid_block\.attentions\.0\.", "mid.attn_1.", name)
    name = re.sub(r"mid_block\.resnets\.(\d)", lambda found: f"mid.block_{int(found[1]) + 1}", name)
    name = re.sub(r"down_blocks\.(\d)\.resnets\.(\d)", r"down.\1.block.\2", name)
    name = re.sub(r"down_blocks\.(\d)\.downsamplers\.0", r"down.\1.downsample", name)
    name = re.sub(r"up_blocks\.(\d)\.resnets\.(\d)", lambda found: f"up.{2 - int(found[1])}.block.{found[2]}", name)
    name = re.sub(r"up_blocks\.(\d)\.upsamplers\.0", lambda found: f"up.{2 - int(found[1])}.upsample", name)
    name = name.replace("conv_norm_out", "norm_out").replace("conv_shortcut", "nin_shortcut")
    if "attn_1" in name:
        for ours, theirs in ATTENTION.items():
            name = name.replace(f".{ours}.", f".{theirs}.")
    return f"first_stage_model.{name}"


def checkpoint(folder: Path) -> dict[str, torch.Tensor]:
    """A pipeline's weights under the names of the original program."""
    unet = load_file(folder / "unet" / "diffusion_pytorch_model.safetensors")
    vae = load_file(folder / "vae" / "diffusion_pytorch_model.safetensors")
    text = load_file(folder / "text_encoder" / "model.safetensors")
    tensors = {original_unet(name): tensor for name, tensor in unet.items()}
    for name, tensor in vae.items():
        square = "attn_1" in original_vae(name) and tensor.ndim == 2
        tensors[original_vae(name)] = tensor[:, :, None, None] if square else tensor
    start = "cond_stage_model.transformer.text_model."
    return tensors | {start + name.removeprefix("text_model."): tensor for name, tensor in text.items()}


@pytest.fixture
def configs(monkeypatch: pytest.MonkeyPatch, tiny_sd_folder: Path, tmp_path: Path) -> Path:
    """The tiny model's architecture in place of Stable Diffusion 1's, and no network."""
    shutil.copytree(CONFIGS, tmp_path / "configs")
    for part in ("unet", "vae", "text_encoder", "scheduler"):
        for file in (tiny_sd_folder / part).glob("*.json"):
            shutil.copy(file, tmp_path / "configs" / "sd1" / part / file.name)
    monkeypatch.setattr(single_file, "CONFIGS", tmp_path / "configs")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    return tmp_path / "configs"


@pytest.mark.parametrize("ending", ["safetensors", "ckpt"])
def test_a_file_is_the_same_model_as_its_folder(
    configs: Path, tiny_sd: StableDiffusion, tiny_sd_folder: Path, tmp_path: Path, ending: str
) -> None:
    file = tmp_path / f"mine.{ending}"
    tensors = checkpoint(tiny_sd_folder)
    if ending == "ckpt":
        torch.save({"state_dict": tensors, "global_step": 5}, file)
    else:
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, file)
    found = PretrainedModel(str(file), precision="fp32")
    (need,) = found.wanted()
    assert (need.source, need.is_local) == ("openai/clip-vit-large-patch14", False)
    shutil.copytree(tiny_sd_folder / "tokenizer", tmp_path / "tokenizer")
    assert found.wanted() == []
    found.check()
    model = found.load()
    assert (model.name, model.resolution, model.context_length) == ("mine", 32, 24)
    ids = torch.tensor([model.with_special_tokens(model.token_ids("a photo of a red teapot"))])
    assert ids[0].tolist() == tiny_sd.with_special_tokens(tiny_sd.token_ids("a photo of a red teapot"))
    noisy = torch.randn(1, *model.latent_shape, generator=torch.Generator().manual_seed(0))
    texts = [each.encode_text(ids, each.embedding[:0]) for each in (model, tiny_sd)]
    for one, two in (
        texts,
        [each.denoise(noisy, torch.tensor([300]), texts[0]) for each in (model, tiny_sd)],
        [each.decode(noisy) for each in (model, tiny_sd)],
    ):
        torch.testing.assert_close(one, two, atol=1e-6, rtol=0)


def test_a_file_that_lacks_a_tensor_is_refused(configs: Path, tiny_sd_folder: Path, tmp_path: Path) -> None:
    tensors = checkpoint(tiny_sd_folder)
    tensors.pop("model.diffusion_model.out.2.weight")
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, tmp_path / "mine.safetensors")
    shutil.copytree(tiny_sd_folder / "tokenizer", tmp_path / "tokenizer")
    with pytest.raises(UserError, match=r"lacks weights of sd1, or has them in other sizes \("):
        PretrainedModel(str(tmp_path / "mine.safetensors")).load()


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"model.diffusion_model.joint_blocks.0.x": 4}, "Stable Diffusion 3 is not supported: expected Stable Diff"),
        ({"double_blocks.0.img_attn.qkv.weight": 4}, "Flux is not supported"),
        ({"lora_unet_down_blocks_0.lora_up.weight": 4}, "a LoRA is not supported"),
        ({"emb_params": 4}, "learned tokens is not supported"),
        ({"conditioner.embedders.0.model.x": 4, single_file.FIRST: 4}, "the refiner of Stable Diffusion XL is not"),
        ({"x": 1}, "something else is not supported"),
        ({"cond_stage_model.transformer.x": 4, single_file.FIRST: 9}, "its U-Net takes 9 channels"),
    ],
)
def test_other_models_are_named(tmp_path: Path, keys: dict[str, int], words: str) -> None:
    file = tmp_path / "other.safetensors"
    save_file({name: torch.zeros(1, channels) for name, channels in keys.items()}, file)
    with pytest.raises(UserError, match=words) as told:
        PretrainedModel(str(file)).check()
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("name", ["a.safetensors", "a.ckpt"])
@pytest.mark.parametrize("content", [b"", b"no weights", b"\x80\x02."])
def test_damaged_files_are_one_line(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=rf"{name} cannot be read as weights") as told:
        PretrainedModel(str(tmp_path / name)).check()
    assert "\n" not in str(told.value)


def test_a_checkpoint_runs_no_code(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self):
            return (tmp_path.joinpath("ran").touch, ())

    torch.save({"state_dict": Evil()}, tmp_path / "evil.ckpt")
    with pytest.raises(UserError, match="holds more than weights"):
        PretrainedModel(str(tmp_path / "evil.ckpt")).check()
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("start", "architecture"),
    [("cond_stage_model.model.", "sd2"), ("conditioner.embedders.1.model.", "sdxl")],
)
def test_the_text_encoder_tells_the_architecture(tmp_path: Path, start: str, architecture: str) -> None:
    file = tmp_path / "mine.safetensors"
    save_file({f"{start}x": torch.zeros(1), single_file.FIRST: torch.zeros(1, 4)}, file)
    assert check_file(file) == architecture


@pytest.mark.parametrize(
    ("part", "counts"),
    [
        ("unet", {"sd1": 859_520_964, "sd2": 865_910_724, "sdxl": 2_567_463_684}),
        ("vae", {"sd1": 83_653_863, "sd2": 83_653_863, "sdxl": 83_653_863}),
        ("text_encoder", {"sd1": 123_060_480, "sd2": 340_387_840, "sdxl": 123_060_480}),
        ("text_encoder_2", {"sdxl": 694_659_840}),
    ],
)
def test_the_architectures_have_as_many_weights_as_the_published_models(part: str, counts: dict[str, int]) -> None:
    for architecture, count in counts.items():
        config = json.loads((CONFIGS / architecture / part / "config.json").read_text())
        with torch.device("meta"):
            match part:
                case "unet":
                    network = UNet2DConditionModel.from_config(config)
                case "vae":
                    network = AutoencoderKL.from_config(config)
                case "text_encoder":
                    network = CLIPTextModel(CLIPTextConfig(**config))
                case _:
                    network = CLIPTextModelWithProjection(CLIPTextConfig(**config))
        assert sum(weight.numel() for weight in network.parameters()) == count


def test_openclips_tokenizer_pads_with_an_exclamation_mark(configs: Path, tiny_sd_folder: Path, tmp_path: Path) -> None:
    from transformers import CLIPTokenizer

    shutil.copytree(tiny_sd_folder / "tokenizer", tmp_path / "tokenizer")
    pads = {
        architecture: single_file.PipelineFile(tmp_path / "x.safetensors", architecture).tokenizer(part, CLIPTokenizer)
        for architecture, part in (("sd1", "tokenizer"), ("sd2", "tokenizer"), ("sdxl", "tokenizer_2"))
    }
    assert [pads[name].pad_token for name in ("sd1", "sd2", "sdxl")] == ["<|endoftext|>", "!", "!"]
    assert pads["sd2"].pad_token_id == 0


def test_a_network_that_gives_back_its_input_predicts_noise() -> None:
    class Network:
        config = {"cross_attention_dim": 8}  # noqa: RUF012

        def __init__(self, factor: float) -> None:
            self.factor = factor

        def __call__(self, latent, timestep, text):
            return type("Output", (), {"sample": self.factor * latent})

    assert not predicts_v(Network(1.0))
    assert predicts_v(Network(-3.0))


def test_forms_have_the_cases_script_names(tmp_path: Path, tiny_sd_folder: Path) -> None:
    """The U-Net of Stable Diffusion 2 says the width of its heads in a list."""
    folder = Path(shutil.copytree(tiny_sd_folder, tmp_path / "sd"))
    forms.rewrite(folder / "unet" / "config.json", lambda config: config.update(attention_head_dim=[4, 4]))
    assert PretrainedModel(str(folder), precision="fp32").load().latent_shape == (4, 8, 8)
