"""The twelve concept pictures of the pocket data set: `python -m mti.pocket.concepts`.

Each is an individual of one of the paper's twelve kinds (table A.1): a scene that the training set
leaves out, with decorations that no caption of the world can name.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from mti.pocket import world

FOLDER = Path(__file__).parent / "concepts"
SIZE = 256

# Concept -> further stickers: glyph, colour (None: its own), centre (x, y) and size in object widths.
DECORATIONS: dict[str, list[tuple[str, str | None, float, float, float]]] = {
    "coffee_mug": [("🎀", "red", 0.47, 0.36, 0.2)],
    "cup": [("🍓", None, 0.44, 0.36, 0.22), ("🍓", None, 0.58, 0.80, 0.2)],
    "backpack": [("⚓", "turquoise", 0.42, 0.80, 0.24)],
    "sneaker": [("⭐", "turquoise", 0.5, 0.55, 0.2), ("⭐", "purple", 0.3, 0.5, 0.16)],
    "teddy_bear": [("👀", None, 0.5, 0.25, 0.3), ("🌼", "pink", 0.3, 0.86, 0.2), ("🌼", "pink", 0.7, 0.86, 0.2)],
    "bird": [("👑", "gold", 0.3, 0.26, 0.24)],
    "go_kart": [("👦", None, 0.5, 0.42, 0.3), ("❤", "white", 0.86, 0.52, 0.14)],
    "maraca": [("🐱", None, 0.72, 0.3, 0.34)],
    "analog_clock": [("⭐", "turquoise", 0.26, 0.2, 0.2), ("⭐", "turquoise", 0.76, 0.2, 0.2)],
    "teapot": [("🍁", "gold", 0.36, 0.46, 0.2), ("🍁", "gold", 0.66, 0.5, 0.2)],
    "ocarina": [("🐘", "white", 0.3, 0.62, 0.28), ("🐘", "white", 0.74, 0.62, 0.28)],
}


def concept_picture(name: str, size: int = SIZE) -> Image.Image:
    """The picture of a shipped concept, RGB, `size` by `size`."""
    scene = world.CONCEPT_SCENES[name]
    thing = world.thing_picture(scene)
    if name == "sunglasses":
        thing = _brown_lenses(thing)
    for glyph, color, x, y, side in DECORATIONS.get(name, []):
        thing = world.stick(thing, glyph, color, x, y, side)
    return world.place(thing, scene, size)[0]


def _brown_lenses(thing: Image.Image) -> Image.Image:
    """The sunglasses with their dark parts brown and a glint on either lens."""
    pixels = np.asarray(thing).copy()
    lightness = np.asarray(world.glyph(world.KINDS["sunglasses"][0]).convert("L"))
    pixels[lightness < 40, :3] = (84, 40, 16)
    lenses = Image.fromarray(pixels, "RGBA")
    draw = ImageDraw.Draw(lenses)
    for x in (32, 84):
        draw.line([(x, 70), (x + 12, 56)], fill=(250, 226, 190, 255), width=3)
    return lenses


def main() -> None:
    """Draw the twelve pictures into the data set's folder."""
    FOLDER.mkdir(exist_ok=True)
    for name in world.CONCEPT_SCENES:
        concept_picture(name).save(FOLDER / f"{name}.png", optimize=True)


if __name__ == "__main__":
    main()
