"""The thing that is clicked, and the picture of it alone.

As Caption-Anything does (Wang et al. 2023, arXiv:2305.02677): Segment Anything finds the thing, the picture
is cropped to it, and what is behind it is kept ("w_bg" there) or made white ("wo_bg").
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool
from PIL import Image

from mti.concepts.clicks import Clicks
from mti.concepts.squares import Box, box_around, box_of

log = logging.getLogger("mti")

Background = Literal["white", "kept"]

LOW_SCORE = 0.5  # the segmenter expects less than this of thing and mask together to be in both


class Segment(NamedTuple):
    """A thing's mask, and the intersection over union with the true one that the model expects of it."""

    mask: Bool[np.ndarray, "height width"]
    score: float


@runtime_checkable
class Segmenter(Protocol):
    """Finds the thing that clicks in a picture mean. Loads its weights on first use."""

    name: str

    def check(self) -> None:
        """Raise a `UserError` if the weights are not to be had."""
        ...

    def __call__(self, picture: Image.Image, clicks: Clicks) -> Segment:
        """The thing's mask."""
        ...

    def release(self) -> None:
        """Let go of the weights; the next call loads them again."""
        ...


@dataclass(frozen=True)
class ClickCrop:
    """The clicked thing in a picture, cut out of it to be described."""

    mask: Bool[np.ndarray, "height width"]
    score: float
    box: Box  # around the mask; if that is empty, around what was pointed at
    described: Image.Image
    described_box: Box
    on_white: bool


def click_crop(
    name: str, picture: Image.Image, clicks: Clicks, segmenter: Segmenter, background: Background, margin: int | float
) -> ClickCrop:
    """The thing that is clicked in the picture of the concept `name`, with a margin as a share of its longer side.

    A line warns of a mask that the segmenter thinks little of, or that is empty: then the whole picture is described.
    """
    mask, score = segmenter(picture, clicks)
    if not mask.any():
        log.warning("%s: nothing is found at %s, so all is described: click elsewhere or give a box", name, clicks)
        return ClickCrop(mask, score, clicks.extent(), picture, (0, 0, *picture.size), on_white=False)
    if score < LOW_SCORE:
        log.warning("%s: what is at %s is uncertain (score %.2f): click again or give a box", name, clicks, score)
    box = box_of(mask)
    crop = box_around(box, margin, *picture.size)
    white = background == "white"
    return ClickCrop(mask, score, box, (on_white(picture, mask) if white else picture).crop(crop), crop, white)


def on_white(picture: Image.Image, mask: Bool[np.ndarray, "height width"]) -> Image.Image:
    """The picture with everything white that is not in the mask."""
    return Image.composite(picture, Image.new("RGB", picture.size, "white"), Image.fromarray(mask))
