"""The files of a diffusers pipeline: which are read, whatever form they have, and what is no model of ours."""

from __future__ import annotations

import json
import pickle
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import nn

from mti.library_logging import quiet_diffusers, quiet_transformers
from mti.types import UserError
from mti.weights import HUB_NAME, ModelFiles, hub_snapshot, missing_files, weights_path

INDEX = "model_index.json"
SCHEDULER = "scheduler/scheduler_config.json"
DIFFUSERS = ("diffusion_pytorch_model", "diffusion_pytorch_model")  # names of weights: as safetensors, as .bin
TRANSFORMERS = ("model", "pytorch_model")
CLIP_TOKENIZER = (("tokenizer.json", "vocab.json"), ("tokenizer.json", "merges.txt"))
BERT_TOKENIZER = (("tokenizer.json", "vocab.txt"),)


@dataclass(frozen=True)
class Layout:
    """The parts of a kind of pipeline that are read; there are others, such as a safety checker."""

    autoencoder: str
    networks: Mapping[str, tuple[str, str]]
    tokenizers: Mapping[str, Sequence[tuple[str, ...]]]


LAYOUTS = {
    "StableDiffusionPipeline": Layout(
        "vae",
        {"text_encoder": TRANSFORMERS, "vae": DIFFUSERS, "unet": DIFFUSERS},
        {"tokenizer": CLIP_TOKENIZER},
    ),
    "StableDiffusionXLPipeline": Layout(
        "vae",
        {"text_encoder": TRANSFORMERS, "text_encoder_2": TRANSFORMERS, "vae": DIFFUSERS, "unet": DIFFUSERS},
        {"tokenizer": CLIP_TOKENIZER, "tokenizer_2": CLIP_TOKENIZER},
    ),
    "LDMTextToImagePipeline": Layout(
        "vqvae",
        {"bert": TRANSFORMERS, "vqvae": DIFFUSERS, "unet": DIFFUSERS},
        {"tokenizer": BERT_TOKENIZER},
    ),
}


def pipeline_files(kind: str, variant: str | None) -> ModelFiles:
    """The files of a pipeline folder that are read. Weights may have any form; `variant` is only preferred."""
    layout = LAYOUTS[kind]
    required: list[Sequence[str]] = [(INDEX,), (SCHEDULER,)]
    for part, stems in layout.networks.items():
        required += [(f"{part}/config.json",), [f"{part}/{name}" for name in weight_forms(stems, variant)]]
    for part, files in layout.tokenizers.items():
        required += [[f"{part}/{name}" for name in names] for names in files]
    return ModelFiles(
        f"a {kind} in diffusers' format with model.path=/folder",
        required,
        optional=[f"{part}/*" for part in layout.tokenizers],
    )


def weight_forms(stems: tuple[str, str], variant: str | None) -> list[str]:
    """The names that a network's weights may have, best first: the variant, safetensors, a single file."""
    names = []
    for which in dict.fromkeys((variant, None, "fp16")):
        infix = f".{which}" if which else ""
        for stem, ending in zip(stems, ("safetensors", "bin"), strict=True):
            names += [f"{stem}{infix}.{ending}", f"{stem}.{ending}.index{infix}.json"]
    return names


def check_folder(folder: Path, variant: str | None, given: str) -> str:
    """The kind of pipeline that a folder holds. `UserError` if that is none of ours, or lacks files."""
    prefix = f"model.path={given}: "
    kind = pipeline_kind(folder / INDEX, prefix)
    missing = missing_files(folder, files := pipeline_files(kind, variant))
    if missing:
        raise UserError(f"{prefix}{folder} lacks {', '.join(missing)}; give the folder of {files.kind}")
    layout = LAYOUTS[kind]
    takes = read_json(folder / "unet" / "config.json").get("in_channels")
    has = read_json(folder / layout.autoencoder / "config.json").get("latent_channels")
    if takes != has:
        raise UserError(
            f"{prefix}its U-Net takes {takes} channels and its latents have {has}, as of a model for inpainting or "
            "for editing, which is not supported: give a text-to-image model"
        )
    return kind


def pipeline_kind(index: Path, prefix: str) -> str:
    """What a `model_index.json` says a folder is. `UserError` if it is nothing that is supported."""
    if not index.is_file():
        raise UserError(f"{prefix}{index.parent} has no {INDEX}: give the folder of a pipeline in diffusers' format")
    kind = read_json(index).get("_class_name")
    if kind not in LAYOUTS:
        raise UserError(f"{prefix}a {kind} is not supported: expected one of {', '.join(LAYOUTS)}")
    return kind


def read_json(path: Path) -> dict[str, Any]:
    """A configuration. `UserError` if it is damaged."""
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read ({error}): download it again") from error
    if not isinstance(record, dict):
        raise UserError(f"{path} is no configuration: download it again")
    return record


def local_folder(path: str, revision: str | None) -> Path | None:
    """The folder that `model.path` names, be it in the hub's cache; None if it must be downloaded first.

    Raises:
        UserError: there is nothing of that name, nor could there be on the hub.
    """
    folder = weights_path(path)
    if folder.exists():
        caches = [folder / "snapshots" / ref.read_text().strip() for ref in sorted(folder.glob("refs/main"))]
        return caches[0] if caches else folder
    if not HUB_NAME.fullmatch(path):
        raise UserError(
            f"model.path={path}: there is no folder or file {folder}; give one, or a name on the Hugging Face hub "
            "such as stable-diffusion-v1-5/stable-diffusion-v1-5"
        )
    return hub_snapshot(path, revision)


@dataclass(frozen=True)
class PipelineFolder:
    """A checked folder of a pipeline, from which its parts are loaded."""

    folder: Path
    kind: str
    variant: str | None

    @property
    def index(self) -> dict[str, Any]:
        """Its model_index.json."""
        return read_json(self.folder / INDEX)

    @property
    def scheduler_config(self) -> dict[str, Any]:
        """Of its scheduler, of whatever class."""
        return read_json(self.folder / SCHEDULER)

    def config(self, part: str) -> dict[str, Any]:
        """That of one of its networks."""
        return read_json(self.folder / part / "config.json")

    def tokenizer(self, part: str, kind: type[Any]) -> Any:
        """One of the pipeline's tokenizers."""
        return kind.from_pretrained(self.folder / part)

    def network(self, part: str, kind: type[Any]) -> nn.Module:
        """One of the pipeline's networks in fp32. `UserError` if its weights are damaged or lack a tensor."""
        forms = weight_forms(LAYOUTS[self.kind].networks[part], self.variant)
        name = next(name for name in forms if (self.folder / part / name).is_file())
        variant = next((which for which in (self.variant, "fp16") if which and f".{which}." in name), None)
        try:
            with quiet_diffusers(), quiet_transformers():
                network, report = kind.from_pretrained(
                    self.folder / part,
                    variant=variant,
                    torch_dtype=torch.float32,
                    use_safetensors="safetensors" in name,
                    output_loading_info=True,
                )
        except (OSError, ValueError, RuntimeError, SafetensorError, pickle.UnpicklingError) as error:
            if "allocate memory" in str(error):
                raise
            reason = str(error).strip().partition("\n")[0]
            raise UserError(f"{self.folder / part / name} cannot be loaded as a {kind.__name__} ({reason})") from error
        if missing := report["missing_keys"]:
            raise UserError(f"{self.folder / part} lacks weights of its {kind.__name__}: {', '.join(sorted(missing))}")
        return network
