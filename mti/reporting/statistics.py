"""Means over pictures and seeds, and how sure one can be of them.

A *cell* is a picture and a seed. All initializers meet the same noise in a cell, so whatever is compared
is compared cell by cell. The pictures are the sample: each one's seeds are averaged first, and an interval is
Student's over these means. It keeps its 95 % for few pictures too (tests/reporting/test_statistics.py simulates
that), where percentiles of a bootstrap over 4 pictures hold the truth in 81 % of cases.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from scipy.special import stdtrit

Cell = tuple[str, int]
Steps = Int[np.ndarray, " steps"]
Values = Float[np.ndarray, "cells steps"]
PictureMeans = Float[np.ndarray, "pictures steps"]

LEVEL = 0.95
FEWEST = 3
"""Pictures that an interval needs: of two, it would be 9 standard deviations wide to either side."""


class Estimate(NamedTuple):
    """A mean with its 95 % interval, which is NaN where there are too few pictures for one."""

    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray


class Measured(NamedTuple):
    """One measured value of several series, in the same cells and at the same steps."""

    steps: Steps
    cells: Sequence[Cell]
    values: Mapping[str, Values]  # by series

    @property
    def pictures(self) -> list[str]:
        """The cells' pictures, in the order of `picture_means`."""
        return sorted({picture for picture, _ in self.cells})

    def of(self, names: Sequence[str]) -> Measured:
        """The same of some of the series."""
        return self._replace(values={name: self.values[name] for name in names})


def picture_means(values: Values, cells: Sequence[Cell]) -> PictureMeans:
    """Each picture's mean over its seeds, in the order of the pictures' names."""
    _, index = np.unique([picture for picture, _ in cells], return_inverse=True)
    totals = np.zeros((index.max() + 1, values.shape[1]))
    np.add.at(totals, index, values)
    return totals / np.bincount(index)[:, None]


def estimate(means: PictureMeans) -> Estimate:
    """The mean over pictures, each counting the same whatever its number of seeds, with Student's interval."""
    count, mean = len(means), means.mean(0)
    if count < FEWEST:
        return Estimate(mean, np.full_like(mean, np.nan), np.full_like(mean, np.nan))
    half = stdtrit(count - 1, (1 + LEVEL) / 2) * means.std(0, ddof=1) / np.sqrt(count)
    return Estimate(mean, mean - half, mean + half)


def estimates(measured: Measured) -> dict[str, Estimate]:
    """Each series' mean curve; the interval holds the pictures' own differences too."""
    return {name: estimate(picture_means(values, measured.cells)) for name, values in measured.values.items()}


def paired_estimates(measured: Measured) -> dict[str, Estimate]:
    """The same means, with the interval of what is left when each picture's own level is taken out.

    Some pictures are hard for every initializer; such differences say nothing about which one is better.
    Within-subject intervals of Cousineau (2005) with Morey's (2008) correction for the number of series.
    """
    means = {name: picture_means(values, measured.cells) for name, values in measured.values.items()}
    if len(means) == 1:
        return estimates(measured)
    level = np.mean(list(means.values()), axis=0)
    middle, correction = level.mean(0), np.sqrt(len(means) / (len(means) - 1))
    found = {}
    for name, own in means.items():
        mean, low, high = estimate(own - level)
        half = correction * (high - low) / 2
        found[name] = Estimate(mean + middle, mean + middle - half, mean + middle + half)
    return found


def difference(measured: Measured, name: str, base: str) -> Estimate:
    """How far a series lies above another one, paired picture by picture."""
    return estimate(picture_means(measured.values[name] - measured.values[base], measured.cells))


def lower_on(measured: Measured, name: str, base: str) -> int:
    """On how many pictures a series ends below another one; seeds are averaged."""
    ends = picture_means(measured.values[name] - measured.values[base], measured.cells)[:, -1]
    return int((ends < 0).sum())


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


def steps_to(measured: Measured, name: str, base: str) -> Estimate:
    """When a series' mean curve is down at the final value of another one's, with its interval.

    The interval holds the steps at which the paired difference to that final value cannot be told from zero
    (Fieller's way): it begins where the difference may be zero, and ends where it is surely below. An infinite
    bound says that this does not come about within the run.
    """
    ahead = measured.values[name] - measured.values[base][:, -1:]
    mean, low, high = estimate(picture_means(ahead, measured.cells))
    first, certain = (steps_to_reach(measured.steps, curve, 0.0) for curve in (low, high))
    bounds = (np.nan, np.nan) if np.isnan(low).any() else (first, certain)
    return Estimate(np.array(steps_to_reach(measured.steps, mean, 0.0)), *map(np.array, bounds))


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
