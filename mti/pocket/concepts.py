"""The pictures of what is held out: the twelve concepts, and these and thirty-six more individuals in new scenes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter

from mti.pocket import language
from mti.pocket.drawing import draw
from mti.pocket.held_out import CONCEPTS, individuals
from mti.pocket.stage import Options
from mti.pocket.world import KINDS, Scene
from mti.templates import SLOT

STEPS = 0
FOLDER = Path(__file__).parent / "concepts"
INDIVIDUALS = Path(__file__).parent / "individuals"
SIZE, SMALL = 256, 96  # pixels

# The concepts whose recorded captions call them by a second name.
CALLED = {
    "coffee_mug": "mug",
    "sunglasses": "pair of sunglasses",
    "teddy_bear": "plush toy",
    "go_kart": "toy car",
    "analog_clock": "clock",
}


def click_in(scene: Scene, size: int) -> tuple[int, int]:
    """A click on the scene's thing, (x, y) in its picture's pixels: where there is most of the thing around."""
    mask = draw(scene, size)[1]
    room = Image.fromarray(mask).convert("L").filter(ImageFilter.GaussianBlur(size / 10))
    y, x = np.unravel_index(int((np.asarray(room) * mask).argmax()), mask.shape)
    return int(x), int(y)


def record(scene: Scene, size: int, name: str | None = None) -> str:
    """What is recorded of an individual, whose first picture is of this scene, as yaml: class, caption and click."""
    label, caption = KINDS[scene.thing.kind][1][0], language.thing_caption(scene.thing, name)
    x, y = click_in(scene, size)
    return f"  class: {label}\n  caption: {caption}\n  click: [{x}, {y}]\n"


def run(options: Options) -> None:
    """Draw all pictures into the data sets' folders, and say what is recorded of them.

    What is printed of the concepts is what `conf/dataset/pocket.yaml` has; of the others it lies beside them.
    """
    FOLDER.mkdir(exist_ok=True)
    for name, scene in CONCEPTS.items():
        draw(scene, SIZE)[0].save(FOLDER / f"{name}.png", optimize=True)
        print(f"{name}:\n{record(scene, SIZE, CALLED.get(name))}", end="")
    records = ""
    for name, scenes in individuals().items():
        (INDIVIDUALS / name).mkdir(parents=True, exist_ok=True)
        for index, scene in enumerate(scenes):
            draw(scene, SMALL)[0].save(INDIVIDUALS / name / f"{index}.png", optimize=True)
            prompt = f"a photo of {SLOT} {language.background_phrase(scene.background)}\n"
            (INDIVIDUALS / name / f"{index}.txt").write_text(prompt)
        records += f"{name}:\n{record(scenes[0], SMALL, CALLED.get(name))}"
    (INDIVIDUALS / "concepts.yaml").write_text(records)
