"""Boxes in a picture, in whole pixels, and the squares that are cut out along them."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool
from PIL import Image

Box = tuple[int, int, int, int]  # left, top, right, bottom; a square to be cut may reach out of the picture

LARGEST = 2048  # pixels of a square's side: twice SDXL's, so that no model sees less of a larger picture


def centre_square(width: int, height: int) -> Box:
    """The largest square in the middle."""
    side = min(width, height)
    left, top = (width - side) // 2, (height - side) // 2
    return left, top, left + side, top + side


def whole_square(width: int, height: int) -> Box:
    """The smallest square that holds the whole picture, in its middle."""
    side = max(width, height)
    left, top = (width - side) // 2, (height - side) // 2
    return left, top, left + side, top + side


def thing_square(thing: Box, width: int, height: int) -> Box:
    """The largest square, moved so that a thing lies as near to its middle as the picture's edges let it.

    Where the thing is longer than the picture's shorter side, the square is as long as the thing, and
    reaches out of the picture.
    """
    side = max(min(width, height), thing[2] - thing[0], thing[3] - thing[1])
    left, top = (
        (size - side) // 2 if side > size else min(max(round((first + last - side) / 2), 0), size - side)
        for first, last, size in ((thing[0], thing[2], width), (thing[1], thing[3], height))
    )
    return left, top, left + side, top + side


def window_around(thing: Box, width: int, height: int, elongation: int) -> Box:
    """The part of a long picture about a thing: at most `elongation` times as long as wide, or as long as the thing."""
    spans = []
    for first, last, size, other in ((thing[0], thing[2], width, height), (thing[1], thing[3], height, width)):
        length = min(max(elongation * other, last - first), size)
        start = min(max(round((first + last - length) / 2), 0), size - length)
        spans.append((start, start + length))
    (left, right), (top, bottom) = spans
    return left, top, right, bottom


def box_of(mask: Bool[np.ndarray, "height width"]) -> Box:
    """The smallest box around a mask that is not empty."""
    (left, right), (top, bottom) = (np.flatnonzero(mask.any(axis))[[0, -1]].tolist() for axis in (0, 1))
    return left, top, right + 1, bottom + 1


def box_around(thing: Box, margin: int | float, width: int, height: int) -> Box:
    """The square around a thing with a margin at its longer side, moved and cut so as to stay in the picture."""
    side = round((1 + 2 * margin) * max(thing[2] - thing[0], thing[3] - thing[1]))
    spans = []
    for first, last, size in ((thing[0], thing[2], width), (thing[1], thing[3], height)):
        length = min(side, size)
        start = min(max(round((first + last - length) / 2), 0), size - length)
        spans.append((start, start + length))
    (left, right), (top, bottom) = spans
    return left, top, right, bottom


def share_inside(mask: Bool[np.ndarray, "height width"], box: Box) -> float:
    """How much of a mask that is not empty lies in a box, from 0 to 1."""
    left, top, right, bottom = (max(edge, 0) for edge in box)
    return float(mask[top:bottom, left:right].sum() / mask.sum())


def cut_square(picture: Image.Image, box: Box, largest: int = LARGEST) -> Image.Image:
    """The square of a picture in `box`, scaled down to at most `largest` pixels a side.

    What reaches out of the picture is filled with the nearest pixels of its edge: a plain background goes on
    without a seam. In a mask (mode "1") it is empty.
    """
    part = picture.crop((max(box[0], 0), max(box[1], 0), min(box[2], picture.width), min(box[3], picture.height)))
    full = box[2] - box[0]
    side = min(full, largest)
    is_mask = picture.mode == "1"
    if side < full:
        size = max(1, part.width * side // full), max(1, part.height * side // full)  # of a thin line a pixel stays
        part = part.resize(size, Image.Resampling.NEAREST if is_mask else Image.Resampling.BICUBIC)
    left, top = (
        min(max(-start, 0) * side // full, side - length) for start, length in zip(box, part.size, strict=False)
    )
    around = [(top, side - top - part.height), (left, side - left - part.width)]
    pixels = np.asarray(part)
    return Image.fromarray(np.pad(pixels, around) if is_mask else np.pad(pixels, [*around, (0, 0)], mode="edge"))
