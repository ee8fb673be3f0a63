"""Where a Stable Diffusion pipeline's files are: a shipped model, a folder, the hub's cache, or the hub."""

from __future__ import annotations

import re
from pathlib import Path

from huggingface_hub import snapshot_download
from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError

from mti.pocket_weights import weights_path
from mti.types import UserError

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
    cached = _snapshot(path, revision, variant, offline=True)
    if isinstance(cached, Path) and not missing_files(cached, variant):
        return cached
    folder = _snapshot(path, revision, variant, offline=False)
    missing = missing_files(folder, variant) if isinstance(folder, Path) else []
    if isinstance(folder, Path) and not missing:
        return folder
    fault = f"{', '.join(missing)} is not in it" if missing else _explained(folder)
    raise UserError(
        f"model.path={path} is neither a folder, nor whole in the hub's cache, nor to be had from the hub ({fault}): "
        f"get it where there is a network with `hf download {path}`, or give a folder with model.path=/folder"
    )


def _snapshot(path: str, revision: str | None, variant: str | None, offline: bool) -> Path | Exception:
    """The hub's files in the cache, or what went wrong: the hub's client raises exceptions of many families."""
    wanted = [*pipeline_files(variant), "tokenizer/*"]
    try:
        return Path(snapshot_download(path, revision=revision, allow_patterns=wanted, local_files_only=offline))
    except Exception as error:
        return error


def _explained(error: object) -> str:
    match error:
        case GatedRepoError():
            return "its terms must be accepted on its page there first, then `hf auth login`"
        case RepositoryNotFoundError():
            return "which knows no such model, or not for you"
        case RevisionNotFoundError():
            return "which knows no such model.revision"
        case _:
            return "which cannot be reached"
