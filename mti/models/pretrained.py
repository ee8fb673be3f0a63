"""The one way to a model: a path of any kind, and the adapter that fits what is found there."""

from __future__ import annotations

import os
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, Literal

from huggingface_hub import constants

from mti.models.files import INDEX, LAYOUTS, local_folder, pipeline_files, pipeline_kind, read_json
from mti.models.precision import Precision
from mti.models.single_file import file_needs
from mti.models.source import check_resolution, open_pipeline
from mti.ranges import INCIDENTAL, AtLeast
from mti.types import LatentDiffusion
from mti.weights import ModelFiles, Need, from_hub, missing_files, weights_path

ADAPTERS = {  # by the class that model_index.json names
    "StableDiffusionPipeline": "mti.models.sd.StableDiffusion",
    "StableDiffusionXLPipeline": "mti.models.sdxl.StableDiffusionXL",
    "LDMTextToImagePipeline": "mti.models.ldm.LatentDiffusionBERT",
}


class PretrainedModel:
    """A frozen latent diffusion model that is yet to be loaded. Making one reads no file.

    Args:
        path: a name on the Hugging Face hub, a folder in diffusers' format or of the hub's cache, a `.safetensors`
            or `.ckpt` file, or `pocket:NAME` for a model that comes along.
        name: what the model is called in messages and records; None takes it from the path.
        revision: of a hub name: a branch, tag or commit; None is the main branch.
        variant: weights to prefer where a pipeline has several, such as "fp16".
        precision: inside the model; auto is what the device is quick at.
        resolution: the side of the pictures in pixels; None is what the model was trained for.
        compile: whether `torch.compile` makes kernels for the U-Net: minutes at first, for long sweeps; or its mode.
        channels_last: whether the U-Net's weights lie channels last.
        gradient_checkpointing: whether the U-Net's blocks are computed again for the gradient: less memory, more time.
    """

    def __init__(
        self,
        path: str,
        name: str | None = None,
        revision: str | None = None,
        variant: str | None = None,
        precision: Precision = "auto",
        resolution: Annotated[int, AtLeast(8)] | None = None,
        compile: Annotated[bool | Literal["reduce-overhead", "max-autotune"], INCIDENTAL] = False,
        channels_last: Annotated[bool, INCIDENTAL] = False,
        gradient_checkpointing: Annotated[bool, INCIDENTAL] = False,
    ):
        self.path, self.revision, self.variant = path, revision, variant
        self._options = {
            "name": name,
            "precision": precision,
            "resolution": resolution,
            "compile": compile,
            "channels_last": channels_last,
            "gradient_checkpointing": gradient_checkpointing,
        }

    def check(self) -> None:
        """Raise a `UserError` for what is missing or not supported, before any weights are read."""
        pipeline = open_pipeline(self.path, self.revision, self.variant)
        check_resolution(pipeline, self._options["name"] or self.path, self._options["resolution"])

    def wanted(self) -> list[Need]:
        """The files that can be downloaded: those of a hub name, or a checkpoint's tokenizer."""
        place = local_folder(self.path, self.revision)
        if place and os.path.isfile(place):
            return file_needs(place)
        if os.path.exists(weights_path(self.path)):
            return []
        is_local = place is not None and self._is_whole(place)
        what = f"the model {self._options['name'] or self.path}"
        return [Need(what, self.path, place or Path(constants.HF_HUB_CACHE), is_local, self._fetch)]

    def tokenize(self, text: str) -> list[str]:
        """The names of a text's tokens, as the loaded model has them; no network is loaded for it."""
        tokenizer = self._tokenizer
        return tokenizer.convert_ids_to_tokens(tokenizer.encode(text, add_special_tokens=False, verbose=False))

    def load(self) -> LatentDiffusion:
        """The model, on the CPU at first, and the same one each time.

        `UserError` for what `check` finds, and for damaged weights.
        """
        return self._loaded

    @cached_property
    def _loaded(self) -> LatentDiffusion:
        kind = open_pipeline(self.path, self.revision, self.variant).kind
        return _adapter(kind)(self.path, revision=self.revision, variant=self.variant, **self._options)

    @cached_property
    def _tokenizer(self) -> Any:
        pipeline = open_pipeline(self.path, self.revision, self.variant)
        return pipeline.tokenizer("tokenizer", _adapter(pipeline.kind).tokenizer_class)

    def _is_whole(self, snapshot: Path) -> bool:
        """Whether a snapshot has what is read; one of another kind has no need to be fetched either."""
        if not (snapshot / INDEX).is_file():
            return False
        kind = read_json(snapshot / INDEX).get("_class_name")
        return kind not in LAYOUTS or not missing_files(snapshot, pipeline_files(kind, self.variant))

    def _fetch(self) -> None:
        """First what says of which kind the model is, since only some kinds are worth their gigabytes."""
        prefix = f"model.path={self.path}: "
        folder = from_hub(self.path, ModelFiles("a pipeline", ((INDEX,),)), prefix, self.revision)
        files = pipeline_files(pipeline_kind(folder / INDEX, prefix), self.variant)
        from_hub(self.path, files, prefix, self.revision)


def _adapter(kind: str) -> Any:
    module, _, name = ADAPTERS[kind].rpartition(".")
    return getattr(import_module(module), name)
