"""diffusers: `{placeholder: [num_vectors, width]}`, as its scripts and the concepts library (`learned_embeds.bin`) do.

`pipe.load_textual_inversion(path)` reads it, and then a prompt's `placeholder` stands for all the embeddings. Of
SDXL there is a file for each text encoder, the second's called `…_2`, which are loaded one after the other.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mti.embeddings.learned import Learned, NotThisForm, by_encoder, rows, save_tensors

ENDING = ".safetensors"


def read(content: Mapping[str, Any], name: str, metadata: Mapping[str, str]) -> Learned:
    """The embeddings in a file's content."""
    if len(content) != 1:
        raise NotThisForm
    ((placeholder, embeddings),) = content.items()
    return Learned(rows(embeddings), placeholder, metadata)


def write(path: Path, learned: Learned) -> list[Path]:
    """Write the file, or the two of SDXL."""
    parts = by_encoder(learned.embeddings)
    paths = [path, path.with_stem(f"{path.stem}_2")][: len(parts)]
    for place, embeddings in zip(paths, parts, strict=True):
        save_tensors(place, {learned.placeholder: embeddings}, learned.metadata)
    return paths
