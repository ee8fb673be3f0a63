"""The figures of curves and numbers, for print. Each function takes what was measured and gives a matplotlib figure.

`width` is that of a paper's page or column in inches (`style.PAGE`, `style.COLUMN`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from mti.reporting import paper, style
from mti.reporting.metrics import Metric
from mti.reporting.statistics import (
    Estimate,
    Measured,
    difference,
    paired_estimates,
    picture_means,
    smoothed,
)
from mti.reporting.style import PAGE, Look

MEMORY = (25, 0.05)  # the smoothed training loss: a moving average over so many steps, or so much of a longer run
DOTS = (0, (1, 2.5))
LONGEST = 14  # characters of a name that stands at the end of its line; longer ones stand in a key above

Levels = Mapping[str, float]
"""Where a value would lie without training, or at best: a line's name to its height. "caption, untrained" takes
the colour of caption."""


def loss(
    training: Measured | None, evaluation: Measured, baselines: Mapping[str, str], levels: Levels, width: float = PAGE
) -> Figure:
    """Figure 3: training loss, evaluation loss, its difference to the baseline, and the paper's own curves."""
    figure, (raw, fixed, against, published) = style.panels(4, width)
    _training(raw, training)
    curves(fixed, evaluation, levels)
    fixed.set(title="Evaluation loss (fixed noise)", xlabel="step")
    differences(against, evaluation, baselines)
    against.set(
        title=f"Evaluation loss: difference to {style.brief(common(baselines), 16)}", xlabel="step", ylabel="LDM MSE"
    )
    _paper(published)
    _key_if_long(figure, list(evaluation.values))
    return figure


def metric(measured: Measured, about: Metric, levels: Levels, width: float = PAGE) -> Figure:
    """Figures 4 and 5: a metric against steps and, picture by picture, at the end."""
    figure, (left, right) = style.panels(2, width, 2.5)
    curves(left, measured, levels)
    name = style.brief(about.label)
    left.set(title=f"{name}, {about.good}" if about.good else name, xlabel="step", ylabel=style.brief(about.unit))
    _at_the_end(right, measured)
    right.set_title(f"After {measured.steps[-1]:,} steps, picture by picture")
    _key_if_long(figure, list(measured.values))
    return figure


def ablation(measured: Mapping[str, Measured], width: float = PAGE) -> Figure:
    """Figures 6 to 8: do the caption's words matter, or only the number of its tokens?"""
    figure, panels = style.panels(len(measured), width, across=3)
    for axes, (name, one) in zip(panels, measured.items(), strict=True):
        curves(axes, one, {})
        axes.set(title=style.brief(name), xlabel="step")
    return figure


def steps_to_baseline(found: Mapping[str, Estimate], last: int, base: str, width: float = PAGE) -> Figure:
    """When each series is down at its baseline's final loss, beside the paper's own numbers."""
    figure, (own, published) = style.panels(2, width, 0.8 + 0.3 * len(found))
    look = style.looks(list(found))
    _times(own, found, look, last)
    own.set_title(f"Steps to {style.brief(base, 16)}'s loss after {last:,}")
    times = {name: Estimate(np.array(at), np.array(np.nan), np.array(np.nan)) for name, at in paper.TIMES.items()}
    _times(published, times, look, paper.STEPS)
    published.set_title(f"In the paper, after {paper.STEPS:,}")
    return figure


def per_picture(measured: Measured, pictures: list[str], width: float = PAGE) -> Figure:
    """Small multiples: the mean over seeds for each of the pictures, every panel with a scale of its own."""
    figure, panels = style.panels(len(pictures), width, 1.3, across=4)
    look = style.looks(list(measured.values))
    means = {name: picture_means(values, measured.cells) for name, values in measured.values.items()}
    for axes, picture in zip(panels, pictures, strict=True):
        row = measured.pictures.index(picture)
        for name, own in means.items():
            axes.plot(measured.steps, own[row], color=look[name].color, linestyle=look[name].dash, linewidth=1.1)
        axes.set_title(style.brief(picture), fontsize=7.5, pad=3)
        style.step_axis(axes, 2)
        axes.yaxis.set_major_locator(MaxNLocator(3))
        axes.tick_params(labelsize=6.5)
    style.key(figure, look)
    return figure


def curves(axes: Axes, measured: Measured, levels: Levels) -> None:
    """Mean curves with paired bands, a name at each end, and the levels as dotted lines."""
    look = style.looks(list(measured.values))
    paired = paired_estimates(measured)
    for name, one in paired.items():
        _curve(axes, measured.steps, one, look[name])
    _fit(axes, [one.mean for one in paired.values()])
    color = {name: one.color for name, one in look.items()}
    shown = _levels(axes, levels, color)
    style.step_axis(axes)
    ends = {name: float(one.mean[-1]) for name, one in paired.items()} if _short(look) else {}
    style.label_ends(axes, ends | shown, color)


def differences(axes: Axes, measured: Measured, baselines: Mapping[str, str]) -> None:
    """How far the series lie from their baselines, with paired bands."""
    known = {name: base for name, base in baselines.items() if name in measured.values}
    look = style.looks(list(measured.values))
    if not known:
        axes.text(0.5, 0.5, "nothing to compare with", ha="center", color=style.PENCIL, transform=axes.transAxes)
        return
    found = {name: difference(measured, name, base) for name, base in known.items()}
    axes.axhline(0, color=style.PENCIL, linewidth=1)
    for name, one in found.items():
        _curve(axes, measured.steps, one, look[name])
    _fit(axes, [np.zeros(1), *(one.mean for one in found.values())])
    style.step_axis(axes)
    ends = {name: float(one.mean[-1]) for name, one in found.items()} if _short(look) else {}
    color = {name: one.color for name, one in look.items()} | {common(known): style.PENCIL}
    style.label_ends(axes, {common(known): 0.0} | ends, color)


def common(baselines: Mapping[str, str]) -> str:
    """The baseline's name, if all series have the same one."""
    bases = set(baselines.values())
    return bases.pop() if len(bases) == 1 else "baseline"


def _curve(axes: Axes, steps: np.ndarray, one: Estimate, look: Look) -> None:
    mark: Any = {"marker": look.marker} if len(steps) < 30 else {"marker": look.marker, "markevery": len(steps) // 10}
    axes.fill_between(steps, one.low, one.high, color=look.color, alpha=0.14, linewidth=0)
    axes.plot(steps, one.mean, color=look.color, linestyle=look.dash, **mark)


def _fit(axes: Axes, means: list[np.ndarray]) -> None:
    """Show the means whole, and of the bands as much as leaves the means half of the height."""
    low, high = min(one.min() for one in means), max(one.max() for one in means)
    room = (high - low) / 2 or abs(high) / 10 or 1.0
    bottom, top = axes.get_ylim()
    axes.set_ylim(max(bottom, low - room), min(top, high + room))


def _levels(axes: Axes, levels: Levels, color: dict[str, str]) -> dict[str, float]:
    """Draw the levels that are near enough to leave the curves their height; at an edge, name those beyond it.

    Returns where the names go, and adds their colours.
    """
    bottom, top = axes.get_ylim()
    ends = {}
    for name, height in levels.items():
        shade = color.get(name.split(",")[0], style.PENCIL)
        if abs(height - (top + bottom) / 2) <= 1.5 * (top - bottom):
            axes.axhline(height, color=shade, linewidth=0.8, linestyle=DOTS)
            ends[name] = height
        else:
            arrow, edge = ("↑", top) if height > top else ("↓", bottom)
            name = f"{arrow} {name}, {style.number(height, 3)}"
            ends[name] = edge
        color[name] = shade
    axes.set_ylim(min([bottom, *ends.values()]), max([top, *ends.values()]))
    return ends


def _training(axes: Axes, training: Measured | None) -> None:
    axes.set(title="Training loss, raw and smoothed", xlabel="step", ylabel="LDM MSE")
    if training is None:
        axes.text(0.5, 0.5, "not recorded", ha="center", color=style.PENCIL, transform=axes.transAxes)
        return
    look = style.looks(list(training.values))
    means = {name: picture_means(values, training.cells).mean(0) for name, values in training.values.items()}
    smooth = {name: smoothed(mean, memory(len(training.steps))) for name, mean in means.items()}
    for name, mean in means.items():
        axes.plot(training.steps, mean, color=look[name].color, alpha=0.22, linewidth=0.6)
    for name, mean in smooth.items():
        axes.plot(training.steps, mean, color=look[name].color, linestyle=look[name].dash)
    low, high = np.quantile(np.concatenate(list(means.values())), [0.02, 0.98])
    room = 0.05 * (high - low) or abs(high) / 10 or 1.0
    axes.set_ylim(low - room, high + room)
    style.step_axis(axes)
    if _short(look):
        ends = {name: float(mean[-1]) for name, mean in smooth.items()}
        style.label_ends(axes, ends, {name: one.color for name, one in look.items()})


def memory(steps: int) -> float:
    """Over how many steps the training loss is averaged."""
    return float(max(MEMORY[0], MEMORY[1] * steps))


def _paper(axes: Axes) -> None:
    steps, found = paper.curves()
    look = style.looks(list(found))
    for name, curve in found.items():
        axes.plot(steps, curve, color=look[name].color, linestyle=look[name].dash, linewidth=1.2)
    level = found["star"][-1]
    axes.axhline(level, color=look["star"].color, linewidth=0.8, linestyle=DOTS)
    bottom = axes.get_ylim()[0]
    for name, step in paper.TIMES.items():
        color = look[name].color
        axes.plot([step, step], [level, bottom], color=color, linewidth=0.8, linestyle=DOTS)
        axes.plot(step, level, look[name].marker, color=color, markersize=4)
        axes.annotate(f"{step:,}", (step, bottom), (3, 3), textcoords="offset points", color=color, size=7)
    axes.set(title="The paper's figure 3, read off", xlabel="step", ylim=(bottom, None))
    style.step_axis(axes)
    ends = {name: float(curve[-1]) for name, curve in found.items()}
    style.label_ends(axes, ends, {name: one.color for name, one in look.items()})


def _at_the_end(axes: Axes, measured: Measured) -> None:
    """Each picture's values as a thin line across the series, and the means with paired intervals."""
    names, look = list(measured.values), style.looks(list(measured.values))
    table = np.array([picture_means(measured.values[name][:, -1:], measured.cells)[:, 0] for name in names])
    axes.plot(range(len(names)), table, color=style.THREAD, linewidth=0.6, zorder=1)
    low_high = [table.min(), table.max()]
    for x, (name, (mean, low, high)) in enumerate(paired_estimates(measured).items()):
        axes.plot([x, x], [low[-1], high[-1]], color=look[name].color, linewidth=4, alpha=0.35)
        axes.plot(x, mean[-1], look[name].marker, color=look[name].color, markersize=5)
        if len(names) <= 6:
            words = style.number(mean[-1], 3)
            axes.annotate(words, (x, mean[-1]), (6, 0), textcoords="offset points", va="center", size=7)
    _fit(axes, [np.array(low_high)])
    if _short(look) and len(names) <= 6:
        axes.set_xticks(range(len(names)), names)
        for tick, name in zip(axes.get_xticklabels(), names, strict=True):
            tick.set_color(look[name].color)
    else:
        axes.set_xticks([])
    axes.set_xlim(-0.4, len(names) - 0.4)


def _times(axes: Axes, found: Mapping[str, Estimate], look: Mapping[str, Look], last: int) -> None:
    """A row per series: the estimate and its interval, which ends with the run."""
    names, last = list(look)[::-1], max(last, 1)
    for y, name in enumerate(names):
        if name not in found:
            axes.annotate("not in figure 3", (0, y), va="center", color=style.PENCIL, size=7)
            continue
        mean, low, high = (float(value) for value in found[name])
        color = look[name].color
        if not np.isnan(low):
            axes.plot([min(low, last), min(high, last)], [y, y], color=color, linewidth=4, alpha=0.35)
        if np.isfinite(mean):
            axes.plot(mean, y, look[name].marker, color=color, markersize=5)
        side = "left" if mean < 0.1 * last else "right" if mean > 0.9 * last else "center"
        words = style.step_text(mean)
        axes.annotate(words, (min(mean, last), y), (0, 6), textcoords="offset points", ha=side, size=7)
    axes.set_yticks(range(len(names)), [style.brief(name) for name in names])
    for tick, name in zip(axes.get_yticklabels(), names, strict=True):
        tick.set_color(look[name].color)
    axes.set(xlim=(-0.03 * last, 1.03 * last), ylim=(-0.5, len(names) - 0.3), xlabel="step")
    style.step_axis(axes)
    axes.grid(axis="x")
    axes.grid(visible=False, axis="y")


def _short(names: Mapping[str, object] | list[str]) -> bool:
    """Whether the series' names find room at the ends of their lines."""
    return len(names) <= 6 and max(len(name) for name in names) <= LONGEST


def _key_if_long(figure: Figure, names: list[str]) -> None:
    if not _short(names):
        style.key(figure, style.looks(names))
