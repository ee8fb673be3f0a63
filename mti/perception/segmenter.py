"""Segmenters from segment-anything: clicks or a box in a picture to the mask of the thing that is meant."""

from __future__ import annotations

import functools
import json
import os
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Bool, Float
from PIL import Image, ImageOps
from safetensors import SafetensorError
from safetensors.torch import load_file
from segment_anything import SamPredictor, sam_model_registry
from segment_anything.modeling import ImageEncoderViT, MaskDecoder, PromptEncoder, Sam, TwoWayTransformer
from torch import nn

from mti.concepts.clicks import Clicks
from mti.concepts.squares import window_around
from mti.concepts.thing import Segment
from mti.perception.loaded import LoadedOnce
from mti.types import UserError
from mti.weights import GET, Need, file_need, weights_path

LARGEST = 2048  # pixels of the longer side; Segment Anything itself looks at 1024
LONGEST = 2  # times as long as it is wide: what the model is shown of a picture
NEARLY = 0.1  # of the expected intersection over union: masks that score so much less are as good
LARGER = 2  # times the area, for a mask to be the whole of which another is a fragment
CONTAINED = 0.9  # of a fragment's pixels lie in the whole


class SamSegmenter(LoadedOnce[Sam]):
    """A Segment Anything model: `pocket:NAME` or a folder with `config.json`, or one of the paper's checkpoints.

    A checkpoint is a file, whose `architecture` is vit_b, vit_l or vit_h; where it is missing, `wanted` says
    that `url` has it. The weights are loaded when the first picture is shown, and kept until `release`.
    """

    def __init__(
        self,
        path: str,
        architecture: Literal["vit_b", "vit_l", "vit_h"] | None = None,
        url: str | None = None,
        sha256: str | None = None,
    ) -> None:
        self.name = path
        self.path = weights_path(path)
        self.architecture = architecture
        self.url = url
        self.sha256 = sha256

    def check(self) -> None:
        """Raise a `UserError` if the weights are not there."""
        if not os.path.exists(self.path):
            way = f"{GET}, or put it there" if self.url else "put it there"
            raise UserError(f"segmenter.path={self.name}: there is no {self.path}; {way}, or choose segmenter=pocket")

    def __call__(self, picture: Image.Image, clicks: Clicks) -> Segment:
        """The model's mask for what is pointed at in an RGB picture of any size.

        A single click is ambiguous (a part, or the whole?): the model's three masks are asked for, and
        `chosen_mask` decides. With more clicks or a box, its single mask is the better one, as
        `SamPredictor.predict` says. Of a long picture it is shown the part about the thing: it makes pictures
        square, and a thing in a strip would be too small for it.
        """
        window = window_around(clicks.extent(), *picture.size, LONGEST)
        part = picture.convert("RGB").crop(window)
        scale = min(1.0, LARGEST / max(part.size))
        pointed = clicks.within(window, scale)
        points = np.array(pointed.inside + pointed.outside, np.float32).reshape(-1, 2)
        labels = np.array([1] * len(pointed.inside) + [0] * len(pointed.outside))
        predictor = SamPredictor(self.loaded)
        predictor.set_image(np.asarray(ImageOps.scale(part, scale) if scale < 1 else part))
        found, expected, _ = predictor.predict(
            points if len(points) else None,
            labels if len(points) else None,
            None if pointed.box is None else np.array(pointed.box, np.float32),
            multimask_output=len(points) == 1 and pointed.box is None,
        )
        masks, scores = np.asarray(found), np.asarray(expected)  # which is what they are, whatever the types say
        chosen = chosen_mask(masks, scores)
        whole = Image.new("1", picture.size)
        whole.paste(Image.fromarray(masks[chosen]).resize(part.size, Image.Resampling.NEAREST), window)
        return Segment(np.asarray(whole), float(scores[chosen]))

    def wanted(self) -> list[Need]:
        """The checkpoint, if there is an address to download it from."""
        return file_need("the segmenter", self.url, self.name, self.sha256) if self.url else []

    def load(self) -> Sam:
        """The model."""
        self.check()
        return load(str(self.path), self.architecture)


def chosen_mask(masks: Bool[np.ndarray, "masks height width"], scores: Float[np.ndarray, " masks"]) -> int:
    """Which of several masks is the thing: the one that the model expects to be best, unless it is a fragment.

    It is one if another mask holds it, is clearly larger, and is expected to be nearly as good: a click on a
    label means the bottle. Of several such masks it is the largest. What reaches three edges of the picture
    is the background of a fragment, not its whole.
    """
    best = int(scores.argmax())
    areas = masks.sum((1, 2))
    shared = (masks & masks[best]).sum((1, 2))
    edges = sum(edge.any(1).astype(int) for edge in (masks[:, 0], masks[:, -1], masks[:, :, 0], masks[:, :, -1]))
    wholes = (scores >= scores[best] - NEARLY) & (areas >= LARGER * areas[best]) & (edges < 3)
    wholes &= shared >= CONTAINED * areas[best]
    return int(np.where(wholes, areas, 0).argmax()) if wholes.any() else best


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
