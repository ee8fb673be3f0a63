"""Fidelity against editability: does a start that is fast keep following prompts? As a figure, for print."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise, product
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from mti.reporting import style
from mti.reporting.collection import Collection
from mti.reporting.metrics import Metric, describe
from mti.reporting.statistics import Estimate, Measured, paired_estimates
from mti.reporting.style import PAGE, Look

ORDER = {
    "editability": ("followed_pocket", "clip_t", "clip_t_pocket"),
    "fidelity": (
        *("lpips_pocket_thing", "lpips_thing", "lpips_pocket", "lpips"),
        *("clip_i", "clip_i_pocket", "dino", "dino_pocket"),
    ),
}
"""Which metric of a kind is drawn where there are several: the first of these, then others by name."""
FEWEST_STEPS = 2
SIZE, LETTER, CLEAR = 6.5, 0.055, 0.06  # of a step's number: points, and inches of a digit and from its point
WAYS = np.array([(0, 1), (0, -1), (1, 0), (-1, 0), (0.8, 0.8), (-0.8, 0.8), (0.8, -0.8), (-0.8, -0.8)])
CORNERS = np.array([(x, y) for x in (-1, 0, 1) for y in (-1, 0, 1)])

Line = Float[np.ndarray, "steps 2"]
Points = Float[np.ndarray, "points 2"]


class Tradeoff(NamedTuple):
    """Two metrics of the compared series in the same cells and at the same steps; across and up."""

    names: tuple[str, str]  # columns of metrics.csv: of editability, of fidelity
    about: tuple[Metric, Metric]
    measured: tuple[Measured, Measured]

    @property
    def steps(self) -> list[int]:
        """The steps at which both were measured."""
        return self.measured[0].steps.tolist()

    def estimates(self) -> dict[str, tuple[Estimate, Estimate]]:
        """Each series' means with paired intervals, across and up."""
        across, up = (paired_estimates(one) for one in self.measured)
        return {name: (across[name], up[name]) for name in across}


def tradeoff(collection: Collection) -> Tradeoff | None:
    """The first pair of metrics, in the order of `ORDER`, of which two steps have both; None without one."""
    about = {name: describe(name, collection.chosen) for name in collection.metrics if name.startswith("eval/")}
    for pair in product(_ranked("editability", about), _ranked("fidelity", about)):
        first, second = (collection.measured(name) for name in pair)
        if first is None or second is None:
            continue
        steps = np.intersect1d(first.steps, second.steps)
        if len(steps) >= FEWEST_STEPS:
            return Tradeoff(pair, (about[pair[0]], about[pair[1]]), (_at(steps, first), _at(steps, second)))
    return None


def _ranked(kind: str, about: Mapping[str, Metric]) -> list[str]:
    rank = {f"eval/{name}": i for i, name in enumerate(ORDER[kind])}
    return sorted(
        (name for name, one in about.items() if one.about == kind), key=lambda name: (rank.get(name, 99), name)
    )


def _at(steps: np.ndarray, measured: Measured) -> Measured:
    """What was measured at some of the steps."""
    index = np.searchsorted(measured.steps, steps)
    return Measured(steps, measured.cells, {name: values[:, index] for name, values in measured.values.items()})


def draw(found: Tradeoff, width: float = PAGE) -> Figure:
    """A line per series through the steps; better is up and to the right, whichever way the metrics count."""
    series = found.estimates()
    look, key = style.looks(list(series)), style.key_rows(list(series), width) / 6
    figure, axes = style.new(1, 1, width, key + (3.4 if width == PAGE else 2.8))
    panel = axes[0, 0]
    for name, both in series.items():
        _line(panel, both, look[name])
    _fit(panel, np.concatenate([np.stack([one.mean for one in both], 1) for both in series.values()]))
    for axis, about, turn in zip(
        (panel.xaxis, panel.yaxis), found.about, (panel.invert_xaxis, panel.invert_yaxis), strict=True
    ):
        axis.set_major_locator(MaxNLocator(6, steps=[1, 2, 2.5, 5, 10]))
        words = style.brief(", ".join(filter(None, (about.label, about.unit))), 40)
        axis.set_label_text(f"{words} → better" if about.better else words)
        if about.better == "lower":
            turn()
    panel.grid(visible=True, axis="both")
    panel.set_title("Fidelity against editability")
    style.key(figure, look)
    figure.draw_without_rendering()  # the layout, which says where there is room for numbers
    _number(panel, found.steps, series, look)
    return figure


def _line(axes: Axes, both: tuple[Estimate, Estimate], look: Look) -> None:
    """Hollow where the run begins; larger, with a faint cross of both intervals, where it ends."""
    x, y = (one.mean for one in both)
    axes.plot(x, y, color=look.color, linestyle=look.dash, linewidth=1.2, alpha=0.75)
    axes.plot(x[1:-1], y[1:-1], look.marker, color=look.color)
    axes.plot(x[0], y[0], look.marker, color=look.color, markerfacecolor=style.PAPER, markersize=4.5, zorder=3)
    for interval in _cross(both):
        axes.plot(*interval.T, color=look.color, alpha=0.35, linewidth=1.5)
    axes.plot(x[-1], y[-1], look.marker, color=look.color, markersize=5.5, zorder=3)


def _cross(both: tuple[Estimate, Estimate]) -> list[Line]:
    """The intervals at the last step as two lines, one across and one up; none where they are not known."""
    x, y = (np.array(one)[:, -1] for one in both)  # mean, low, high
    if np.isnan([*x, *y]).any():
        return []
    return [np.array([(x[1], y[0]), (x[2], y[0])]), np.array([(x[0], y[1]), (x[0], y[2])])]


def _fit(axes: Axes, points: Points) -> None:
    """Show the means whole, with room for numbers, and of the crosses as much as leaves the means half of the axes."""
    low, high = points.min(0), points.max(0)
    room = np.where(high > low, (high - low) / 2, np.maximum(np.abs(high) / 10, 1e-3))
    limits = np.array([axes.get_xlim(), axes.get_ylim()]).T
    margin = 0.16 * room
    bottom, top = np.maximum(limits[0], low - room), np.minimum(limits[1], high + room)
    bottom, top = np.minimum(bottom, low - margin), np.maximum(top, high + margin)
    axes.set(xlim=(bottom[0], top[0]), ylim=(bottom[1], top[1]))


def _number(
    axes: Axes, steps: Sequence[int], series: Mapping[str, tuple[Estimate, Estimate]], look: Mapping[str, Look]
) -> None:
    """Write the steps of some points beside them, where they cover nothing."""
    window = axes.get_window_extent()
    inches = np.array([window.width, window.height]) / axes.figure.dpi

    def seen(points: Points) -> Points:
        return axes.transAxes.inverted().transform(axes.transData.transform(points)) * inches

    means = {name: np.stack([x.mean, y.mean], 1) for name, (x, y) in series.items()}
    paths = {name: seen(path) for name, path in means.items()}
    crosses = [seen(interval) for both in series.values() for interval in _cross(both)]
    ink = np.concatenate([_dense(line) for line in (*paths.values(), *crosses)])
    for name, i, (right, up) in places(paths, [f"{step:,}" for step in steps], ink):
        where = {"xytext": (72 * right, 72 * up), "textcoords": "offset points", "ha": "center", "va": "center"}
        word = axes.annotate(f"{steps[i]:,}", means[name][i], color=look[name].color, size=SIZE, **where)
        word.set_in_layout(False)


def places(
    paths: Mapping[str, Line], words: Sequence[str], ink: Points
) -> Iterator[tuple[str, int, tuple[float, float]]]:
    """Where points have room for a word: of which series, which point, and how far from it the word's middle is.

    Last points come first, then first ones, then those between, the middle first. Of eight sides the freest is taken;
    a point without a free one is left out. All in inches.

    Args:
        paths: the points of each series.
        words: what stands beside a point.
        ink: what must not be covered, as points that lie close together.
    """
    last = len(words) - 1
    for i in dict.fromkeys((last, 0, *sorted(range(1, last), key=lambda i: -(i & -i)))):
        half = np.array([LETTER * len(words[i]), SIZE / 72]) / 2 + 0.01
        for name, path in paths.items():
            ways = WAYS * (half + CLEAR)
            free = [(np.abs(ink - path[i] - way) / half).max(1).min() for way in ways]
            best = int(np.argmax(np.round(free, 1)))
            if free[best] >= 1:
                right, up = ways[best]
                ink = np.concatenate([ink, path[i] + ways[best] + CORNERS * half])
                yield name, i, (float(right), float(up))


def _dense(line: Line) -> Points:
    """A line as points that lie a fiftieth of an inch apart at most."""
    parts = [
        start + (end - start) * np.linspace(0, 1, 2 + int(50 * np.hypot(*(end - start))))[:, None]
        for start, end in pairwise(line)
    ]
    return np.concatenate(parts)
