"""The figures of curves and numbers. Each function takes what was measured and gives a matplotlib figure."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from PIL import Image

from mti.reporting import style
from mti.reporting.statistics import (
    Estimate,
    Measured,
    Weights,
    differences,
    equal_weights,
    paired_estimates,
    smoothed,
)

PAPER_CURVES = Path(__file__).parent / "paper_figure3_mse.csv"
PAPER_TIMES = {"class": 1218, "caption": 399}
"""When they reach star's final loss in the paper, by its curves at full resolution (the file has every 50th step)."""
MEMORY = (25, 0.05)  # the smoothed training loss: a moving average over so many steps, or so much of a longer run
DOTS = (0, (1, 2.5))

Levels = Mapping[str, float]
"""Where a value would lie without training, or at best: a line's name to its height. "caption, untrained" takes
the colour of caption."""


def loss(training: Measured | None, evaluation: Measured, weights: Weights, levels: Levels) -> Figure:
    """Figure 3: training loss, evaluation loss, its difference to star, and the paper's own curves."""
    figure, panels = style.new(2, 2, height=7.4)
    _training(panels[0, 0], training)
    curves(panels[0, 1], evaluation, weights, levels)
    panels[0, 1].set(title="Evaluation loss, on one fixed grid of noise", xlabel="step")
    differences_to_star(panels[1, 0], evaluation, weights)
    _paper(panels[1, 1])
    return figure


def metric(measured: Measured, weights: Weights, name: str, good: str, levels: Levels) -> Figure:
    """Figures 4 and 5: a metric against steps and, picture by picture, at the end."""
    figure, panels = style.new(2, height=4.1)
    left, right = panels[0]
    curves(left, measured, weights, levels)
    left.set(title=f"{name}, {good}" if good else name, xlabel="step")
    _at_the_end(right, measured, weights)
    right.set_title(f"After {measured.steps[-1]:,} steps; a thin line is a picture")
    return figure


def ablation(measured: Mapping[str, Measured], weights: Weights) -> Figure:
    """Figures 6 to 8: do the caption's words matter, or only the number of its tokens?"""
    figure, panels = style.new(len(measured), width=11.0, height=3.6)
    for axes, (name, one) in zip(panels[0], measured.items(), strict=True):
        curves(axes, one, weights, {})
        axes.set(title=name, xlabel="step")
    return figure


def steps_to_star(found: Mapping[str, Estimate], last: int) -> Figure:
    """When each initializer is down at star's final loss, beside the paper's own numbers."""
    figure, panels = style.new(2, height=1.1 + 0.5 * len(found))
    color = style.colors(list(found))
    _times(panels[0, 0], found, color, last)
    panels[0, 0].set_title(f"Steps to star's loss after {last:,}")
    paper = {name: Estimate(np.array(at), np.array(np.nan), np.array(np.nan)) for name, at in PAPER_TIMES.items()}
    _times(panels[0, 1], paper, color, 5000)
    panels[0, 1].set_title("In the paper, after 5,000")
    return figure


def per_picture(measured: Measured, inputs: Mapping[str, Image.Image]) -> Figure:
    """Small multiples: the mean over seeds for each picture, every panel with a scale of its own.

    `inputs` are the pictures themselves, where they are known, to be shown beside their names.
    """
    pictures = sorted({picture for picture, _ in measured.cells})
    columns = min(4, len(pictures))
    rows = -(-len(pictures) // columns)
    figure, panels = style.new(columns, rows, width=10.0, height=0.4 + 2.1 * rows)
    color = style.colors(list(measured.values))
    for axes in panels.flat[len(pictures) :]:
        axes.set_axis_off()
    for axes, picture in zip(panels.flat, pictures, strict=False):
        own = [i for i, (name, _) in enumerate(measured.cells) if name == picture]
        for name, values in measured.values.items():
            axes.plot(measured.steps, values[own].mean(0), color=color[name], linewidth=1.6)
        axes.set_title(picture.replace("_", " "), fontsize=10, y=1.04, pad=0)
        if picture in inputs:
            corner = axes.inset_axes((0.7, 1.02, 0.3, 0.33))
            corner.imshow(inputs[picture])
            corner.set_anchor("SE")
            corner.set_axis_off()
        style.step_axis(axes, 2)
        axes.yaxis.set_major_locator(MaxNLocator(3))
        axes.tick_params(labelsize=8.5)
    _key(figure, color)
    return figure


def curves(axes: Axes, measured: Measured, weights: Weights, levels: Levels) -> None:
    """Mean curves with paired bands, a name at each end, and the levels as dotted lines."""
    color = style.colors(list(measured.values))
    paired = paired_estimates(measured, weights)
    for name, (mean, low, high) in paired.items():
        axes.fill_between(measured.steps, low, high, color=color[name], alpha=0.16, linewidth=0)
        marker = {"marker": "o", "markersize": 3.2} if len(measured.steps) < 30 else {}
        axes.plot(measured.steps, mean, color=color[name], **marker)
    shown = _levels(axes, levels, color)
    style.step_axis(axes)
    style.label_ends(axes, {name: float(one.mean[-1]) for name, one in paired.items()} | shown, color)


def _levels(axes: Axes, levels: Levels, color: dict[str, str]) -> dict[str, float]:
    """Draw the levels that are near enough to leave the curves their height; at an edge, name those beyond it.

    Returns where the names go, and adds their colours.
    """
    bottom, top = axes.get_ylim()
    ends = {}
    for name, height in levels.items():
        shade = color.get(name.split(",")[0], style.PENCIL)
        if abs(height - (top + bottom) / 2) <= 1.5 * (top - bottom):
            axes.axhline(height, color=shade, linewidth=1, linestyle=DOTS)
            ends[name] = height
        else:
            arrow, edge = ("↑", top) if height > top else ("↓", bottom)
            name = f"{arrow} {name}, {height:.3f}"
            ends[name] = edge
        color[name] = shade
    return ends


def differences_to_star(axes: Axes, measured: Measured, weights: Weights) -> None:
    """How far the other initializers lie from star, with paired bands."""
    axes.set(title="Evaluation loss: difference to star", xlabel="step", ylabel="LDM MSE")
    color = style.colors(list(measured.values))
    if "star" not in measured.values or len(measured.values) < 2:
        axes.text(0.5, 0.5, "nothing to compare with star", ha="center", color=style.PENCIL, transform=axes.transAxes)
        return
    found = differences(measured, weights, "star")
    axes.axhline(0, color=color["star"], linewidth=1.4)
    for name, (mean, low, high) in found.items():
        axes.fill_between(measured.steps, low, high, color=color[name], alpha=0.16, linewidth=0)
        axes.plot(measured.steps, mean, color=color[name], marker="o", markersize=3.2)
    style.step_axis(axes)
    style.label_ends(axes, {"star": 0.0} | {name: float(one.mean[-1]) for name, one in found.items()}, color)


def _training(axes: Axes, training: Measured | None) -> None:
    axes.set(title="Training loss, raw and smoothed", xlabel="step", ylabel="LDM MSE")
    if training is None:
        axes.text(0.5, 0.5, "not recorded", ha="center", color=style.PENCIL, transform=axes.transAxes)
        return
    color, weights = style.colors(list(training.values)), equal_weights(training.cells)
    memory = max(MEMORY[0], MEMORY[1] * len(training.steps))
    means = {name: weights @ values for name, values in training.values.items()}
    smooth = {name: smoothed(mean, memory) for name, mean in means.items()}
    for name, mean in means.items():
        axes.plot(training.steps, mean, color=color[name], alpha=0.22, linewidth=0.7)
    for name, mean in smooth.items():
        axes.plot(training.steps, mean, color=color[name])
    low, high = np.quantile(np.concatenate(list(means.values())), [0.02, 0.98])
    axes.set_ylim(low - 0.05 * (high - low), high + 0.05 * (high - low))
    style.step_axis(axes)
    style.label_ends(axes, {name: mean[-1] for name, mean in smooth.items()}, color)


def _paper(axes: Axes) -> None:
    steps, paper = paper_curves()
    color = style.colors(list(paper))
    for name, curve in paper.items():
        axes.plot(steps, curve, color=color[name], linewidth=1.6)
    level = paper["star"][-1]
    axes.axhline(level, color=color["star"], linewidth=1, linestyle=DOTS)
    bottom = axes.get_ylim()[0]
    for name, step in PAPER_TIMES.items():
        axes.plot([step, step], [level, bottom], color=color[name], linewidth=1, linestyle=DOTS)
        axes.plot(step, level, "o", color=color[name], markersize=5)
        axes.annotate(f"{step:,}", (step, bottom), (4, 4), textcoords="offset points", color=color[name], size=9.5)
    axes.set(title="The paper's figure 3, read off", xlabel="step", ylim=(bottom, None))
    style.step_axis(axes)
    style.label_ends(axes, {name: curve[-1] for name, curve in paper.items()}, color)


def _at_the_end(axes: Axes, measured: Measured, weights: Weights) -> None:
    """Each picture's values as a thin line across the initializers, and the means with paired intervals."""
    names, color = list(measured.values), style.colors(list(measured.values))
    pictures = [picture for picture, _ in measured.cells]
    table = np.array([measured.values[name][:, -1] for name in names])
    for picture in sorted(set(pictures)):
        own = table[:, [i for i, other in enumerate(pictures) if other == picture]].mean(1)
        axes.plot(range(len(names)), own, color=style.THREAD, linewidth=0.9, zorder=1)
    for x, (name, (mean, low, high)) in enumerate(paired_estimates(measured, weights).items()):
        axes.plot([x, x], [low[-1], high[-1]], color=color[name], linewidth=5, alpha=0.35)
        axes.plot(x, mean[-1], "o", color=color[name], markersize=6.5)
        axes.annotate(f"{mean[-1]:.3f}", (x, mean[-1]), (9, 0), textcoords="offset points", va="center", size=9.5)
    axes.set_xticks(range(len(names)), names)
    axes.set_xlim(-0.4, len(names) - 0.4)
    for tick, name in zip(axes.get_xticklabels(), names, strict=True):
        tick.set_color(color[name])


def _times(axes: Axes, found: Mapping[str, Estimate], color: Mapping[str, str], last: int) -> None:
    """A row per initializer: the estimate and its interval, which ends with the run."""
    names = list(color)[::-1]
    for y, name in enumerate(names):
        if name not in found:
            axes.annotate("not in figure 3", (0, y), va="center", color=style.PENCIL, size=9.5)
            continue
        mean, low, high = (float(value) for value in found[name])
        if np.isfinite(low) or np.isinf(high):
            axes.plot([min(low, last), min(high, last)], [y, y], color=color[name], linewidth=5, alpha=0.35)
        if np.isfinite(mean):
            axes.plot(mean, y, "o", color=color[name], markersize=6.5)
        side = "left" if mean < 0.1 * last else "right" if mean > 0.9 * last else "center"
        words = style.step_text(mean)
        axes.annotate(words, (min(mean, last), y), (0, 8), textcoords="offset points", ha=side, size=9.5)
    axes.set_yticks(range(len(names)), names)
    for tick, name in zip(axes.get_yticklabels(), names, strict=True):
        tick.set_color(color[name])
    axes.set(xlim=(-0.03 * last, 1.03 * last), ylim=(-0.5, len(names) - 0.3), xlabel="step")
    style.step_axis(axes)
    axes.grid(axis="x")
    axes.grid(visible=False, axis="y")


def _key(figure: Figure, color: Mapping[str, str]) -> None:
    """The initializers' names in their colours, above all panels."""
    handles = [Line2D([], [], color=shade, label=name) for name, shade in color.items()]
    figure.legend(handles=handles, loc="outside upper left", ncols=len(color), frameon=False, labelcolor="linecolor")


def paper_curves() -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """The steps and the losses of the paper's figure 3, as read off the authors' vector figure."""
    with PAPER_CURVES.open(newline="") as file:
        rows = list(csv.DictReader(file))
    names: Sequence[str] = [name for name in rows[0] if name != "step"]
    steps = np.array([int(row["step"]) for row in rows])
    return steps, {name: np.array([float(row[name]) for row in rows]) for name in names}
