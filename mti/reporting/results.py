"""What the runs say, in numbers: the machine-readable summary, and every value in one tidy table."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from mti.reporting.collection import Collection
from mti.reporting.metrics import describe
from mti.reporting.pace import paces, seconds_to
from mti.reporting.provenance import commands, dates, provenance, warnings
from mti.reporting.reading import plain
from mti.reporting.statistics import (
    FEWEST,
    LEVEL,
    Estimate,
    Measured,
    difference,
    estimates,
    lower_on,
    paired_estimates,
    picture_means,
    steps_to,
)
from mti.reporting.tradeoff import tradeoff
from mti.types import UserError

STATES = ("finished", "failed", "unfinished", "damaged")


def results(collection: Collection) -> dict[str, Any]:
    """All numbers of the report. What is infinite (not within the run) or cannot be known is None."""
    measured = {name: collection.measured(name) for name in collection.metrics if name.startswith("eval/")}
    loss = measured.get("eval/mse")
    states = Counter(re.split("[:,]", run.state)[0] for run in collection.runs)
    chosen, base = list(collection.chosen), collection.baselines
    texts = _texts(collection)
    return {
        "experiment": ", ".join(sorted({run.origin[1] for run in collection.runs})),
        "model": ", ".join(sorted({run.settings.get("model.name", "unknown") for run in chosen})),
        "steps": max((int(curve.steps[-1]) for run in chosen for curve in run.curves.values()), default=0),
        "series": collection.compared,
        "initializers": {one.label: one.init for one in collection.series if one.label in collection.finished},
        "settings": {one.label: dict(one.settings) for one in collection.series if one.label in collection.finished},
        "baselines": base,
        "pictures": collection.pictures,
        "seeds": sorted({seed for _, seed in collection.cells}),
        "averaged_over": [list(cell) for cell in collection.cells],
        "intervals": {"level": LEVEL, "method": "Student's t over picture means", "fewest_pictures": FEWEST},
        "runs": {state: count for state in STATES if (count := states[state])},
        "metrics": {name: _metric(name, one, collection) for name, one in measured.items() if one},
        "steps_to_baseline": _times(loss, base, collection),
        "steps_to_multistar": _times(loss, collection.multistars, collection),
        "pace": {label: paces(collection.runs_of(label)) for label in collection.compared},
        "editability": _editability(collection),
        "calibration": collection.calibration,
        "texts": texts,
        "provenance": provenance(chosen),
        "commands": commands(chosen),
        "started": dates(chosen),
        "problems": collection.problems(),
        "warnings": warnings(chosen),
    }


def _times(loss: Measured | None, levels: Mapping[str, str], collection: Collection) -> dict[str, dict[str, Any]]:
    """When each series is down at the final loss of another, in steps and in seconds."""
    found: dict[str, dict[str, Any]] = {}
    if loss is None:
        return found
    for label, base in levels.items():
        when = steps_to(loss, label, base)
        seconds = seconds_to(float(when.mean), collection.runs_of(label))
        found[label] = {"baseline": base, **_record(when), "seconds": rounded(seconds)}
    return found


def _editability(collection: Collection) -> dict[str, Any] | None:
    """Which metrics the figure of fidelity against editability shows, and at which steps; None without one."""
    found = tradeoff(collection)
    return found and {**dict(zip(("editability", "fidelity"), found.names, strict=True)), "steps": found.steps}


def _metric(name: str, measured: Measured, collection: Collection) -> dict[str, Any]:
    about = describe(name, collection.chosen)
    paired, whole = paired_estimates(measured), estimates(measured)
    return {
        **about._asdict(),
        "steps": measured.steps.tolist(),
        "series": {
            label: {
                **_record(whole[label]),
                "paired_low": rounded(paired[label].low),
                "paired_high": rounded(paired[label].high),
                "pictures": dict(zip(measured.pictures, rounded(picture_means(values, measured.cells)), strict=True)),
            }
            for label, values in measured.values.items()
        },
        "pairs": [
            {
                "series": later,
                "against": earlier,
                **_record(difference(measured, later, earlier)),
                "pictures": len(measured.pictures),
                "lower_on": lower_on(measured, later, earlier),
                "higher_on": lower_on(measured, earlier, later),
            }
            for later, earlier in collection.pairs
        ],
    }


def _texts(collection: Collection) -> dict[str, dict[str, dict[str, Any]]]:
    """Table A.1: the initial text of each picture and series, by its first seed, with its tokens."""
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for label, runs in collection.finished.items():
        for (picture, _), run in sorted(runs.items()):
            if label in found.setdefault(picture, {}):
                continue
            try:
                initial, tokens = run.folder.read_text()
            except UserError as error:
                collection.damaged.append(f"{run.title}: {plain(str(error))}")
                continue
            text, source = plain(str(initial.text)), plain(str(initial.source))
            found[picture][label] = {"text": text, "tokens": len(tokens), "source": source}
    return found


VALUES = ("experiment", "series", "init", "settings", "picture", "seed", "metric", "step", "value", "run")


def values(collection: Collection) -> Iterator[tuple[str | int | float, ...]]:
    """Every value that the compared runs measured, one a row, with the columns `VALUES`: for any statistics program."""
    for run in collection.chosen:
        own = run.series
        settings = " ".join(f"{key}={value}" for key, value in own.settings)
        about = (run.origin[1], own.label, own.init, settings, run.concept, run.seed)
        for metric, curve in run.curves.items():
            for step, value in zip(curve.steps.tolist(), curve.values.tolist(), strict=True):
                yield (*about, metric, step, float(f"{value:.7g}"), str(run.folder.path))


def _record(one: Estimate) -> dict[str, Any]:
    return {name: rounded(value) for name, value in one._asdict().items()}


def rounded(values: Any) -> Any:
    """Arrays as lists and numbers, with six digits that matter; None for what is not finite."""
    if np.ndim(values):
        return [rounded(value) for value in values]
    return float(f"{values:.6g}") if np.isfinite(values) else None
