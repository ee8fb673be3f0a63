"""Which figures the report has, and what each shows."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator
from functools import partial
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure

from mti.outputs import safe_name
from mti.reporting import plots, sheets, tradeoff
from mti.reporting.collection import Collection
from mti.reporting.metrics import describe
from mti.reporting.sheets import Sheet
from mti.reporting.statistics import Measured, steps_to

ABLATION = ("star", "multistar", "caption")
MOST_PANELS = 24  # of the figure that has one for each picture
CAPTIONS = {
    "loss": "Figure 3. Training loss: thin, its mean over pictures and seeds; thick, the moving average of that over "
    "25 steps or, in a long run, a twentieth of it. Evaluation loss: on a grid of timesteps and noises that is the "
    "same for every run of a picture. Dotted: what the model loses without any training, told nothing, a wrong "
    "caption, or the caption as plain text. Differences are paired. The paper's own curves are of photographs and a "
    "larger model: compare their order, not their height.",
    "steps_to_baseline": "The step at which the mean evaluation loss is down at the baseline's final value, between "
    "evaluations by straight lines, with its 95 % interval. Beside it the same in the paper.",
    "metric": "Generated pictures against the concept's own, for the reconstruction prompts. Left: against steps. "
    "Right: at the end; a thin line is one picture, so that what is hard for all initializers is seen as such.",
    "editability": "Does a fast start keep its words usable? Across: how well pictures follow the personalization "
    "prompts; up: how faithful they are to the concept; better is right and up. A line leads from the hollow marker "
    "through the steps (numbers at some of its points, or under the pointer) to the large one; the cross there holds "
    "both intervals, paired where several series are compared.",
    "ablation": "Figures 6 to 8. multistar has as many tokens as the caption, but none of its words: what separates it "
    "from star is the number of tokens, what separates caption from it are the words.",
    "per_picture": "The evaluation loss of each picture, mean over seeds. Every panel has a scale of its own.",
    "contact_sheet": "Each picture, and the first sample of each run of its first seed, drawn from the same starting "
    "noise for all series.",
    "personalization": "Figure A.2. What the learned tokens draw in other surroundings; S* stands for them.",
}


class Drawn(NamedTuple):
    """A figure, to be drawn in the width of a page or of a column, and what is said of it."""

    name: str  # of its files
    heading: str
    caption: str
    draw: Callable[[float], Figure]
    charts: str = ""  # what `charts.Charts` calls its panels; none, if it is not drawn on the page itself
    sheet: Sheet | None = None  # the pictures, if it is a sheet of them


def figures(collection: Collection) -> Iterator[Drawn]:
    """All figures for which the runs have the numbers or pictures, in the order of the page; no name twice."""
    taken: set[str] = set()
    for one in _figures(collection):
        name = one.name
        while name.lower() in taken:
            name += "_"
        taken.add(name.lower())
        yield one._replace(name=name)


def _figures(collection: Collection) -> Iterator[Drawn]:
    measured = {name: one for name in collection.metrics if (one := collection.measured(name))}
    loss, base = measured.get("eval/mse"), collection.baselines
    if loss:
        training, dotted = measured.get("train/mse"), levels(collection, "eval/mse")
        plot = partial(plots.loss, training, loss, base, dotted)
        yield Drawn("loss", "Loss", CAPTIONS["loss"], partial(_in, plot), "eval/mse")
        if base:
            found = {name: steps_to(loss, name, one) for name, one in base.items()}
            plot = partial(plots.steps_to_baseline, found, int(loss.steps[-1]), plots.common(base))
            heading = f"Steps to the loss of {plots.common(base)}"
            name, key = safe_name(f"steps_to_{plots.common(base)}", 80), "steps_to_baseline"
            yield Drawn(name, heading, CAPTIONS[key], partial(_in, plot), key)
    for name, one in measured.items():
        if name.startswith("eval/") and name != "eval/mse":
            about = describe(name, collection.chosen)
            plot = partial(plots.metric, one, about, levels(collection, name))
            yield Drawn(_file(name, measured), about.title, CAPTIONS["metric"], partial(_in, plot), name)
    if pair := tradeoff.tradeoff(collection):
        plot = partial(tradeoff.draw, pair)
        yield Drawn(
            "editability", "Fidelity against editability", CAPTIONS["editability"], partial(_in, plot), "editability"
        )
    compared = {
        describe(name, collection.chosen).label: one for name in measured if (one := _for_ablation(collection, name))
    }
    if compared:
        yield Drawn(
            "ablation", "Words or tokens", CAPTIONS["ablation"], partial(_in, partial(plots.ablation, compared))
        )
    if loss:
        plot = partial(plots.per_picture, loss, loss.pictures[:MOST_PANELS])
        more = len(loss.pictures) - MOST_PANELS
        caption = CAPTIONS["per_picture"] + (f" {more:,} more pictures are in values.csv." if more > 0 else "")
        yield Drawn("per_picture", "Picture by picture", caption, partial(_in, plot), "per_picture")
    if sheet := sheets.contact_sheet(collection):
        caption = CAPTIONS["contact_sheet"] + _more(collection)
        yield _sheet("contact_sheet", "What the runs draw", caption, sheet)
    for label in collection.compared[: sheets.MOST_SERIES]:
        if sheet := sheets.personalization(collection, label):
            name = safe_name(f"personalization_{label}")
            yield _sheet(name, f"Personalization: {label}", CAPTIONS["personalization"] + _more(collection), sheet)


def _sheet(name: str, heading: str, caption: str, sheet: Sheet) -> Drawn:
    return Drawn(name, heading, caption, partial(sheets.draw, sheet), sheet=sheet)


def _more(collection: Collection) -> str:
    """What a sheet leaves out, in words."""
    rows, series = len(collection.pictures) - sheets.MOST_ROWS, len(collection.compared) - sheets.MOST_SERIES
    return (f" {rows:,} more pictures are not shown." if rows > 0 else "") + (
        f" {series:,} more series are not shown." if series > 0 else ""
    )


def _in(plot: Callable[..., Figure], width: float) -> Figure:
    return plot(width=width)


def _for_ablation(collection: Collection, metric: str) -> Measured | None:
    wanted = metric == "eval/mse" or metric.startswith(("eval/lpips", "eval/sifid"))
    return collection.measured(metric, ABLATION) if wanted and set(ABLATION) <= set(collection.compared) else None


def levels(collection: Collection, metric: str) -> dict[str, float]:
    """The dotted lines of a metric's figure: means over the compared runs. Of the initial texts, caption's."""
    calibration, name = collection.calibration, metric.removeprefix("eval/")
    found = {}
    for level, values in calibration.get(name, {}).items():
        if level != "initial_text":
            found[level.replace("_", " ")] = float(np.mean(list(values.values())))
        elif "caption" in values:
            found["caption, untrained"] = values["caption"]
    if name in calibration.get("floor", {}):
        found["autoencoder"] = float(np.mean(list(calibration["floor"][name].values())))
    return found


def _file(metric: str, others: Container[str]) -> str:
    """`lpips` for `eval/lpips_pocket`, unless there is an `eval/lpips` beside it."""
    plain = metric.removesuffix("_pocket")
    return safe_name((metric if plain in others else plain).removeprefix("eval/"))
