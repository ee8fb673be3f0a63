"""What lies behind `model.path`: a folder, a folder in the hub's cache, or a file."""

from __future__ import annotations

import os

from mti.models.files import LAYOUTS, PipelineFolder, check_folder, local_folder
from mti.models.single_file import PipelineFile, check_file
from mti.types import UserError
from mti.weights import GET

Pipeline = PipelineFolder | PipelineFile
"""Where the parts of a pipeline are loaded from."""


def open_pipeline(path: str, revision: str | None, variant: str | None) -> Pipeline:
    """The pipeline of a path, checked as far as that can be done without loading its weights.

    Raises:
        UserError: it is not there, lacks files, or is of a kind that is not supported.
    """
    place = local_folder(path, revision)
    if place is None:
        raise UserError(f"model.path={path} is not in the cache of the Hugging Face hub; {GET}")
    if os.path.isfile(place):
        return PipelineFile(place.resolve(), check_file(place))
    return PipelineFolder(place, check_folder(place, variant, path), variant)


def check_resolution(pipeline: Pipeline, name: str, resolution: int | None) -> None:
    """Raise a `UserError` for a side of pictures, in pixels, that the networks cannot halve as often as they do."""
    unet, autoencoder = pipeline.config("unet"), pipeline.config(LAYOUTS[pipeline.kind].autoencoder)
    halvings = sum(len(config["block_out_channels"]) - 1 for config in (unet, autoencoder))
    if resolution and resolution % 2**halvings:
        raise UserError(f"model.resolution={resolution}: expected a multiple of {2**halvings} for {name}")
