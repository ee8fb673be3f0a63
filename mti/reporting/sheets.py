"""Sheets of pictures: what the runs draw, side by side."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure
from PIL import Image, ImageDraw, ImageOps

from mti.reporting import style
from mti.reporting.runs import Collection, Run

SIDE = 112  # of a tile, in pixels
MARGIN = 1.4  # for the rows' names, in tiles
GAP = 0.08  # between tiles, in tiles
PITCH = 1 + GAP
INCHES = 0.72  # of a tile
DPI = 140

MIDDLE = 100  # the step that is shown beside the first and the last, if it was sampled

Tile = Image.Image | None
"""A picture as `rounded` gives it, or a gap."""


def inputs(collection: Collection) -> dict[str, Image.Image]:
    """The concepts' pictures that the compared runs have kept, as tiles."""
    found = {}
    for label in collection.compared:
        for cell in collection.cells:
            if cell[0] not in found and (picture := collection.finished[label][cell].folder.input()):
                found[cell[0]] = rounded(picture)
    return found


def contact_sheet(collection: Collection) -> Figure | None:
    """The concept, then for each initializer its first sample at step 0, step 100 and the end; a row a picture.

    Of each picture the first seed is shown. None if the runs kept no pictures.
    """
    first = {picture: (picture, seed) for picture, seed in reversed(collection.cells)}
    rows = collection.pictures
    chosen = {label: [runs[first[picture]] for picture in rows] for label, runs in collection.finished.items()}
    steps = _shown([run for runs in chosen.values() for run in runs])
    if not steps:
        return None
    blocks = {
        label: {f"step {step:,}": [_tile(run.folder.pictures(step)) for run in runs] for step in steps}
        for label, runs in chosen.items()
    }
    return sheet(rows, _input_column(rows, inputs(collection)) | blocks)


def personalization(collection: Collection, label: str) -> Figure | None:
    """Figure A.2: a row a picture, a column a prompt, drawn with what one initializer's runs have learned.

    Of each picture the first seed's latest are shown. None if those runs kept no such pictures.
    """
    kept: dict[str, dict[str, list[Image.Image]]] = {}
    for picture, seed in collection.cells:
        folder = collection.finished[label][picture, seed].folder
        if picture not in kept and (steps := folder.personalized_steps()):
            kept[picture] = folder.personalization(steps[-1])
    if not kept:
        return None
    rows = list(kept)
    prompts = list(dict.fromkeys(prompt for pictures in kept.values() for prompt in pictures))
    columns = {
        prompt.replace("{}", "S*"): [_tile(pictures.get(prompt, [])) for pictures in kept.values()]
        for prompt in prompts
    }
    return sheet(rows, _input_column(rows, inputs(collection)) | {label: columns})


def _input_column(rows: Sequence[str], found: Mapping[str, Image.Image]) -> dict[str, dict[str, list[Tile]]]:
    """A block without a name for the concepts' own pictures, if any is known."""
    return {"": {"input": [found.get(row) for row in rows]}} if found else {}


def sheet(rows: Sequence[str], blocks: Mapping[str, Mapping[str, Sequence[Tile]]]) -> Figure:
    """Tiles in named rows and in blocks of named columns, a little apart from each other."""
    starts = _starts(blocks)
    across = max(start + len(blocks[name]) * PITCH for name, start in starts.items()) - GAP
    down = len(rows) * PITCH - GAP
    lines = max(len(_lines(name)) for columns in blocks.values() for name in columns)
    head = 0.35 + 0.22 * lines + (0.3 if any(blocks) else 0)
    figure = Figure(figsize=((MARGIN + across + GAP) * INCHES, (head + down + GAP) * INCHES), dpi=DPI)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    page = Image.new("RGBA", (round(across * SIDE), round(down * SIDE)))
    color = style.colors([name for name in blocks if name])
    small: Any = {"ha": "center", "va": "bottom", "color": style.PENCIL, "size": 8}
    for name, left in starts.items():
        if name:
            middle = left + (len(blocks[name]) * PITCH - GAP) / 2
            axes.text(middle, -0.18 - 0.22 * lines, name, **small | {"color": color[name], "size": 11}, weight="bold")
        for k, (title, tiles) in enumerate(blocks[name].items()):
            x = left + k * PITCH
            axes.text(x + 0.5, -0.12, "\n".join(_lines(title)), **small)
            for i, tile in enumerate(tiles):
                if tile:
                    page.paste(tile, (round(x * SIDE), round(i * PITCH * SIDE)))
                else:
                    axes.text(x + 0.5, i * PITCH + 0.5, "–", **small | {"va": "center"})
    for i, row in enumerate(rows):
        axes.text(-0.15, i * PITCH + 0.5, row.replace("_", " "), ha="right", va="center", size=10)
    axes.imshow(page, extent=(0, across, down, 0), aspect="auto")
    axes.set(xlim=(-MARGIN, across + GAP), ylim=(down + GAP, -head))
    return figure


def _starts(blocks: Mapping[str, Mapping[str, Sequence[Tile]]]) -> dict[str, float]:
    """Where each block begins, in tiles from the left."""
    starts, left = {}, 0.0
    for name, columns in blocks.items():
        starts[name] = left
        left += len(columns) * PITCH + 2 * GAP
    return starts


def _shown(runs: Sequence[Run]) -> list[int]:
    """The first, the middle and the last of the steps at which all runs kept pictures."""
    steps = sorted(set.intersection(*(set(run.folder.sampled_steps()) for run in runs)))
    if len(steps) < 3:
        return steps
    middle = min(steps[1:-1], key=lambda step: abs(step - MIDDLE))
    return [steps[0], middle, steps[-1]]


def _tile(pictures: Sequence[Image.Image]) -> Tile:
    """The first of the pictures."""
    return rounded(pictures[0]) if pictures else None


def _lines(name: str) -> list[str]:
    return textwrap.wrap(name, 12)


def rounded(picture: Image.Image) -> Image.Image:
    """A picture's middle square with soft corners, as RGBA."""
    tile = ImageOps.fit(picture.convert("RGB"), (SIDE, SIDE), Image.Resampling.BICUBIC)
    outline = Image.new("L", (SIDE * 4, SIDE * 4))
    ImageDraw.Draw(outline).rounded_rectangle((0, 0, SIDE * 4 - 1, SIDE * 4 - 1), SIDE / 3, fill=255)
    tile.putalpha(outline.resize((SIDE, SIDE), Image.Resampling.LANCZOS))
    return tile
