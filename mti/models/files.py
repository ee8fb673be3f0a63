"""Where a Stable Diffusion pipeline's files are: a shipped model, a folder, the hub's cache, or the hub."""

from __future__ import annotations

import re
from pathlib import Path

from huggingface_hub import HfApi, snapshot_download
from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError

from mti.pocket_weights import weights_path
from mti.types import UserError

PATIENCE = 10  # seconds that the hub has to answer
HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")


def pipeline_files(variant: str | None) -> list[str]:
    """The files of a pipeline folder that are read; there are more, such as a safety checker's."""
    suffix = f".{variant}.safetensors" if variant else ".safetensors"
    return [
        "scheduler/scheduler_config.json",
        "tokenizer/tokenizer_config.json",
        "text_encoder/config.json",
        f"text_encoder/model{suffix}",
        "vae/config.json",
        f"vae/diffusion_pytorch_model{suffix}",
        "unet/config.json",
        f"unet/diffusion_pytorch_model{suffix}",
    ]


def missing_files(folder: Path, variant: str | None) -> list[str]:
    """What a pipeline folder lacks."""
    missing = [name for name in pipeline_files(variant) if not (folder / name).is_file()]
    vocabulary = [folder / "tokenizer" / name for name in ("tokenizer.json", "vocab.json", "merges.txt")]
    tokenizer, names, merges = (path.is_file() for path in vocabulary)
    return missing if tokenizer or (names and merges) else [*missing, "tokenizer/vocab.json and merges.txt"]


def check_folder(path: str, variant: str | None) -> None:
    """Raise a `UserError` if `path` is a folder that lacks files, or nothing at all. Asks no network."""
    folder = Path(weights_path(path)).expanduser()
    if folder.is_dir():
        missing = missing_files(folder, variant)
        if missing:
            raise UserError(
                f"model.path={path} lacks {', '.join(missing)}: give the folder of a Stable Diffusion pipeline "
                f"in diffusers' format (model.variant={variant or 'null'} is part of the names of its weights)"
            )
    elif not HUB_NAME.fullmatch(path):
        raise UserError(
            f"model.path={path}: there is no folder {folder}; give a folder, or a name on the Hugging Face hub "
            "such as stable-diffusion-v1-5/stable-diffusion-v1-5"
        )


def pipeline_folder(path: str, revision: str | None, variant: str | None) -> Path:
    """The folder that holds a pipeline's files. Whatever of a hub name is not in the cache is downloaded.

    Raises:
        UserError: a file is nowhere to be had.
    """
    check_folder(path, variant)
    folder = Path(weights_path(path)).expanduser()
    if folder.is_dir():
        return folder
    lacking: list[str] = []
    for offline in (True, False):
        found = _snapshot(path, revision, variant, offline)
        if isinstance(found, Path):
            lacking = missing_files(found, variant)
            if not lacking:
                return found
    partly = f" (where {', '.join(lacking)} is missing)" if lacking else ""
    raise UserError(
        f"model.path={path} is neither a folder, nor whole in the hub's cache{partly}, nor to be had from the hub, "
        f"{_explained(found)}: get it where there is a network with `hf download {path}`, or give a folder "
        "with model.path=/folder"
    )


def _snapshot(path: str, revision: str | None, variant: str | None, offline: bool) -> Path | Exception:
    """The hub's files in the cache, or what went wrong: the hub's client raises exceptions of many families."""
    wanted = [*pipeline_files(variant), "tokenizer/*"]
    try:
        if not offline:
            HfApi().model_info(path, revision=revision, timeout=PATIENCE)  # a download itself would wait for ever
        return Path(snapshot_download(path, revision=revision, allow_patterns=wanted, local_files_only=offline))
    except Exception as error:
        return error


def _explained(answer: Path | Exception) -> str:
    match answer:
        case Path():
            return "which lacks them too (model.variant=null reads the full-precision files)"
        case GatedRepoError():
            return "where its terms must be accepted on its page first, then `hf auth login`"
        case RepositoryNotFoundError():
            return "which knows no such model, or not for you"
        case RevisionNotFoundError():
            return "which knows no such model.revision"
        case _:
            return "which cannot be reached"
