"""Means over pictures and seeds, and how sure one can be of them.

A *cell* is a picture and a seed. All initializers meet the same noise in a cell, so whatever is compared
is compared cell by cell: every bootstrap replicate draws cells once, for all initializers alike.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

Cell = tuple[str, int]
Steps = Int[np.ndarray, " steps"]
Values = Float[np.ndarray, "cells steps"]
Weights = Float[np.ndarray, "replicates cells"]

REPLICATES = 4000
LEVEL = 0.95


class Estimate(NamedTuple):
    """A mean with its bootstrap interval, which is NaN where a single cell leaves nothing to resample."""

    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray


class Measured(NamedTuple):
    """One measured value of several initializers, in the same cells and at the same steps."""

    steps: Steps
    cells: Sequence[Cell]
    values: Mapping[str, Values]  # by initializer


def equal_weights(cells: Sequence[Cell]) -> Float[np.ndarray, " cells"]:
    """Every picture counts the same, however many of its seeds there are."""
    pictures = [picture for picture, _ in cells]
    return np.array([1 / pictures.count(picture) for picture in pictures]) / len(set(pictures))


def bootstrap_weights(cells: Sequence[Cell], replicates: int = REPLICATES, seed: int = 0) -> Weights:
    """What each cell counts in each replicate: pictures are drawn with replacement, then each one's seeds.

    Of a single picture only the seeds are drawn. Rows sum to 1, and are the same at every call.
    """
    source = np.random.default_rng(seed)
    pictures = sorted({picture for picture, _ in cells})
    own = [[i for i, (picture, _) in enumerate(cells) if picture == name] for name in pictures]
    weights = np.zeros((replicates, len(cells)))
    for row in weights:
        for k in source.integers(len(own), size=len(own)):
            drawn = source.choice(own[k], size=len(own[k]))
            np.add.at(row, drawn, 1 / (len(own) * len(own[k])))
    return weights


def estimate(values: Values, cells: Sequence[Cell], weights: Weights) -> Estimate:
    """The mean curve over pictures and seeds, and the interval between the replicates' percentiles."""
    low, high = interval(weights @ values) if len(cells) > 1 else np.full((2, values.shape[1]), np.nan)
    return Estimate(equal_weights(cells) @ values, low, high)


def interval(replicates: np.ndarray) -> np.ndarray:
    """The percentiles between which 95 % of the replicates (first axis) lie; infinite ones count as large."""
    tails = [(1 - LEVEL) / 2, (1 + LEVEL) / 2]
    return np.quantile(replicates, tails, axis=0, method="inverted_cdf")


def estimates(measured: Measured, weights: Weights) -> dict[str, Estimate]:
    """Each initializer's mean curve; the interval holds the pictures' own differences too."""
    return {name: estimate(values, measured.cells, weights) for name, values in measured.values.items()}


def paired_estimates(measured: Measured, weights: Weights) -> dict[str, Estimate]:
    """The same means, with the interval of what is left when each cell's mean over initializers is taken out.

    Some pictures are hard for every initializer; such differences say nothing about which one is better
    (Cousineau 2005, within-subject intervals).
    """
    level = np.mean(list(measured.values.values()), axis=0)
    middle = equal_weights(measured.cells) @ level
    bands = {name: estimate(values - level, measured.cells, weights) for name, values in measured.values.items()}
    return {name: Estimate(*(part + middle for part in band)) for name, band in bands.items()}


def differences(measured: Measured, weights: Weights, to: str) -> dict[str, Estimate]:
    """How far each other initializer lies above the one called `to`, paired cell by cell."""
    base = measured.values[to]
    return {
        name: estimate(values - base, measured.cells, weights) for name, values in measured.values.items() if name != to
    }


def steps_to_reach(steps: Steps, curve: Float[np.ndarray, " steps"], level: float) -> float:
    """The first step at which a curve, straight between its points, is as low as `level`; infinite if never."""
    below = np.flatnonzero(curve <= level)
    if not len(below):
        return np.inf
    i = below[0]
    if i == 0:
        return float(steps[0])
    share = (curve[i - 1] - level) / (curve[i - 1] - curve[i])
    return float(steps[i - 1] + share * (steps[i] - steps[i - 1]))


def steps_to_star(measured: Measured, weights: Weights, star: str = "star") -> dict[str, Estimate]:
    """When each other initializer's mean curve is down at the final value of star's, with its interval.

    Both curves come from the same cells in every replicate. An infinite bound says that in more than
    2.5 % of the replicates the level was not reached within the run.
    """
    cells, many = measured.cells, len(measured.cells) > 1
    plain, star_values = equal_weights(cells), measured.values[star]
    levels = weights @ star_values[:, -1]
    found = {}
    for name, values in measured.values.items():
        if name == star:
            continue
        mean = steps_to_reach(measured.steps, plain @ values, float(plain @ star_values[:, -1]))
        curves = weights @ values
        times = [steps_to_reach(measured.steps, curve, level) for curve, level in zip(curves, levels, strict=True)]
        low, high = interval(np.array(times)) if many else (np.nan, np.nan)
        found[name] = Estimate(np.array(mean), np.array(low), np.array(high))
    return found


def smoothed(curve: Float[np.ndarray, " steps"], memory: float | int) -> Float[np.ndarray, " steps"]:
    """An exponential moving average over about `memory` points, free of bias towards its start."""
    keep = 1 - 1 / max(memory, 1)
    total = weight = 0.0
    result = np.empty_like(curve, dtype=float)
    for i, value in enumerate(curve):
        total = keep * total + (1 - keep) * value
        weight = keep * weight + (1 - keep)
        result[i] = total / weight
    return result
