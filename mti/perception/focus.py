"""What a perception model is shown of a picture: all of it, or the thing that was clicked, cut out.

As Caption-Anything does (Wang et al. 2023, arXiv:2305.02677): Segment Anything finds the thing, the
picture is cropped to it, and what is behind it is kept ("w_bg" there) or made white ("wo_bg").
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool
from PIL import Image

from mti.perception.clicks import Clicks, clicks
from mti.perception.overlay import overlay
from mti.perception.segmenter import Segment
from mti.types import UserError

BACKGROUNDS = ("white", "kept")

Box = tuple[int, int, int, int]  # left, top, right, bottom in pixels


@runtime_checkable
class Segmenter(Protocol):
    """Finds the thing that clicks in a picture mean."""

    name: str

    def check(self) -> None:
        """Raise a `UserError` if the weights are not to be had."""
        ...

    def __call__(self, picture: Image.Image, clicks: Clicks) -> Segment:
        """The thing's mask."""
        ...


@dataclass(frozen=True)
class Sight:
    """The picture to look at, and how it came about: details for text.json, pictures to keep beside it."""

    picture: Image.Image
    replaced: bool = False  # whether what was behind the thing is white now
    details: Mapping[str, Any] = field(default_factory=dict)
    pictures: Mapping[str, Image.Image] = field(default_factory=dict)


class Focus:
    """Cuts out of a picture what is clicked; without clicks, the whole picture is what there is to see.

    `margin` is what is left around the thing, as a share of its longer side. `UserError` if the clicks
    are no points, no box, or contradict themselves.
    """

    def __init__(
        self,
        segmenter: Segmenter,
        click: Any = None,
        outside: Any = None,
        box: Any = None,
        background: str = "white",
        margin: int | float = 0.1,
    ) -> None:
        if background not in BACKGROUNDS:
            raise UserError(f"init.background={background}: expected one of {', '.join(BACKGROUNDS)}")
        if isinstance(margin, bool) or not isinstance(margin, int | float) or not 0 <= margin <= 10:
            raise UserError(f"init.margin={margin}: expected a share of the thing's longer side, such as 0.1")
        self.segmenter = segmenter
        self.clicks = clicks(click, outside, box)
        self.background = background
        self.margin = margin

    def check(self, picture: Image.Image) -> None:
        """Raise a `UserError` for what can be known of a picture's clicks before any weights are loaded."""
        if self.clicks:
            self.clicks.check(*picture.size)
            self.segmenter.check()

    def __call__(self, picture: Image.Image) -> Sight:
        """What is to be seen of an RGB picture. `UserError` if a click is out of it, or nothing is found there."""
        if not self.clicks:
            return Sight(picture)
        self.check(picture)
        mask, score = self.segmenter(picture, self.clicks)
        if not mask.any():
            raise UserError(f"{self.segmenter.name} finds nothing at {self.clicks}: click elsewhere, or give init.box")
        box = crop_box(mask, self.margin)
        crop = (on_white(picture, mask) if self.background == "white" else picture).crop(box)
        details = {
            "inside": [list(point) for point in self.clicks.inside],
            "outside": [list(point) for point in self.clicks.outside],
            "box": self.clicks.box and list(self.clicks.box),
            "segmenter": self.segmenter.name,
            "score": score,
            "area": float(mask.mean()),  # the mask's share of the picture
            "crop": list(box),
            "background": self.background,
        }
        pictures = {"mask": Image.fromarray(mask), "crop": crop, "overlay": overlay(picture, mask, self.clicks)}
        return Sight(crop, self.background == "white", {"click": details}, pictures)


def crop_box(mask: Bool[np.ndarray, "height width"], margin: int | float) -> Box:
    """The square around a mask with a margin at its longer side, moved and cut so as to stay in the picture."""
    spans = []
    ends = [np.flatnonzero(mask.any(axis))[[0, -1]] for axis in (0, 1)]
    side = round((1 + 2 * margin) * max(last - first + 1 for first, last in ends))
    for (first, last), size in zip(ends, reversed(mask.shape), strict=True):
        length = min(side, size)
        start = min(max(round((first + last + 1 - length) / 2), 0), size - length)
        spans.append((int(start), int(start + length)))
    (left, right), (top, bottom) = spans
    return left, top, right, bottom


def on_white(picture: Image.Image, mask: Bool[np.ndarray, "height width"]) -> Image.Image:
    """The picture with everything white that is not in the mask."""
    return Image.composite(picture, Image.new("RGB", picture.size, "white"), Image.fromarray(mask))
