"""ComfyUI, and the safetensors of A1111, Forge and kohya's sd-scripts: tensors without a placeholder.

`emb_params [num_vectors, width]`, or of SDXL `clip_l [num_vectors, 768]` and `clip_g [num_vectors, 1280]`. A prompt
calls them by the file's name: `embedding:NAME` in ComfyUI, `NAME` in the others.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from mti.embeddings.learned import Learned, NotThisForm, by_encoder, rows, save_tensors

ENDING = ".safetensors"
NAMES = (("emb_params",), ("clip_l", "clip_g"), ("clip_l",), ("clip_g",))


def read(content: Mapping[str, Any], name: str, metadata: Mapping[str, str]) -> Learned:
    """The embeddings in a file's content."""
    names = next((names for names in NAMES if set(names) == set(content)), None)
    if names is None:
        raise NotThisForm
    parts = [rows(content[key]) for key in names]
    if len({len(part) for part in parts}) > 1:
        raise ValueError("its two encoders have different numbers of vectors")
    return Learned(torch.cat(parts, dim=1), name, metadata)


def write(path: Path, learned: Learned) -> list[Path]:
    """Write the file."""
    parts = by_encoder(learned.embeddings)
    save_tensors(path, dict(zip(NAMES[len(parts) - 1], parts, strict=True)), learned.metadata)
    return [path]
