"""What every form holds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from safetensors.torch import save_file
from torch import Tensor

from mti.files import atomic

SDXL = (768, 1280)  # widths of its two text encoders, whose embeddings of a token stand in one row


class Learned(NamedTuple):
    """The embeddings of a concept's placeholder."""

    embeddings: Float[Tensor, "num_vectors width"]  # of SDXL: 768 of the first encoder, then 1,280 of the second
    placeholder: str  # what a prompt calls them; the file's name where a form has no place for one
    metadata: Mapping[str, str] = {}  # such as model, text and step


class NotThisForm(Exception):
    """A file has another form."""


def by_encoder(embeddings: Float[Tensor, "num_vectors width"]) -> list[Float[Tensor, "num_vectors part"]]:
    """The embeddings of each text encoder."""
    return list(embeddings.split(SDXL, dim=1)) if embeddings.shape[1] == sum(SDXL) else [embeddings]


def rows(value: Any) -> Float[Tensor, "num_vectors width"]:
    """A tensor of one or several vectors in fp32. `NotThisForm` if it is something else."""
    if not isinstance(value, Tensor) or value.ndim not in (1, 2) or not value.numel() or not value.is_floating_point():
        raise NotThisForm
    if not value.isfinite().all():
        raise ValueError("it has numbers that are not finite")
    return value.detach().float().reshape(-1, value.shape[-1])


def save_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Have a file written for everybody to read, whole or not at all."""
    with atomic(path) as draft:
        write(draft)
        draft.chmod(0o644)


def save_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Write safetensors in fp32."""
    own = {name: tensor.detach().to("cpu", torch.float32).contiguous() for name, tensor in tensors.items()}
    save_whole(path, lambda draft: save_file(own, draft, metadata=dict(metadata) or None))
