"""The forms that people have a Stable Diffusion in, made of a folder that diffusers saved."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

NETWORKS = {"text_encoder": "model", "vae": "diffusion_pytorch_model", "unet": "diffusion_pytorch_model"}
COMMIT = "0123456789abcdef0123456789abcdef01234567"


def rewrite(file: Path, change: Callable[[dict], object]) -> None:
    """Change a JSON file."""
    record = json.loads(file.read_text())
    change(record)
    file.write_text(json.dumps(record))


def as_bin(folder: Path) -> None:
    """All weights as `.bin`."""
    for part, stem in NETWORKS.items():
        file = folder / part / f"{stem}.safetensors"
        torch.save(load_file(file), folder / part / f"{'pytorch_model' if stem == 'model' else stem}.bin")
        file.unlink()


def as_fp16(folder: Path) -> None:
    """The U-Net and the text encoder in half precision alone."""
    for part in ("text_encoder", "unet"):
        file = folder / part / f"{NETWORKS[part]}.safetensors"
        halves = {name: tensor.half() for name, tensor in load_file(file).items()}
        save_file(halves, file.with_suffix(".fp16.safetensors"), metadata={"format": "pt"})
        file.unlink()


def sharded(folder: Path) -> None:
    """The U-Net in two files with an index, its text encoder's `.bin` too."""
    file = folder / "unet" / "diffusion_pytorch_model.safetensors"
    _shards(file, lambda tensors, name: save_file(tensors, name, metadata={"format": "pt"}))
    as_bin_part = folder / "text_encoder" / "pytorch_model.bin"
    torch.save(load_file(folder / "text_encoder" / "model.safetensors"), as_bin_part)
    (folder / "text_encoder" / "model.safetensors").unlink()
    _shards(as_bin_part, torch.save)


def _shards(file: Path, save: Callable[[dict, Path], object]) -> None:
    tensors = load_file(file) if file.suffix == ".safetensors" else torch.load(file, weights_only=True)
    names = sorted(tensors)
    index = {}
    for number, part in enumerate((names[::2], names[1::2]), 1):
        shard = file.with_name(f"{file.stem}-{number:05d}-of-00002{file.suffix}")
        save({name: tensors[name] for name in part}, shard)
        index |= dict.fromkeys(part, shard.name)
    size = sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
    (file.with_name(f"{file.name}.index.json")).write_text(
        json.dumps({"metadata": {"total_size": size}, "weight_map": index})
    )
    file.unlink()


def of_2022(folder: Path) -> None:
    """What Stable Diffusion 1.5's repository has."""
    (folder / "tokenizer" / "tokenizer.json").unlink()
    rewrite(folder / "tokenizer" / "tokenizer_config.json", lambda config: config.pop("backend", None))
    file = folder / "vae" / "diffusion_pytorch_model.safetensors"
    old = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
    keys = {name: re.sub("|".join(map(re.escape, old)), lambda found: old[found[0]], name) for name in load_file(file)}
    save_file({keys[name]: tensor for name, tensor in load_file(file).items()}, file, metadata={"format": "pt"})
    rewrite(folder / "vae" / "config.json", lambda config: config.pop("scaling_factor"))
    file = folder / "text_encoder" / "model.safetensors"
    tensors = {f"text_model.{name.removeprefix('text_model.')}": tensor for name, tensor in load_file(file).items()}
    tensors["text_model.embeddings.position_ids"] = torch.arange(24)[None]
    save_file(tensors, file, metadata={"format": "pt"})
    pndm = {
        **{"_class_name": "PNDMScheduler", "_diffusers_version": "0.6.0", "beta_end": 0.012},
        **{"beta_schedule": "scaled_linear", "beta_start": 0.00085, "num_train_timesteps": 1000},
        **{"set_alpha_to_one": False, "skip_prk_steps": True, "steps_offset": 1, "trained_betas": None},
        "clip_sample": False,
    }
    (folder / "scheduler" / "scheduler_config.json").write_text(json.dumps(pndm))


def dreambooth(folder: Path) -> None:
    """What a training script saves: another scheduler, a safety checker that is not read."""
    solver = {
        **{"_class_name": "DPMSolverMultistepScheduler", "beta_end": 0.012, "beta_start": 0.00085},
        **{"beta_schedule": "scaled_linear", "algorithm_type": "dpmsolver++", "solver_order": 2},
        **{"prediction_type": "epsilon", "timestep_spacing": "linspace", "use_karras_sigmas": True},
    }
    (folder / "scheduler" / "scheduler_config.json").write_text(json.dumps(solver))
    (folder / "safety_checker").mkdir()


def in_cache(cache: Path, folder: Path) -> Path:
    """A folder as org/tiny in a cache of the hub; its snapshot there."""
    repository = cache / "models--org--tiny"
    shutil.copytree(folder, repository / "snapshots" / COMMIT)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(COMMIT)
    return repository / "snapshots" / COMMIT
