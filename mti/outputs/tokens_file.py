"""The file of learned tokens that a run folder keeps: one form of many, see `mti.embeddings`."""

from __future__ import annotations

from pathlib import Path

from jaxtyping import Float
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from mti.files import DamagedFile, read_bytes, write_bytes


def save_tokens(path: Path, embeddings: Float[Tensor, "num_vectors width"], placeholder: str) -> None:
    """Write diffusers' form, `{placeholder: [num_vectors, width]}` as safetensors: whole or not at all.

    `pipe.load_textual_inversion(path)` reads it, and then a prompt's `placeholder` stands for all the embeddings.
    """
    write_bytes(Path(path), save({placeholder: embeddings.detach().float().cpu().contiguous()}))


def load_tokens(path: Path) -> tuple[Float[Tensor, "num_vectors width"], str]:
    """The embeddings that `save_tokens` or diffusers' training scripts wrote, and their placeholder.

    Raises:
        DamagedFile: the file is not of that form.
    """
    path, remedy = Path(path), "give a file of learned tokens"
    try:
        tensors = load(read_bytes(path, remedy))
    except (SafetensorError, ValueError) as error:
        raise DamagedFile(path, f"cannot be read as safetensors ({error})", remedy) from None
    if len(tensors) != 1 or not _are_embeddings(next(iter(tensors.values()))):
        held = (
            f"holds {', '.join(sorted(tensors)) or 'nothing'}: expected one placeholder with its [num_vectors, width]"
        )
        raise DamagedFile(path, held, remedy)
    ((placeholder, embeddings),) = tensors.items()
    return embeddings.float().reshape(-1, embeddings.shape[-1]), placeholder


def _are_embeddings(tensor: Tensor) -> bool:
    return tensor.ndim in (1, 2) and tensor.numel() > 0 and tensor.is_floating_point() and bool(tensor.isfinite().all())
