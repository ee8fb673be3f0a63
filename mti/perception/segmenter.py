"""Segmenters from segment-anything: clicks or a box in a picture to the mask of the thing that is meant."""

from __future__ import annotations

import functools
import json
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool
from PIL import Image
from safetensors import SafetensorError
from safetensors.torch import load_file
from segment_anything import SamPredictor, sam_model_registry
from segment_anything.modeling import ImageEncoderViT, MaskDecoder, PromptEncoder, Sam, TwoWayTransformer
from torch import nn

from mti.downloads import fetch
from mti.perception.clicks import Clicks
from mti.types import UserError
from mti.weights import weights_path

# What loading raises of a file or folder that is something else, or broken.
UNREADABLE = (OSError, ValueError, LookupError, TypeError, RuntimeError, SafetensorError, pickle.UnpicklingError)


class Segment(NamedTuple):
    """A thing's mask, and the intersection over union with the true one that the model expects of it."""

    mask: Bool[np.ndarray, "height width"]
    score: float


class SamSegmenter:
    """A Segment Anything model: `pocket:NAME` or a folder with `config.json`, or one of the paper's checkpoints.

    A checkpoint is a file, whose `architecture` is vit_b, vit_l or vit_h; where it is missing it is
    downloaded from `url`, if `download` says so, and its SHA-256 is checked. The weights are loaded when
    the first picture is shown.
    """

    def __init__(
        self,
        path: str,
        architecture: str | None = None,
        url: str | None = None,
        sha256: str | None = None,
        download: bool = False,
    ) -> None:
        if architecture is not None and architecture not in sam_model_registry:
            raise UserError(f"segmenter.architecture={architecture}: expected vit_b, vit_l or vit_h")
        self.name = path
        self.path = weights_path(path)
        self.architecture = architecture
        self.url = url
        self.sha256 = sha256
        self.download = download

    def check(self) -> None:
        """Raise a `UserError` if the weights are neither there nor to be downloaded."""
        if self.path.exists() or (self.download and self.url):
            return
        way = (
            f"download it from {self.url} with segmenter.download=true, or put it there" if self.url else "put it there"
        )
        raise UserError(f"segmenter.path={self.name}: there is no {self.path}; {way}, or choose segmenter=pocket")

    def __call__(self, picture: Image.Image, clicks: Clicks) -> Segment:
        """The best of the model's masks for what is pointed at in an RGB picture of any size."""
        self.check()
        if not self.path.exists():
            fetch(str(self.url), self.path, self.sha256)
        predictor = SamPredictor(load(str(self.path), self.architecture))
        predictor.set_image(np.asarray(picture.convert("RGB")))
        points = np.array(clicks.inside + clicks.outside, np.float32).reshape(-1, 2)
        labels = np.array([1] * len(clicks.inside) + [0] * len(clicks.outside))
        masks, scores, _ = predictor.predict(
            points if len(points) else None,
            labels if len(points) else None,
            None if clicks.box is None else np.array(clicks.box, np.float32),
        )
        masks, scores = np.asarray(masks), np.asarray(scores)  # which is what they are, whatever the types say
        best = int(scores.argmax())
        return Segment(masks[best], float(scores[best]))


@functools.lru_cache(maxsize=1)
def load(path: str, architecture: str | None) -> Sam:
    """A segmenter in fp32, from a folder, or from a checkpoint of that architecture. `UserError` if it is none."""
    try:
        if architecture is None:
            config = json.loads((Path(path) / "config.json").read_text())
            sam, state = build_sam(config), load_file(Path(path) / "model.safetensors")
        else:
            sam: Any = sam_model_registry[architecture]()
            state = torch.load(path, map_location="cpu", weights_only=True)
        sam.load_state_dict(state)
    except (
        OSError,
        ValueError,
        LookupError,
        TypeError,
        RuntimeError,
        SafetensorError,
        pickle.UnpicklingError,
    ) as error:
        kind = architecture or "config.json and model.safetensors"
        raise UserError(
            f"segmenter.path: {path} is not what a segmenter ({kind}) is loaded from, "
            f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"
        ) from error
    return sam.float().eval().requires_grad_(False)


def build_sam(architecture: Mapping[str, Any]) -> Sam:
    """An untrained Sam of segment-anything's classes, as large as the `config.json` of its folder says."""
    size, width = architecture["image_size"], architecture["decoder_width"]
    grid = size // architecture["patch_size"]
    return Sam(
        image_encoder=ImageEncoderViT(
            img_size=size,
            patch_size=architecture["patch_size"],
            embed_dim=architecture["encoder_width"],
            depth=architecture["encoder_depth"],
            num_heads=architecture["encoder_heads"],
            global_attn_indexes=tuple(architecture["encoder_global_blocks"]),
            window_size=architecture["encoder_window"],
            out_chans=width,
            norm_layer=functools.partial(nn.LayerNorm, eps=1e-6),  # pyright: ignore[reportArgumentType]
        ),
        prompt_encoder=PromptEncoder(
            embed_dim=width, image_embedding_size=(grid, grid), input_image_size=(size, size), mask_in_chans=16
        ),
        mask_decoder=MaskDecoder(
            transformer_dim=width,
            transformer=TwoWayTransformer(
                depth=architecture["decoder_depth"],
                embedding_dim=width,
                num_heads=architecture["decoder_heads"],
                mlp_dim=architecture["decoder_mlp_width"],
            ),
            num_multimask_outputs=3,
            iou_head_hidden_dim=width,
        ),
        pixel_mean=architecture["pixel_mean"],
        pixel_std=architecture["pixel_std"],
    )
