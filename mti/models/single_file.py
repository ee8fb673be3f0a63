"""A checkpoint in one file, as Civitai and the models' authors have them, read through diffusers without a network."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import diffusers
import torch
from safetensors import SafetensorError, safe_open
from torch import nn

from mti.library_logging import quiet_diffusers
from mti.models.files import CLIP_TOKENIZER, INDEX, SCHEDULER, read_json
from mti.types import UserError
from mti.weights import ModelFiles, Need, hub_need, missing_files, model_folder, read_pickle

CONFIGS = Path(__file__).parent / "configs"  # of the architectures, from their published numbers
TOKENIZER = "openai/clip-vit-large-patch14"  # has the vocabulary of all of them
TOKENIZER_FILES = ModelFiles(
    "CLIP's tokenizer, or put it into a folder `tokenizer` beside the file",
    CLIP_TOKENIZER,
    optional=("tokenizer_config.json", "special_tokens_map.json"),
)
UNET = "model.diffusion_model."
FIRST = f"{UNET}input_blocks.0.0.weight"
ENCODERS = {  # how the names of a text encoder's weights begin, and which architecture that is
    "conditioner.embedders.1.model.": "sdxl",
    "cond_stage_model.model.": "sd2",
    "cond_stage_model.transformer.": "sd1",
}
OTHERS = {  # what is in the names of other models' weights
    "joint_blocks.": "Stable Diffusion 3",
    "double_blocks.": "Flux",
    "conditioner.embedders.0.model.": "the refiner of Stable Diffusion XL",
    "lora_": "a LoRA",
    "string_to_param": "learned tokens",
    "emb_params": "learned tokens",
    "control_model.": "a ControlNet",
    "first_stage_model.": "an autoencoder, or a checkpoint without its text encoder,",
}
KINDS = {"sd1": "StableDiffusionPipeline", "sd2": "StableDiffusionPipeline", "sdxl": "StableDiffusionXLPipeline"}


def check_file(file: Path) -> str:
    """The architecture of a checkpoint, by the names of its weights. `UserError` if it is none of ours."""
    shapes = weight_shapes(file)
    found = (name for start, name in ENCODERS.items() if any(key.startswith(start) for key in shapes))
    architecture = next(found, None)
    if architecture is None or FIRST not in shapes:
        other = next((name for part, name in OTHERS.items() if any(part in key for key in shapes)), "something else")
        raise UserError(f"model.path={file}: {other} is not supported: expected Stable Diffusion 1, 2 or XL")
    if shapes[FIRST][1] != 4:
        raise UserError(
            f"model.path={file}: its U-Net takes {shapes[FIRST][1]} channels and its latents have 4, as of a model "
            "for inpainting or for editing, which is not supported: give a text-to-image model"
        )
    return architecture


def weight_shapes(file: Path) -> dict[str, tuple[int, ...]]:
    """The shapes of all tensors in a checkpoint, without reading them. `UserError` if it is damaged."""
    try:
        if file.suffix == ".safetensors":
            with safe_open(file, "pt") as tensors:
                return {name: tuple(tensors.get_slice(name).get_shape()) for name in tensors.keys()}  # noqa: SIM118
        state = read_pickle(file, "meta")
        while isinstance(state, Mapping) and "state_dict" in state:
            state = state["state_dict"]
        return {name: tuple(getattr(tensor, "shape", ())) for name, tensor in dict(state).items()}
    except (OSError, ValueError, TypeError, SafetensorError) as error:
        raise UserError(
            f"model.path={file} cannot be read as weights ({error}): "
            "download it again, as .safetensors where there is a choice"
        ) from error


def file_needs(file: Path) -> list[Need]:
    """What a checkpoint lacks: the vocabulary of its text encoder."""
    if _tokenizer_beside(file):
        return []
    return hub_need(f"CLIP's tokenizer for {file.name}", TOKENIZER, TOKENIZER_FILES)


def _tokenizer_beside(file: Path) -> Path | None:
    folder = file.parent / "tokenizer"
    return folder if folder.is_dir() and not missing_files(folder, TOKENIZER_FILES) else None


@dataclass(frozen=True)
class PipelineFile:
    """A checked checkpoint, from which the parts of a pipeline are loaded."""

    file: Path
    architecture: str

    @property
    def kind(self) -> str:
        """The class that a folder's `model_index.json` would name."""
        return KINDS[self.architecture]

    @property
    def index(self) -> dict[str, Any]:
        """That of the architecture."""
        return read_json(CONFIGS / self.architecture / INDEX)

    @functools.cached_property
    def scheduler_config(self) -> dict[str, Any]:
        """That of the architecture."""
        config = read_json(CONFIGS / self.architecture / SCHEDULER)
        if self.architecture == "sd2" and not predicts_v(self._pipeline.unet):
            return {**config, "prediction_type": "epsilon"}
        return config

    def config(self, part: str) -> dict[str, Any]:
        """That of one of the architecture's networks."""
        return read_json(CONFIGS / self.architecture / part / "config.json")

    def tokenizer(self, part: str, kind: type[Any]) -> Any:
        """CLIP's, padded as OpenCLIP does where that is the encoder."""
        folder = _tokenizer_beside(self.file) or model_folder(TOKENIZER, TOKENIZER_FILES, "the tokenizer: ")
        padding = {"pad_token": "!"} if self.architecture == "sd2" or part == "tokenizer_2" else {}
        return kind.from_pretrained(folder, model_max_length=self._context, **padding)

    def network(self, part: str, kind: type[Any]) -> nn.Module:
        """One of the pipeline's networks in fp32. `UserError` if the file lacks weights."""
        network: nn.Module = getattr(self._pipeline, part)
        if part == "unet" and self.scheduler_config["prediction_type"] == "epsilon" and self.architecture == "sd2":
            network.register_to_config(sample_size=64)  # pyright: ignore[reportCallIssue]  # trained for 512, not 768
        return network

    @property
    def _context(self) -> int:
        return self.config("text_encoder")["max_position_embeddings"]

    @functools.cached_property
    def _pipeline(self) -> Any:
        parts = dict.fromkeys(("tokenizer", "tokenizer_2", "safety_checker", "feature_extractor", "image_encoder"))
        try:
            with quiet_diffusers():
                return getattr(diffusers, self.kind).from_single_file(
                    str(self.file),
                    config=str(CONFIGS / self.architecture),
                    torch_dtype=torch.float32,
                    local_files_only=True,
                    **parts,
                )
        except (LookupError, ValueError, RuntimeError) as error:  # NotImplementedError for a weight that stays empty
            if "allocate memory" in str(error):
                raise
            reason = str(error).strip().partition("\n")[0]
            raise UserError(
                f"{self.file} lacks weights of {self.architecture}, or has them in other sizes "
                f"({type(error).__name__}: {reason}): download it again"
            ) from error


@torch.no_grad()
def predicts_v(unet: Any) -> bool:
    """Whether the U-Net of a Stable Diffusion 2 predicts v, which no file says.

    At the last timestep v is −z, and ε is z_t: with a constant for both latent and text, the prediction lies far
    below the input or near it (the test of AUTOMATIC1111's web UI, modules/sd_models_config.py).
    """
    latent = torch.full((1, 4, 8, 8), 0.5)
    text = torch.full((1, 2, unet.config["cross_attention_dim"]), 0.5)
    return bool((unet(latent, torch.tensor([999]), text).sample - latent).mean() < -1)
