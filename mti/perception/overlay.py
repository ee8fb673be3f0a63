"""The picture that shows what was clicked and what was found there."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool
from PIL import Image, ImageChops, ImageDraw, ImageFilter

from mti.perception.clicks import Clicks

SIDE = 512  # pixels of the longer side at least, so that marks are seen on small pictures
TINT, INSIDE, OUTSIDE = (30, 144, 255), (64, 220, 90), (235, 50, 50)
DIM = 0.45  # of the light that is left around the thing
STRENGTH = 90  # of the tint, out of 255


def overlay(picture: Image.Image, mask: Bool[np.ndarray, "height width"], clicks: Clicks) -> Image.Image:
    """An RGB picture, small ones enlarged: the thing tinted and outlined in blue, the rest dimmed.

    Clicks on the thing are green, clicks beside it red, the box is green.
    """
    scale = max(1, SIDE / max(picture.size))
    size = round(picture.width * scale), round(picture.height * scale)
    large = picture.convert("RGB").resize(size, Image.Resampling.BICUBIC)
    shape = Image.fromarray(mask).convert("L").resize(size, Image.Resampling.BICUBIC).point(lambda v: 255 * (v > 127))
    width = max(2, max(size) // 200)

    page = large.point(lambda v: round(v * DIM))
    page.paste(large, (0, 0), shape)
    page.paste(TINT, (0, 0), shape.point(lambda v: v * STRENGTH // 255))
    rim = ImageChops.difference(shape.filter(ImageFilter.MaxFilter(2 * (width // 2) + 1)), shape)
    page.paste(TINT, (0, 0), rim)
    draw = ImageDraw.Draw(page)
    if clicks.box:
        draw.rectangle([round(edge * scale) for edge in clicks.box], outline=INSIDE, width=width)
    for points, color in ((clicks.inside, INSIDE), (clicks.outside, OUTSIDE)):
        for x, y in points:
            center = (x + 0.5) * scale, (y + 0.5) * scale  # a pixel's middle
            draw.circle(center, 4 * width, fill="white")
            draw.circle(center, 3 * width, fill=color)
    return page
