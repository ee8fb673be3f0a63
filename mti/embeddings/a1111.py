"""AUTOMATIC1111's web UI, which Forge and kohya's sd-scripts read too: a pickled `.pt`, read as weights only.

`string_to_token {"*": 265}`, `string_to_param {"*": [num_vectors, width]}`, and what the embeddings came from:
`name`, `step`, `sd_checkpoint` (a hash), `sd_checkpoint_name`. Of SDXL it reads ComfyUI's form.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from mti.embeddings import comfyui
from mti.embeddings.learned import Learned, NotThisForm, by_encoder, rows, save_whole

ENDING = ".pt"
METADATA = {"step": "step", "sd_checkpoint": "model_hash", "sd_checkpoint_name": "model"}  # theirs, ours


def read(content: Mapping[str, Any], name: str, metadata: Mapping[str, str]) -> Learned:
    """The embeddings in a file's content."""
    parameters = content.get("string_to_param")
    if parameters is None:
        raise NotThisForm
    parameters = dict(getattr(parameters, "_parameters", parameters))  # a ParameterDict in the oldest files
    if len(parameters) != 1:
        raise NotThisForm
    own = {ours: str(content[theirs]) for theirs, ours in METADATA.items() if content.get(theirs) is not None}
    more = content.get("metadata", {})  # which this program adds and the others overlook
    own |= {str(key): str(value) for key, value in more.items()} if isinstance(more, Mapping) else {}
    return Learned(rows(next(iter(parameters.values()))), str(content.get("name") or name), own)


def write(path: Path, learned: Learned) -> list[Path]:
    """Write the file; of SDXL as safetensors."""
    if len(by_encoder(learned.embeddings)) > 1:
        return comfyui.write(path.with_suffix(comfyui.ENDING), learned)
    metadata = learned.metadata
    content = {
        "string_to_token": {"*": 265},
        "string_to_param": {"*": learned.embeddings.detach().float().cpu().clone()},
        "name": learned.placeholder.strip("<>"),
        "step": int(metadata["step"]) if metadata.get("step", "").isdigit() else None,
        "sd_checkpoint": metadata.get("model_hash"),
        "sd_checkpoint_name": metadata.get("model"),
        "metadata": dict(metadata),
    }
    save_whole(path, lambda draft: torch.save(content, draft))
    return [path]
