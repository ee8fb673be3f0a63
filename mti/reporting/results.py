"""What the runs say, in numbers: the machine-readable summary that the page's tables are made of."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

import numpy as np

from mti.reporting.runs import Collection
from mti.reporting.statistics import (
    Estimate,
    Measured,
    Weights,
    differences,
    estimates,
    paired_estimates,
    steps_to_star,
)
from mti.reporting.style import better, metric_name

STATES = ("finished", "failed", "unfinished")


def results(collection: Collection, weights: Weights) -> dict[str, Any]:
    """All numbers of the report. What is infinite (not within the run) or cannot be known is None."""
    measured = {name: collection.measured(name) for name in collection.metrics if name.startswith("eval/")}
    loss = measured.get("eval/mse")
    states = Counter(re.split("[:,]", run.state)[0] for run in collection.runs)
    first = next(iter(collection.finished.values()))[collection.cells[0]]
    return {
        "experiment": first.config["experiment"]["name"],
        "model": first.config["model"]["name"],
        "steps": first.config["trainer"]["max_steps"],
        "initializers": collection.compared,
        "pictures": collection.pictures,
        "seeds": sorted({seed for _, seed in collection.cells}),
        "averaged_over": [list(cell) for cell in collection.cells],
        "runs": {state: count for state in STATES if (count := states[state])},
        "problems": collection.problems(),
        "metrics": {name: _metric(name, one, weights) for name, one in measured.items() if one},
        "steps_to_star": _times(loss, weights) if loss else {},
        "calibration": collection.calibration(),
        "texts": _texts(collection),
    }


def _metric(name: str, measured: Measured, weights: Weights) -> dict[str, Any]:
    star = "star" in measured.values
    against = differences(measured, weights, "star") if star else {}
    paired, plain = paired_estimates(measured, weights), estimates(measured, weights)
    return {
        "name": metric_name(name),
        "better": better(name),
        "steps": measured.steps.tolist(),
        "initializers": {
            label: {
                **_record(plain[label]),
                "paired_low": _numbers(paired[label].low),
                "paired_high": _numbers(paired[label].high),
                "difference_to_star": _record(against[label]) if label in against else None,
            }
            for label in measured.values
        },
    }


def _times(loss: Measured, weights: Weights) -> dict[str, Any]:
    return {label: _record(one) for label, one in steps_to_star(loss, weights).items()} if "star" in loss.values else {}


def _texts(collection: Collection) -> dict[str, dict[str, dict[str, Any]]]:
    """Table A.1: the initial text of each picture and initializer, by its first seed, with its tokens."""
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for label, runs in collection.finished.items():
        for (picture, _), run in sorted(runs.items()):
            if label not in found.setdefault(picture, {}):
                initial, tokens = run.folder.read_text()
                found[picture][label] = {"text": initial.text, "tokens": len(tokens), "source": initial.source}
    return found


def _record(one: Estimate) -> dict[str, Any]:
    return {name: _numbers(value) for name, value in one._asdict().items()}


def _numbers(values: Any) -> Any:
    """Arrays as lists and numbers, with six digits that matter."""
    if np.ndim(values):
        return [_numbers(value) for value in values]
    return float(f"{values:.6g}") if np.isfinite(values) else None
