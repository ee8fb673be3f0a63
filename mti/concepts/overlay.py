"""The picture that shows what was clicked and what was found there."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool
from PIL import Image, ImageDraw, ImageFilter

from mti.concepts.clicks import Clicks

SMALLEST, LARGEST = 512, 1024  # pixels of the longer side: marks are seen on small pictures, large ones stay light
TINT, INSIDE, OUTSIDE = (30, 144, 255), (64, 220, 90), (235, 50, 50)
DIM = 0.45  # of the light that is left around the thing
STRENGTH = 0.28  # of the tint


def overlay(picture: Image.Image, mask: Bool[np.ndarray, "height width"], clicks: Clicks) -> Image.Image:
    """An RGB picture, a small one enlarged and a large one reduced, its thing tinted and outlined, the rest dimmed.

    Clicks on the thing are green, clicks beside it red, the box is green.
    """
    longer = max(picture.size)
    scale = min(max(longer, SMALLEST), LARGEST) / longer
    size = max(1, round(picture.width * scale)), max(1, round(picture.height * scale))
    large = picture.convert("RGB").resize(size, Image.Resampling.BICUBIC)
    outline = Image.fromarray(mask).convert("L").resize(size, Image.Resampling.BICUBIC)
    width = max(2, max(size) // 200)

    thing = np.asarray(outline)[..., None] > 127
    pixels = np.asarray(large, np.float32)
    shown = np.where(thing, pixels + STRENGTH * (np.array(TINT, np.float32) - pixels), DIM * pixels)
    near = np.asarray(outline.filter(ImageFilter.BoxBlur(width)))[..., None] > 0
    page = Image.fromarray(np.where(near & ~thing, 255, shown).astype(np.uint8))
    draw = ImageDraw.Draw(page)
    if clicks.box:
        draw.rectangle([round(edge * scale) for edge in clicks.box], outline=INSIDE, width=width)
    for points, color in ((clicks.inside, INSIDE), (clicks.outside, OUTSIDE)):
        for x, y in points:
            center = (x + 0.5) * scale, (y + 0.5) * scale  # a pixel's middle
            draw.circle(center, 4 * width, fill="white")
            draw.circle(center, 3 * width, fill=color)
    return page
