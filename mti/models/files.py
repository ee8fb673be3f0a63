"""The files of a Stable Diffusion pipeline."""

from __future__ import annotations

import re
from pathlib import Path

from mti.types import UserError
from mti.weights import Wanted, model_folder, weights_path

HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")


def pipeline_files(variant: str | None) -> Wanted:
    """The files of a pipeline folder that are read; there are more, such as a safety checker's."""
    suffix = f".{variant}.safetensors" if variant else ".safetensors"
    return Wanted(
        "a Stable Diffusion pipeline in diffusers' format with model.path=/folder "
        f"(model.variant={variant or 'null'} is part of the names of its weights)",
        (
            ("scheduler/scheduler_config.json",),
            ("tokenizer/tokenizer_config.json",),
            ("tokenizer/tokenizer.json", "tokenizer/vocab.json"),
            ("tokenizer/tokenizer.json", "tokenizer/merges.txt"),
            ("text_encoder/config.json",),
            (f"text_encoder/model{suffix}",),
            ("vae/config.json",),
            (f"vae/diffusion_pytorch_model{suffix}",),
            ("unet/config.json",),
            (f"unet/diffusion_pytorch_model{suffix}",),
        ),
        along=("tokenizer/*",),
        unread=(),
    )


def check_folder(path: str, variant: str | None) -> None:
    """Raise a `UserError` if `path` is a folder that lacks files, or nothing at all. Asks no network."""
    folder = weights_path(path)
    if folder.is_dir():
        model_folder(path, pipeline_files(variant), "model.path=")
    elif not HUB_NAME.fullmatch(path):
        raise UserError(
            f"model.path={path}: there is no folder {folder}; give a folder, or a name on the Hugging Face hub "
            "such as stable-diffusion-v1-5/stable-diffusion-v1-5"
        )


def pipeline_folder(path: str, revision: str | None, variant: str | None) -> Path:
    """The folder that holds a pipeline's files; a `UserError` if one is nowhere to be had."""
    check_folder(path, variant)
    return model_folder(path, pipeline_files(variant), "model.path=", revision, download=True)
