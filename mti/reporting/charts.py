"""The page's charts, as Plotly's data and layout: values under the pointer, series that can be switched off.

Plotly takes names for HTML, so every name of a stranger's is escaped here, once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any, NamedTuple

import numpy as np

from mti.reporting import paper, style
from mti.reporting.collection import Collection
from mti.reporting.gallery import MOST_PANELS, levels
from mti.reporting.metrics import Metric, describe
from mti.reporting.plots import common, memory
from mti.reporting.results import rounded
from mti.reporting.statistics import (
    Estimate,
    Measured,
    difference,
    estimates,
    paired_estimates,
    picture_means,
    smoothed,
    steps_to,
)
from mti.reporting.style import Look
from mti.reporting.tradeoff import Tradeoff, tradeoff

DASH = {
    style.DASHES[0]: "solid",
    style.DASHES[1]: "dash",
    style.DASHES[2]: "dot",
    style.DASHES[3]: "dashdot",
    style.DASHES[4]: "longdash",
    style.DASHES[5]: "longdashdot",
}
SHAPES = ("circle", "square", "diamond", "triangle-up", "triangle-down", "cross", "x", "pentagon")
SYMBOL: dict[str, str] = dict(zip(style.MARKERS, SHAPES, strict=True))
MOST_POINTS = 600  # of a curve on the page


class Chart(NamedTuple):
    """A panel of the page. `meta.series` of a trace says which series it belongs to, as a number."""

    title: str
    data: list[dict[str, Any]]
    layout: dict[str, Any]
    size: str = ""  # "small" in a row of many, "low" for a few lines


class Charts:
    """Makes the charts of a collection; a figure's name leads to its panels."""

    def __init__(self, collection: Collection) -> None:
        self.collection = collection
        self.look = style.looks(collection.compared)
        self.number = {label: i for i, label in enumerate(collection.compared)}

    def of(self) -> dict[str, list[Chart]]:
        """The panels for each column of metrics.csv, and for `steps_to_baseline`, `editability` and `per_picture`."""
        found: dict[str, list[Chart]] = {}
        measured = {name: one for name in self.collection.metrics if (one := self.collection.measured(name))}
        for name, one in measured.items():
            about = describe(name, self.collection.chosen)
            if name == "train/mse":
                continue
            dotted = levels(self.collection, name)
            if name == "eval/mse":
                found[name] = self._loss(measured.get("train/mse"), one, dotted)
                found["per_picture"] = self._per_picture(one)
                if self.collection.baselines:
                    found["steps_to_baseline"] = [self._times(one)]
            elif name.startswith("eval/"):
                title = f"{about.label}, {about.good}" if about.good else about.label
                end = f"After {int(one.steps[-1]):,} steps, picture by picture"
                found[name] = [self._curves(title, one, about, dotted), self._ends(end, one, about)]
        if pair := tradeoff(self.collection):
            found["editability"] = [self._tradeoff(pair)]
        return found

    def _loss(self, training: Measured | None, loss: Measured, dotted: Mapping[str, float]) -> list[Chart]:
        charts = [self._curves("Evaluation loss (fixed noise)", loss, describe("eval/mse"), dotted)]
        if training:
            charts.insert(0, self._training(training))
        if self.collection.baselines:
            data = []
            for name, base in self.collection.baselines.items():
                data += self._band(name, loss.steps, difference(loss, name, base))
            title = f"Evaluation loss: difference to {common(self.collection.baselines)}"
            charts.append(Chart(title, data, _layout("step", "LDM MSE", loss.steps) | _zero()))
        return [*charts, _published()]

    def _curves(self, title: str, measured: Measured, about: Metric, dotted: Mapping[str, float]) -> Chart:
        data, whole, paired = [], estimates(measured), paired_estimates(measured)
        for name, one in paired.items():
            data += self._band(name, measured.steps, one, whole[name])
        means = np.concatenate([one.mean for one in paired.values()])
        for name, height in dotted.items():
            near = means.min() - 0.5 * np.ptp(means) <= height <= means.max() + 0.5 * np.ptp(means)
            ends = [int(measured.steps[0]), int(measured.steps[-1])]
            level = _trace(name, ends, [height, height], {"color": style.PENCIL, "dash": "dot", "width": 1})
            level |= {"showlegend": True, "visible": True if near else "legendonly"}
            data.append(level | {"hovertemplate": "%{y:.4g}<extra>%{fullData.name}</extra>"})
        return Chart(title, data, _layout("step", about.unit or about.label, measured.steps))

    def _training(self, training: Measured) -> Chart:
        data = []
        every = max(1, -(-len(training.steps) // MOST_POINTS))
        for name, values in training.values.items():
            mean = picture_means(values, training.cells).mean(0)
            smooth = smoothed(mean, memory(len(mean)))
            line = {"color": self.look[name].color, "width": 0.7}
            raw = _trace(name, training.steps[::every].tolist(), rounded(mean[::every]), line)
            data.append(raw | {"opacity": 0.3, "hoverinfo": "skip", **self._series(name)})
            line = {"color": self.look[name].color, "dash": DASH[self.look[name].dash], "width": 2}
            shown = _trace(name, training.steps[::every].tolist(), rounded(smooth[::every]), line)
            hover = "%{y:.4g}<extra>%{fullData.name}</extra>"
            data.append(shown | {"hovertemplate": hover, **self._series(name)})
        return Chart("Training loss, raw and smoothed", data, _layout("step", "LDM MSE", training.steps))

    def _band(self, name: str, steps: np.ndarray, one: Estimate, whole: Estimate | None = None) -> list[dict[str, Any]]:
        """A band without a pointer's word, and the curve, which tells mean and interval."""
        look, x = self.look[name], steps.tolist()
        low, mean, high = (rounded(part) for part in (one.low, one.mean, one.high))
        told = whole or one
        line = {"color": look.color, "dash": DASH[look.dash], "width": 2}
        curve = _trace(name, x, mean, line) | self._series(name) | _marker(look, len(x) < 30)
        hover = "%{y:.4g}"
        if None not in low:
            curve["customdata"] = list(zip(rounded(told.low), rounded(told.high), strict=True))
            hover += " [%{customdata[0]:.4g}, %{customdata[1]:.4g}]"
        curve["hovertemplate"] = f"{hover}<extra>%{{fullData.name}}</extra>"
        if None in low:
            return [curve]
        band = _trace(name, [*x, *x[::-1]], [*low, *high[::-1]], {"width": 0})
        return [
            band | self._series(name) | {"fill": "toself", "fillcolor": f"{look.color}26", "hoverinfo": "skip"},
            curve,
        ]

    def _ends(self, title: str, measured: Measured, about: Metric) -> Chart:
        """Every picture as a thin line across the series, and the means with paired intervals."""
        names = list(measured.values)
        x = [escape(name) for name in names]
        ends = np.array([picture_means(measured.values[name][:, -1:], measured.cells)[:, 0] for name in names])
        data: list[dict[str, Any]] = []
        for row, picture in zip(ends.T[:MOST_PANELS], measured.pictures, strict=False):
            thin = _trace(picture, x, rounded(row), {"color": style.THREAD, "width": 1})
            data.append(thin | {"hovertemplate": "%{x}: %{y:.4g}<extra>%{fullData.name}</extra>"})
        for name, one in paired_estimates(measured).items():
            point = _trace(name, [escape(name)], [rounded(one.mean[-1])], {"color": self.look[name].color})
            half = rounded(one.high[-1] - one.mean[-1])
            bars = {"error_y": {"array": [half], "thickness": 4, "width": 0, "color": f"{self.look[name].color}66"}}
            hover = {"hovertemplate": "%{y:.4g}<extra>%{fullData.name}</extra>"}
            data.append(
                point | self._series(name) | _marker(self.look[name], True, 10) | hover | (bars if half else {})
            )
        layout = _layout("", about.unit or about.label)
        layout["xaxis"] |= {"type": "category", "categoryorder": "array", "categoryarray": x}
        layout["xaxis"]["showticklabels"] = len(names) <= 8
        return Chart(title, data, layout | {"hovermode": "closest"})

    def _times(self, loss: Measured) -> Chart:
        last, data = int(loss.steps[-1]), []
        for name, base in self.collection.baselines.items():
            mean, low, high = (float(part) for part in steps_to(loss, name, base))
            y, words = escape(name), f"{style.step_text(mean)} [{style.step_text(low)}, {style.step_text(high)}]"
            point = _trace(name, [min(mean, last)], [y], {"color": self.look[name].color}) | self._series(name)
            if not np.isnan(low):
                reach = {"array": [min(high, last) - min(mean, last)], "arrayminus": [min(mean, last) - min(low, last)]}
                point["error_x"] = {**reach, "symmetric": False, "thickness": 4, "width": 0}
                point["error_x"]["color"] = f"{self.look[name].color}66"
            else:
                words = style.step_text(mean)
            told = {"hovertemplate": f"{words}<extra>%{{fullData.name}}</extra>", "cliponaxis": False}
            data.append(point | _marker(self.look[name], True, 10) | told)
        layout: dict[str, Any] = _layout("step", "", np.array([0, last]))
        layout["hovermode"] = "closest"
        layout["yaxis"] |= {"type": "category", "autorange": "reversed"}
        title = f"Steps to the loss of {common(self.collection.baselines)} after {last:,}"
        return Chart(title, data, layout, size="low")

    def _tradeoff(self, pair: Tradeoff) -> Chart:
        """A line per series through the steps; better is up and to the right."""
        data = []
        for name, both in pair.estimates().items():
            color = self.look[name].color
            x, y = (rounded(one.mean) for one in both)
            line = {"color": color, "dash": DASH[self.look[name].dash], "width": 1.5}
            told = {
                "customdata": pair.steps,
                "hovertemplate": "step %{customdata:,}: %{x:.4g}, %{y:.4g}<extra>%{fullData.name}</extra>",
            }
            path = _trace(name, x, y, line) | self._series(name) | _marker(self.look[name], True) | told
            symbol = path["marker"]["symbol"]
            path["marker"]["symbol"] = [f"{symbol}-open", *[symbol] * (len(x) - 1)]
            data.append(path)
            end = _trace(name, x[-1:], y[-1:], {"color": color}) | self._series(name)
            end |= _marker(self.look[name], True, 11) | told | {"customdata": pair.steps[-1:]}
            for error, one in zip(("error_x", "error_y"), both, strict=True):
                if half := rounded(one.high[-1] - one.mean[-1]):
                    end[error] = {"array": [half], "thickness": 3, "width": 0, "color": f"{color}4d"}
            data.append(end)
        across, up = pair.about
        layout = _layout(across.title, up.title)
        for axis, one in zip(("xaxis", "yaxis"), pair.about, strict=True):
            layout[axis] |= {"autorange": "reversed"} if one.better == "lower" else {}
        return Chart("Better is up and to the right", data, layout | {"hovermode": "closest"})

    def _per_picture(self, loss: Measured) -> list[Chart]:
        means = {name: picture_means(values, loss.cells) for name, values in loss.values.items()}
        charts = []
        for row, picture in enumerate(loss.pictures[:MOST_PANELS]):
            data = []
            for name, own in means.items():
                line = {"color": self.look[name].color, "dash": DASH[self.look[name].dash], "width": 1.5}
                hover = {"hovertemplate": "%{y:.4g}<extra>%{fullData.name}</extra>"}
                curve = _trace(name, loss.steps.tolist(), rounded(own[row]), line)
                data.append(curve | self._series(name) | hover)
            charts.append(Chart(picture, data, _layout("", "", loss.steps), size="small"))
        return charts

    def _series(self, name: str) -> dict[str, Any]:
        return {"meta": {"series": self.number[name]}}


def _trace(name: str, x: Sequence[Any], y: Sequence[Any], line: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "scatter", "mode": "lines", "name": escape(name), "x": x, "y": y, "line": dict(line)}


def _marker(look: Look, shown: bool, size: int = 7) -> dict[str, Any]:
    marker = {"symbol": SYMBOL[look.marker], "color": look.color, "size": size}
    return {"mode": "lines+markers", "marker": marker} if shown else {}


def _layout(x: str, y: str, steps: np.ndarray | None = None) -> dict[str, Any]:
    span: dict[str, Any] = {} if steps is None else {"range": [int(steps[0]), int(steps[-1]) or 1]}
    return {"xaxis": {"title": {"text": escape(x)}, **span}, "yaxis": {"title": {"text": escape(y)}}}


def _zero() -> dict[str, Any]:
    line = {"color": style.PENCIL, "width": 1}
    return {"shapes": [{"type": "line", "xref": "paper", "x0": 0, "x1": 1, "y0": 0, "y1": 0, "line": line}]}


def _published() -> Chart:
    """The paper's own curves, which no switch changes."""
    steps, found = paper.curves()
    look, data = style.looks(list(found)), []
    for name, curve in found.items():
        line = {"color": look[name].color, "dash": DASH[look[name].dash], "width": 1.5}
        hover = {"hovertemplate": "%{y:.3f}<extra>%{fullData.name}</extra>"}
        data.append(_trace(name, steps.tolist(), rounded(curve), line) | hover)
    return Chart("The paper's figure 3, read off", data, _layout("step", "LDM MSE", steps))
