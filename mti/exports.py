"""Learned tokens in the formats that other tools read."""

from __future__ import annotations

import os
from pathlib import Path

from jaxtyping import Float
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from mti.types import UserError


def save_tokens(path: Path, embeddings: Float[Tensor, "num_vectors width"], placeholder: str) -> None:
    """Write diffusers' form, `{placeholder: [num_vectors, width]}` as safetensors: whole or not at all.

    `pipe.load_textual_inversion(path)` reads it, and then a prompt's `placeholder` stands for all the embeddings.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.draft")
    save_file({placeholder: embeddings.detach().float().cpu().contiguous()}, draft)
    os.replace(draft, path)


def load_tokens(path: Path) -> tuple[Float[Tensor, "num_vectors width"], str]:
    """The embeddings that `save_tokens` or diffusers' training scripts wrote, and their placeholder.

    Raises:
        UserError: the file is not of that form.
    """
    try:
        tensors = load_file(path)
    except (OSError, SafetensorError) as error:
        raise UserError(f"{path} cannot be read as safetensors ({error}): give a file of learned tokens") from error
    if len(tensors) != 1 or next(iter(tensors.values())).ndim not in (1, 2):
        raise UserError(
            f"{path} holds {', '.join(tensors) or 'nothing'}: expected one placeholder with its [num_vectors, width]"
        )
    ((placeholder, embeddings),) = tensors.items()
    return embeddings.float().reshape(-1, embeddings.shape[-1]), placeholder
