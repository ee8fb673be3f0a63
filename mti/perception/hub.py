"""A model's folder, wherever it is: on disk, in the Hugging Face cache, or to be downloaded."""

from __future__ import annotations

from pathlib import Path

from huggingface_hub import HfApi, snapshot_download

from mti.types import UserError


def model_folder(path: str) -> str:
    """The folder of a model given as a folder or as a hub name; downloaded at first use, with a progress bar.

    Raises `UserError` at once where the libraries' own loaders would retry for minutes.
    """
    if Path(path).is_dir():
        return path
    try:
        files = [sibling.rfilename for sibling in HfApi().model_info(path, timeout=10).siblings or []]
        weights = "*.safetensors" if any(file.endswith(".safetensors") for file in files) else "*.bin"
        return snapshot_download(path, allow_patterns=["*.json", "*.txt", "*.model", weights])
    except Exception as error:  # whatever the hub and the network raise
        return _cached(path, type(error).__name__)


def _cached(path: str, reason: str) -> str:
    try:
        return snapshot_download(path, local_files_only=True)
    except Exception:
        raise UserError(
            f"{path} is no folder, not in the Hugging Face cache and cannot be fetched from the hub ({reason}): "
            f"check the name, or run `hf download {path}` on a machine with a network and copy the cache here"
        ) from None
