"""How the figures look: a colour, a dash and a marker per series, names beside the lines, little else."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import matplotlib as mpl
import numpy as np
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, StrMethodFormatter

INK, PENCIL, THREAD, LINE, PAPER = "#1f2328", "#6b7281", "#b6bec8", "#d8dee4", "#ffffff"
DPI = 200
INITIALIZERS = {"star": "#6b7280", "multistar": "#1d4ed8", "class": "#d97706", "caption": "#dc2626"}
OTHERS = ("#059669", "#7c3aed", "#db2777", "#0891b2", "#65a30d", "#92400e", "#334155")
COLUMN, PAGE = 3.3, 6.9  # inches: the widths of a figure in a paper of two columns
FAMILIES = ("Inter", "Noto Sans", "Open Sans", "Liberation Sans", "DejaVu Sans")  # the last comes with matplotlib


class Look(NamedTuple):
    """How a series is drawn: told apart without colours too. Dash and marker are matplotlib's words."""

    color: str
    dash: Any
    marker: str


DASHES = ("solid", (0, (5, 1.6)), (0, (1, 1.1)), (0, (5, 1.4, 1, 1.4)), (0, (9, 2)), (0, (9, 1.6, 1, 1.6)))
MARKERS = ("o", "s", "D", "^", "v", "P", "X", "p")
FIXED = {"star": (2, "D"), "multistar": (1, "s"), "class": (3, "^"), "caption": (0, "o")}


def looks(labels: Sequence[str]) -> dict[str, Look]:
    """A colour, a dash and a marker for each series; the four initializers keep theirs whatever else there is."""
    found, count = {}, 0
    for label in labels:
        if label in INITIALIZERS:
            dash, marker = FIXED[label]
            found[label] = Look(INITIALIZERS[label], DASHES[dash], marker)
        else:
            dash, marker = DASHES[count % len(DASHES)], MARKERS[count % len(MARKERS)]
            found[label] = Look(OTHERS[count % len(OTHERS)], dash, marker)
            count += 1
    return found


@contextmanager
def styled() -> Iterator[None]:
    """Matplotlib's settings while the report's figures are made."""
    installed = {font.name for font in font_manager.fontManager.ttflist}
    settings: Any = {
        "font.family": [name for name in FAMILIES if name in installed],  # the first that has the letter
        "font.size": 8,
        "text.color": INK,
        "axes.edgecolor": LINE,
        "axes.labelcolor": PENCIL,
        "axes.titlecolor": INK,
        "axes.titlesize": 8.5,
        "axes.titleweight": "bold",
        "axes.titlelocation": "left",
        "axes.titlepad": 7,
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
        "lines.linewidth": 1.4,
        "lines.solid_capstyle": "round",
        "figure.constrained_layout.w_pad": 0.06,
        "figure.constrained_layout.h_pad": 0.06,
        "lines.markersize": 3,
        "pdf.fonttype": 42,  # whole TrueType fonts, as publishers ask for
        "text.parse_math": False,  # a dollar in a caption is a dollar
        "text.usetex": False,
    }
    with mpl.rc_context(settings), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font")  # of a name in letters that no font here has
        warnings.filterwarnings("ignore", "constrained_layout not applied")  # names leave no room: panels touch
        yield


def new(columns: int, rows: int = 1, width: float = PAGE, height: float = 2.6) -> tuple[Figure, np.ndarray]:
    """A figure of no window, and its axes as an array [rows, columns]."""
    figure = Figure(figsize=(width, height), dpi=DPI, layout="constrained")
    return figure, figure.subplots(rows, columns, squeeze=False)


def panels(count: int, width: float, height: float = 2.3, across: int = 2) -> tuple[Figure, list[Axes]]:
    """A figure of so many panels, each `height` inches high: `across` in a row, or one in a column's width."""
    columns = 1 if width < PAGE else max(1, min(across, count))
    rows = -(-count // columns)
    figure, axes = new(columns, rows, width, height * rows)
    for unused in axes.flat[count:]:
        unused.set_axis_off()
    return figure, list(axes.flat[:count])


def key(figure: Figure, look: Mapping[str, Look]) -> None:
    """The series' names with their lines, above all panels."""
    handles = [
        Line2D([], [], color=one.color, linestyle=one.dash, marker=one.marker, label=f" {brief(name, 60)}")
        for name, one in look.items()
    ]
    columns = -(-len(look) // key_rows(list(look), figure.get_size_inches()[0]))
    figure.legend(handles=handles, loc="outside upper left", ncols=columns, frameon=False, handlelength=3.2)


def key_rows(names: Sequence[str], width: float) -> int:
    """How many rows, of about a sixth of an inch each, a key of these names takes in so many inches."""
    across = int(width / (0.5 + 0.065 * min(60, max(len(name) for name in names))))
    return -(-len(names) // max(1, min(len(names), across)))


def step_axis(axes: Axes, ticks: int = 5) -> None:
    """Round numbers of steps along the bottom."""
    axes.xaxis.set_major_locator(MaxNLocator(ticks, integer=True, steps=[1, 2, 2.5, 5, 10]))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))


def step_text(value: float | int | None) -> str:
    """A step, to a tenth where it is small; None and infinity stand for never."""
    if value is None or not np.isfinite(value):
        return "not within the run"
    return f"{value:,.1f}".removesuffix(".0") if value < 10 else f"{value:,.0f}"


def number(value: float | int | None, digits: int = 4, sign: str = "") -> str:
    """A measured value with so many digits that matter; None is a dash. `sign="+"` writes a plus too."""
    if value is None:
        return "–"
    form = f"{sign},.0f" if abs(value) >= 10**digits / 10 else f"{sign}.{digits}g"
    return format(value, form).replace("-", "−")


def brief(text: str, longest: int = 28) -> str:
    """A text's begin, where the whole would take the figure's room."""
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def label_ends(axes: Axes, ends: Mapping[str, float], color: Mapping[str, str], size: float = 7.5) -> None:
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
        axes.annotate(brief(name), (1, place), (5, 0), color=color[name], size=size, annotation_clip=False, **where)


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
