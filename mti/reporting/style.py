"""How the figures look: a colour per initializer, labels beside the lines, few lines that are not data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, StrMethodFormatter

INK, PENCIL, THREAD, LINE, PAPER = "#1f2328", "#6b7281", "#b6bec8", "#d8dee4", "#ffffff"
DPI = 200
INITIALIZERS = {"star": "#6b7280", "multistar": "#2563eb", "class": "#d97706", "caption": "#dc2626"}
OTHERS = ("#059669", "#7c3aed", "#db2777", "#0891b2", "#65a30d", "#92400e")
FAMILIES = ("Inter", "Noto Sans", "Open Sans", "Liberation Sans", "DejaVu Sans")  # the last comes with matplotlib

NAMES = {
    "mse": "LDM MSE",
    "lpips": "LPIPS",
    "sifid": "SIFID",
    "clip_i": "CLIP-I",
    "clip_t": "CLIP-T",
    "dino": "DINO",
}
HIGHER_IS_BETTER = ("clip_i", "clip_t", "dino")


def colors(labels: Sequence[str]) -> dict[str, str]:
    """The four initializers keep their colours whatever else there is."""
    spare = iter(OTHERS * len(labels))
    return {label: INITIALIZERS.get(label) or next(spare) for label in labels}


def metric_name(metric: str) -> str:
    """A metric's name for people: `eval/lpips_pocket` is "LPIPS (pocket)", never plain LPIPS."""
    name = metric.removeprefix("eval/")
    plain = name.removesuffix("_pocket")
    shown = NAMES.get(plain, plain)
    return shown if plain == name else f"{shown} (pocket)"


def better(metric: str) -> str:
    """Which way is good, where that is known."""
    name = metric.removeprefix("eval/").removesuffix("_pocket")
    return "higher is better" if name in HIGHER_IS_BETTER else "lower is better" if name in NAMES else ""


@contextmanager
def styled() -> Iterator[None]:
    """Matplotlib's settings while the report's figures are made."""
    installed = {font.name for font in font_manager.fontManager.ttflist}
    settings: Any = {
        "font.family": [name for name in FAMILIES if name in installed],  # the first that has the letter
        "font.size": 10.5,
        "text.color": INK,
        "axes.edgecolor": LINE,
        "axes.labelcolor": PENCIL,
        "axes.titlecolor": INK,
        "axes.titlesize": 11.5,
        "axes.titleweight": "bold",
        "axes.titlelocation": "left",
        "axes.titlepad": 10,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.spines.left": False,
        "axes.grid": True,
        "axes.grid.axis": "y",
        "axes.axisbelow": True,
        "axes.xmargin": 0.02,
        "grid.color": LINE,
        "grid.linewidth": 0.6,
        "xtick.color": LINE,
        "xtick.labelcolor": PENCIL,
        "ytick.color": LINE,
        "ytick.labelcolor": PENCIL,
        "ytick.major.size": 0,
        "ytick.alignment": "center",
        "lines.linewidth": 2.0,
        "lines.solid_capstyle": "round",
        "figure.constrained_layout.w_pad": 0.12,
        "figure.constrained_layout.h_pad": 0.12,
        "svg.fonttype": "path",
        "pdf.fonttype": 42,
    }
    with mpl.rc_context(settings):
        yield


def new(columns: int, rows: int = 1, width: float = 10.0, height: float = 3.9) -> tuple[Figure, np.ndarray]:
    """A figure of no window, and its axes as an array [rows, columns]."""
    figure = Figure(figsize=(width, height), dpi=DPI, layout="constrained")
    return figure, figure.subplots(rows, columns, squeeze=False)


def step_axis(axes: Axes, ticks: int = 5) -> None:
    """Round numbers of steps along the bottom."""
    axes.xaxis.set_major_locator(MaxNLocator(ticks, integer=True, steps=[1, 2, 2.5, 5, 10]))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))


def step_text(value: float | int | None) -> str:
    """A step, to a tenth where it is small; None and infinity stand for never."""
    if value is None or not np.isfinite(value):
        return "not within the run"
    return f"{value:,.1f}".removesuffix(".0") if value < 10 else f"{value:,.0f}"


def label_ends(axes: Axes, ends: Mapping[str, float], color: Mapping[str, str], size: float = 10) -> None:
    """Write each line's name to the right of its end, moved apart where they would touch.

    To be called when the axes have their limits; the layout, which comes later, keeps room for the names and
    leaves the axes at least as high as they are.
    """
    bottom, top = axes.get_ylim()
    gap = size * 1.2 / 72 * (top - bottom) / (axes.get_window_extent().height / axes.figure.dpi)
    ends = {name: value for name, value in ends.items() if np.isfinite(value)}
    names = sorted(ends, key=lambda name: ends[name])
    places = apart([ends[name] for name in names], gap)
    for name, place in zip(names, places, strict=True):
        where = {"xycoords": ("axes fraction", "data"), "textcoords": "offset points", "va": "center"}
        axes.annotate(name, (1, place), (5, 0), color=color[name], size=size, annotation_clip=False, **where)


def apart(places: Sequence[float], gap: float) -> list[float]:
    """Ascending places moved as little as need be until neighbours are `gap` apart.

    Touching ones form a block around the mean of where they belong.
    """
    blocks: list[list[float]] = []  # each: the places of its members
    for place in places:
        blocks.append([place])
        while len(blocks) > 1 and _start(blocks[-1], gap) < _start(blocks[-2], gap) + gap * len(blocks[-2]):
            last = blocks.pop()
            blocks[-1] += last
    return [_start(block, gap) + i * gap for block in blocks for i in range(len(block))]


def _start(block: Sequence[float], gap: float) -> float:
    return float(np.mean(block)) - gap * (len(block) - 1) / 2
