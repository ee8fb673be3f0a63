"""The pictures one looks at: a whole run at a glance, and a grid of pictures."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence

from PIL import Image, ImageDraw, ImageFont, ImageOps

MAX_COLUMNS = 8
MAX_ROWS = 4
GAP = 8
MARGIN = 28
PAPER, INK, PENCIL = "#ffffff", "#1f2328", "#6b7280"


def comparison(input: Image.Image, samples: Mapping[int, Sequence[Image.Image]], title: str, text: str) -> Image.Image:
    """A run at a glance: the input, large, and a column of samples for each evaluated step.

    At most 8 steps are shown, the first and the last among them, and of each at most 4 samples. A tile is
    160 to 256 pixels wide, whatever the pictures' size.

    Args:
        input: the concept's picture.
        samples: what the model drew after so many updates, by step.
        title: what the run is, above everything.
        text: the initial text, below the title.
    """
    steps = _spread(sorted(samples), MAX_COLUMNS)
    rows = min(MAX_ROWS, max((len(samples[step]) for step in steps), default=1))
    side = _side([picture for step in steps for picture in samples[step]])
    pitch = side + GAP
    large = min(rows, 2) * pitch - GAP
    width = MARGIN + large + (2 * GAP + len(steps) * pitch if steps else 0) + MARGIN

    heading, label = ImageFont.load_default(30), ImageFont.load_default(20)
    titles = _wrapped(title, heading, width - 2 * MARGIN)
    words = _wrapped(text, label, width - 2 * MARGIN)
    labels = MARGIN + 40 * len(titles) + 28 * len(words) + 20
    top = labels + 32
    page = Image.new("RGB", (width, top + rows * pitch - GAP + MARGIN), PAPER)
    draw = ImageDraw.Draw(page)
    for i, line in enumerate(titles):
        draw.text((MARGIN, MARGIN + 40 * i), line, INK, heading)
    for i, line in enumerate(words):
        draw.text((MARGIN, MARGIN + 40 * len(titles) + 4 + 28 * i), line, PENCIL, label)

    _place(page, input, MARGIN, top, large)
    draw.text((MARGIN + large // 2, labels), "input", INK, label, anchor="ma")
    left = MARGIN + large + 3 * GAP
    for column, step in enumerate(steps):
        x = left + column * pitch
        draw.text((x + side // 2, labels), f"step {step:,}", INK, label, anchor="ma")
        for row, picture in enumerate(samples[step][:MAX_ROWS]):
            _place(page, picture, x, top + row * pitch, side)
    return page


def grid(pictures: Sequence[Image.Image], columns: int) -> Image.Image:
    """Pictures side by side, row by row, as tiles of 160 to 256 pixels."""
    side = _side(pictures)
    pitch = side + GAP
    columns = min(columns, len(pictures))
    rows = -(-len(pictures) // columns)
    page = Image.new("RGB", (columns * pitch + GAP, rows * pitch + GAP), PAPER)
    for i, picture in enumerate(pictures):
        _place(page, picture, GAP + i % columns * pitch, GAP + i // columns * pitch, side)
    return page


def _spread(steps: Sequence[int], count: int) -> list[int]:
    """At most `count` of the steps, evenly chosen, the first and the last among them."""
    if len(steps) <= count:
        return list(steps)
    return [steps[round(i * (len(steps) - 1) / (count - 1))] for i in range(count)]


def _side(pictures: Sequence[Image.Image]) -> int:
    """The width of a tile that suits the pictures."""
    return min(max([160, *(picture.width for picture in pictures)]), 256)


def _place(page: Image.Image, picture: Image.Image, x: int, y: int, side: int) -> None:
    """Put a picture's middle square on the page, with softly rounded corners."""
    tile = ImageOps.fit(picture.convert("RGB"), (side, side), Image.Resampling.LANCZOS)
    outline = Image.new("L", (side * 4, side * 4))
    ImageDraw.Draw(outline).rounded_rectangle((0, 0, side * 4 - 1, side * 4 - 1), 24, fill=255)
    page.paste(tile, (x, y), outline.resize((side, side), Image.Resampling.LANCZOS))


def _wrapped(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> list[str]:
    """A text in lines of at most so many pixels."""
    letters = max(1, round(len(text) * width / max(font.getlength(text), 1)) - 2)
    return textwrap.wrap(text, letters)
