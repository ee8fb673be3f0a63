"""Sheets of pictures: what the runs draw, side by side."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

from matplotlib.figure import Figure
from PIL import Image, ImageDraw, ImageOps

from mti.reporting import style
from mti.reporting.collection import Collection
from mti.reporting.reading import plain
from mti.reporting.runs import Run
from mti.types import UserError

SIDE = 112  # of a printed tile, in pixels
LARGEST = 320  # pixels of a kept picture
MARGIN = 1.4  # for the rows' names, in tiles
GAP = 0.08  # between tiles, in tiles
PITCH = 1 + GAP
INCHES = 0.62  # of a tile, where the width allows
MIDDLE = 100  # the step that is shown beside the first and the last, if it was sampled
MOST_ROWS, MOST_SERIES, MOST_PROMPTS = 12, 8, 24  # on a sheet; whatever there is beyond stays in the run folders

Tile = Image.Image | None
"""A picture of at most `LARGEST` pixels, or a gap."""


class Sheet(NamedTuple):
    """Pictures in named rows, and in blocks (a series, or "" for the concepts) of named columns."""

    rows: Sequence[str]
    blocks: Mapping[str, Mapping[str, Sequence[Tile]]]


def contact_sheet(collection: Collection) -> Sheet | None:
    """The concept, then for each series its first sample at step 0, step 100 and the end; a row a picture.

    Of each picture the first seed is shown. None if the runs kept no pictures.
    """
    rows, chosen = _rows(collection), {}
    for label in collection.compared[:MOST_SERIES]:
        chosen[label] = [collection.finished[label][cell] for cell in rows]
    steps = _shown(collection, [run for runs in chosen.values() for run in runs])
    if not steps:
        return None
    blocks = {
        label: {f"step {step:,}": [_first(collection, run, step) for run in runs] for step in steps}
        for label, runs in chosen.items()
    }
    return Sheet([picture for picture, _ in rows], _inputs(collection, rows) | blocks)


def personalization(collection: Collection, label: str) -> Sheet | None:
    """Figure A.2: a row a picture, a column a prompt, drawn with what one series' runs have learned.

    Of each picture the first seed's latest are shown. None if those runs kept no such pictures.
    """
    kept: dict[tuple[str, int], dict[str, Tile]] = {}
    for cell in _rows(collection):
        run = collection.finished[label][cell]
        if found := _personalized(collection, run):
            kept[cell] = found
    if not kept:
        return None
    prompts = list(dict.fromkeys(prompt for pictures in kept.values() for prompt in pictures))[:MOST_PROMPTS]
    columns = {prompt.replace("{}", "S*"): [pictures.get(prompt) for pictures in kept.values()] for prompt in prompts}
    return Sheet([picture for picture, _ in kept], _inputs(collection, list(kept)) | {label: columns})


def draw(sheet: Sheet, width: float = style.PAGE) -> Figure:
    """A sheet as a figure of at most `width` inches; no wider than its tiles need."""
    starts = _starts(sheet.blocks)
    across = max(start + len(sheet.blocks[name]) * PITCH for name, start in starts.items()) - GAP
    down = len(sheet.rows) * PITCH - GAP
    lines = max(len(_lines(name)) for columns in sheet.blocks.values() for name in columns)
    head = 0.35 + 0.22 * lines + (0.3 if any(sheet.blocks) else 0)
    inches = min(INCHES, width / (MARGIN + across + GAP))
    size = 7 * inches / INCHES
    figure = Figure(figsize=((MARGIN + across + GAP) * inches, (head + down + GAP) * inches), dpi=style.DPI)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    page = Image.new("RGBA", (round(across * SIDE), round(down * SIDE)))
    look = style.looks([name for name in sheet.blocks if name])
    small: Any = {"ha": "center", "va": "bottom", "color": style.PENCIL, "size": size}
    for name, left in starts.items():
        if name:
            middle = left + (len(sheet.blocks[name]) * PITCH - GAP) / 2
            title: Any = small | {"color": look[name].color, "size": 1.3 * size, "weight": "bold"}
            shown = textwrap.shorten(name, max(12, round(9 * len(sheet.blocks[name]))), placeholder="…")
            axes.text(middle, -0.18 - 0.22 * lines, shown, **title)
        for k, (words, tiles) in enumerate(sheet.blocks[name].items()):
            x = left + k * PITCH
            axes.text(x + 0.5, -0.12, "\n".join(_lines(words)), **small)
            for i, tile in enumerate(tiles):
                if tile:
                    page.paste(rounded(tile), (round(x * SIDE), round(i * PITCH * SIDE)))
                else:
                    axes.text(x + 0.5, i * PITCH + 0.5, "–", **small | {"va": "center"})
    for i, row in enumerate(sheet.rows):
        axes.text(-0.15, i * PITCH + 0.5, "\n".join(_lines(row)), ha="right", va="center", size=1.1 * size)
    axes.imshow(page, extent=(0, across, down, 0), aspect="auto")
    axes.set(xlim=(-MARGIN, across + GAP), ylim=(down + GAP, -head))
    return figure


def rounded(picture: Image.Image) -> Image.Image:
    """A picture's middle square with soft corners, as RGBA."""
    tile = ImageOps.fit(picture.convert("RGB"), (SIDE, SIDE), Image.Resampling.BICUBIC)
    tile.putalpha(_corners())
    return tile


@cache
def _corners() -> Image.Image:
    """How opaque a tile is: fully, but for its corners."""
    outline = Image.new("L", (SIDE * 4, SIDE * 4))
    ImageDraw.Draw(outline).rounded_rectangle((0, 0, SIDE * 4 - 1, SIDE * 4 - 1), SIDE / 3, fill=255)
    return outline.resize((SIDE, SIDE), Image.Resampling.LANCZOS)


def _rows(collection: Collection) -> list[tuple[str, int]]:
    """The cells that are shown: each picture's first seed."""
    first = {picture: (picture, seed) for picture, seed in reversed(collection.cells)}
    return [first[picture] for picture in collection.pictures[:MOST_ROWS]]


def _inputs(collection: Collection, rows: Sequence[tuple[str, int]]) -> dict[str, dict[str, list[Tile]]]:
    """A block without a name for the concepts' own pictures, if any is known."""
    found: list[Tile] = []
    for cell in rows:
        kept: Tile = None
        for label in collection.compared:
            run = collection.finished[label][cell]
            kept = kept or _small(_read(collection, run, run.folder.input))
        found.append(kept)
    return {"": {"input": found}} if any(found) else {}


def _first(collection: Collection, run: Run, step: int) -> Tile:
    """The first picture that a run drew at a step."""
    pictures = _read(collection, run, lambda: run.folder.pictures(step))
    return _small(pictures[0]) if pictures else None


def _personalized(collection: Collection, run: Run) -> dict[str, Tile]:
    """The first picture of each personalization prompt, of the latest step that has any."""
    steps = _read(collection, run, run.folder.personalized_steps)
    found = _read(collection, run, lambda: run.folder.personalization(steps[-1])) if steps else None
    return {plain(prompt): _small(pictures[0]) for prompt, pictures in (found or {}).items() if pictures}


def _read(collection: Collection, run: Run, reading: Any) -> Any:
    """What a reading of a run folder gives; None, and a line among the problems, if its files are damaged."""
    try:
        return reading()
    except UserError as error:
        line = f"{run.title}: {plain(str(error))}"
        if line not in collection.damaged:
            collection.damaged.append(line)
        return None


def _small(picture: Image.Image | None) -> Tile:
    if picture is None:
        return None
    small = picture.convert("RGB")
    small.thumbnail((LARGEST, LARGEST))
    return small


def _starts(blocks: Mapping[str, Mapping[str, Sequence[Tile]]]) -> dict[str, float]:
    """Where each block begins, in tiles from the left."""
    starts, left = {}, 0.0
    for name, columns in blocks.items():
        starts[name] = left
        left += len(columns) * PITCH + 2 * GAP
    return starts


def _shown(collection: Collection, runs: Sequence[Run]) -> list[int]:
    """The first, the middle and the last of the steps at which all runs kept pictures that kept any."""
    kept = [set(steps) for run in runs if (steps := _read(collection, run, run.folder.sampled_steps))]
    steps = sorted(set.intersection(*kept)) if kept else []
    if len(steps) < 3:
        return steps
    middle = min(steps[1:-1], key=lambda step: abs(step - MIDDLE))
    return [steps[0], middle, steps[-1]]


def _lines(name: str) -> list[str]:
    return textwrap.wrap(name, 12)[:4] or [""]
