"""Files of learned tokens: read by what is in them, written by the name of a form."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from mti.embeddings import a1111, comfyui, diffusers
from mti.embeddings.learned import Learned, NotThisForm
from mti.types import UserError
from mti.weights import read_pickle

FORMS = {"diffusers": diffusers, "a1111": a1111, "comfyui": comfyui}


IN_FOLDERS = ("tokens.safetensors", "learned_embeds.safetensors", "learned_embeds.bin")


def read_embeddings(path: Path | str) -> Learned:
    """The embeddings in a file of any form, or in a run folder or one of the concepts library.

    Of SDXL in diffusers' form, the second file is read along.

    Raises:
        UserError: the file is not there, damaged, or of no form that is known.
    """
    path = Path(os.path.expanduser(path))
    if os.path.isdir(path):
        path = next((path / name for name in IN_FOLDERS if (path / name).is_file()), path)
    learned = _read(path)
    second = path.with_stem(f"{path.stem}_2")
    if not second.is_file():
        return learned
    more = _read(second)
    if len(more.embeddings) != len(learned.embeddings):
        raise UserError(f"{second} has {len(more.embeddings)} vectors, {path} has {len(learned.embeddings)}")
    return learned._replace(embeddings=torch.cat([learned.embeddings, more.embeddings], dim=1))


def write_embeddings(form: str, path: Path, learned: Learned) -> list[Path]:
    """Write embeddings in a form of `FORMS`, with the ending that its readers expect; the files."""
    if form not in FORMS:
        raise UserError(f"to={form}: expected one of {', '.join(FORMS)}")
    return FORMS[form].write(path.with_name(f"{path.name}{FORMS[form].ENDING}"), learned)


def _read(path: Path) -> Learned:
    try:
        content, metadata = _content(path)
        for form in (a1111, comfyui, diffusers):  # the last takes any name
            try:
                return form.read(content, path.stem, metadata)
            except NotThisForm:
                continue
    except (OSError, ValueError, SafetensorError) as error:
        raise UserError(f"{path} cannot be read as learned tokens ({error}): give a file of embeddings") from error
    held = ", ".join(map(str, list(content)[:5])) or "nothing"
    raise UserError(
        f"{path} holds {held}: expected learned tokens as of diffusers ({{placeholder: [num_vectors, width]}}), "
        "A1111 (string_to_param) or ComfyUI (emb_params; clip_l and clip_g)"
    )


def _content(path: Path) -> tuple[Mapping[str, Any], Mapping[str, str]]:
    """What a file holds, and what it says of itself; a pickle as weights alone, which run no code."""
    if path.suffix == ".safetensors":
        with safe_open(path, "pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118
    content = read_pickle(path)
    if not isinstance(content, Mapping):
        raise ValueError("it is no collection of tensors")
    return content, {}
