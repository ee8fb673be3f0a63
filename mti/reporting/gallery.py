"""Which figures the report has, and what each shows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure

from mti.reporting import plots, sheets
from mti.reporting.runs import Collection
from mti.reporting.statistics import Measured, Weights, steps_to_star
from mti.reporting.style import better, metric_name

ABLATION = ("star", "multistar", "caption")
CAPTIONS = {
    "loss": "Figure 3. Top: the loss of the training batches (thin: its mean over pictures and seeds; thick: the "
    "moving average of that over 25 steps or, in a long run, a twentieth of it), and the loss on a grid of timesteps "
    "and noises that is the same for every run of a picture. Dotted: what the model loses without any training, told "
    "nothing, a wrong caption, or the caption as plain text. Below: how far each initializer lies from star, paired; "
    "and the paper's own curves, of photographs and a larger model: compare their order, not their height.",
    "steps_to_star": "The step at which the mean evaluation loss is down at star's final value, between evaluations by "
    "straight lines, with its bootstrap interval. Right: the same in the paper.",
    "metric": "Generated pictures against the concept's own, for the reconstruction prompts. Left: against steps. "
    "Right: at the end; a thin line is one picture, so that what is hard for all initializers is seen as such.",
    "ablation": "Figures 6 to 8. multistar has as many tokens as the caption, but none of its words: what separates it "
    "from star is the number of tokens, what separates caption from it are the words.",
    "per_picture": "The evaluation loss of each picture, mean over seeds. Every panel has a scale of its own.",
    "contact_sheet": "Each picture, and the first sample of each run of its first seed, drawn from the same starting "
    "noise for all initializers.",
    "personalization": "Figure A.2. What the learned tokens draw in other surroundings; S* stands for them.",
}


class Drawn(NamedTuple):
    """A figure and what is said of it."""

    name: str  # of its files
    figure: Figure
    heading: str
    caption: str


def figures(collection: Collection, weights: Weights) -> Iterator[Drawn]:
    """All figures for which the runs have the numbers or pictures, in the order of the page."""
    measured = {name: one for name in collection.metrics if (one := collection.measured(name))}
    loss = measured.get("eval/mse")
    if loss:
        levels = _levels(collection, "eval/mse")
        yield Drawn("loss", plots.loss(measured.get("train/mse"), loss, weights, levels), "Loss", CAPTIONS["loss"])
        if "star" in loss.values and len(loss.values) > 1:
            figure = plots.steps_to_star(steps_to_star(loss, weights), int(loss.steps[-1]))
            yield Drawn("steps_to_star", figure, "Steps to star's loss", CAPTIONS["steps_to_star"])
    for name, one in measured.items():
        if name.startswith("eval/") and name != "eval/mse":
            figure = plots.metric(one, weights, metric_name(name), better(name), _levels(collection, name))
            yield Drawn(_file(name, measured), figure, metric_name(name), CAPTIONS["metric"])
    compared = {metric_name(name): one for name in measured if (one := _for_ablation(collection, name))}
    if compared:
        yield Drawn("ablation", plots.ablation(compared, weights), "Words or tokens", CAPTIONS["ablation"])
    if loss:
        yield Drawn(
            "per_picture",
            plots.per_picture(loss, sheets.inputs(collection)),
            "Picture by picture",
            CAPTIONS["per_picture"],
        )
    if sheet := sheets.contact_sheet(collection):
        yield Drawn("contact_sheet", sheet, "What the runs draw", CAPTIONS["contact_sheet"])
    for label in collection.compared:
        if sheet := sheets.personalization(collection, label):
            name = f"personalization_{label.replace(' ', '_')}"
            yield Drawn(name, sheet, f"Personalization: {label}", CAPTIONS["personalization"])


def _for_ablation(collection: Collection, metric: str) -> Measured | None:
    wanted = metric == "eval/mse" or metric.startswith(("eval/lpips", "eval/sifid"))
    return collection.measured(metric, ABLATION) if wanted and set(ABLATION) <= set(collection.compared) else None


def _levels(collection: Collection, metric: str) -> dict[str, float]:
    """The dotted lines of a metric's figure: means over the compared runs. Of the initial texts, caption's."""
    calibration, name = collection.calibration(), metric.removeprefix("eval/")
    levels = {}
    for level, values in calibration.get(name, {}).items():
        if level != "initial_text":
            levels[level.replace("_", " ")] = float(np.mean(list(values.values())))
        elif "caption" in values:
            levels["caption, untrained"] = values["caption"]
    if name in calibration.get("floor", {}):
        levels["autoencoder"] = float(np.mean(list(calibration["floor"][name].values())))
    return levels


def _file(metric: str, others: Mapping[str, object]) -> str:
    """`lpips` for `eval/lpips_pocket`, unless there is an `eval/lpips` beside it."""
    plain = metric.removesuffix("_pocket")
    return (metric if plain in others else plain).removeprefix("eval/")
