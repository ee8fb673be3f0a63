"""Weights that lie on this machine already: looked for, and never fetched."""

from __future__ import annotations

from pathlib import Path

import torch
from huggingface_hub import constants, snapshot_download

from mti.pocket_weights import weights_path
from mti.types import UserError

FILES = (  # of a transformers model; one of each
    ("config.json",),
    ("preprocessor_config.json", "processor_config.json"),
    ("model.safetensors", "pytorch_model.bin"),
)


def checkpoint(url: str, what: str, path: str | None = None) -> Path:
    """The file that torch's hub keeps of a URL, or the one given.

    Raises:
        UserError: it is not there; says what it is, where it was looked for and how to get it.
    """
    file = Path(path).expanduser() if path else Path(torch.hub.get_dir(), "checkpoints", url.rpartition("/")[2])
    if file.is_file():
        return file
    if path:
        raise UserError(f"{what}: there is no file {file}; leave the path out to look where torch keeps its downloads")
    raise UserError(
        f'{what}: not found at {file}; get it with `python -c "import torch; '
        f"torch.hub.load_state_dict_from_url('{url}', check_hash=True)\"`"
    )


def model_folder(path: str, what: str) -> Path:
    """The folder of a transformers model: a shipped one (`pocket:NAME`), a folder, or a hub name's in the cache.

    Raises:
        UserError: it is not there, or has no `config.json`, preprocessing or weights; says how to get it.
    """
    folder = Path(weights_path(path)).expanduser()
    way_out = "give the folder of a transformers model with its preprocessing"
    if not folder.is_dir():
        way_out = f'get it with `hf download {path} --exclude "*.h5" --exclude "*.msgpack"`'
        try:
            folder = Path(snapshot_download(path, local_files_only=True))
        except Exception:  # the hub's client raises exceptions of many families
            raise UserError(
                f"{what}: {path} is no folder, and not in the cache {constants.HF_HUB_CACHE}; {way_out}"
            ) from None
    missing = [" or ".join(names) for names in FILES if not any((folder / name).is_file() for name in names)]
    if missing:
        raise UserError(f"{what}: {folder} lacks {', '.join(missing)}; {way_out}")
    return folder
