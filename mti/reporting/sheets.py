"""Sheets of pictures: what the runs draw, side by side."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from PIL import Image, ImageDraw, ImageOps

from mti.reporting import style
from mti.reporting.runs import Collection, Run

LARGEST_TILE = 160  # pixels; smaller pictures stay as they are
MARGIN = 1.4  # for the rows' names, in tiles
GAP = 0.08  # between tiles, in tiles
MIDDLE = 100  # the step that is shown beside the first and the last, if it was sampled

Tile = np.ndarray | None
"""A picture as RGBA, or a gap."""


def inputs(collection: Collection) -> dict[str, np.ndarray]:
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
        label: {f"{step:,}": [_tile(run.folder.pictures(step)) for run in runs] for step in steps}
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


def _input_column(rows: Sequence[str], found: Mapping[str, np.ndarray]) -> dict[str, dict[str, list[Tile]]]:
    """A block without a name for the concepts' own pictures, if any is known."""
    return {"": {"input": [found.get(row) for row in rows]}} if found else {}


def sheet(rows: Sequence[str], blocks: Mapping[str, Mapping[str, Sequence[Tile]]]) -> Figure:
    """Tiles in named rows and in blocks of named columns, a little apart from each other."""
    count = sum(len(columns) for columns in blocks.values())
    width = MARGIN + count * (1 + GAP) + (len(blocks) - 1) * 3 * GAP
    lines = max(len(_lines(name)) for columns in blocks.values() for name in columns)
    head = 0.35 + 0.24 * lines + (0.3 if any(name.strip() for name in blocks) else 0)
    height = head + len(rows) * (1 + GAP)
    figure = Figure(figsize=(width * 0.72, height * 0.72))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    color = style.colors([name for name in blocks if name.strip()])
    left = 0.0
    for name, columns in blocks.items():
        across = len(columns) * (1 + GAP) - GAP
        top = -0.18 - 0.24 * lines
        if name.strip():
            axes.text(left + across / 2, top, name, ha="center", va="bottom", color=color[name], weight="bold", size=11)
        for title, tiles in columns.items():
            axes.text(left + 0.5, -0.12, "\n".join(_lines(title)), ha="center", va="bottom", color=style.PENCIL, size=9)
            for i, tile in enumerate(tiles):
                y = i * (1 + GAP)
                extent = (left, left + 1, y + 1, y)
                if tile is not None:
                    axes.imshow(tile, extent=extent, aspect="auto", interpolation="none")
                else:
                    axes.text(left + 0.5, y + 0.5, "–", ha="center", va="center", color=style.PENCIL)
            left += 1 + GAP
        left += 3 * GAP
    for i, row in enumerate(rows):
        axes.text(-0.15, i * (1 + GAP) + 0.5, row.replace("_", " "), ha="right", va="center", size=10)
    axes.set(xlim=(-MARGIN, width - MARGIN), ylim=(height - head, -head))
    return figure


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
    return textwrap.wrap(name, 13)


def rounded(picture: Image.Image) -> np.ndarray:
    """A picture's middle square with soft corners, as RGBA."""
    side = min(LARGEST_TILE, *picture.size)
    tile = ImageOps.fit(picture.convert("RGB"), (side, side), Image.Resampling.LANCZOS)
    large = max(side, 128)
    tile = tile.resize((large, large), Image.Resampling.BICUBIC)
    outline = Image.new("L", (large * 4, large * 4))
    ImageDraw.Draw(outline).rounded_rectangle((0, 0, large * 4 - 1, large * 4 - 1), large / 3, fill=255)
    tile.putalpha(outline.resize((large, large), Image.Resampling.LANCZOS))
    return np.asarray(tile)
