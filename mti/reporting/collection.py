"""Which runs there are, how they stand, and what can be compared fairly."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, reduce
from itertools import combinations, product
from pathlib import Path

import numpy as np

from mti.outputs import run_folders
from mti.reporting.naming import name_concepts, name_series
from mti.reporting.reading import cleaned, plain
from mti.reporting.runs import Run, Series, Values, read_run
from mti.reporting.statistics import Cell, Measured
from mti.types import UserError

ORDER = ("star", "multistar", "class", "caption")
ALL_PAIRS = 6  # so many series are compared each with each; more of them with their baseline only
MOST_LINES = 20  # of a message


@dataclass
class Collection:
    """The runs of one or several experiments, and those cells in which every series has finished."""

    runs: list[Run]
    unreadable: list[str] = field(default_factory=list)  # run folders whose configuration cannot be used, a line each
    damaged: list[str] = field(default_factory=list)  # what turned out to be damaged while the report was made

    @cached_property
    def series(self) -> list[Series]:
        """All series, in the order in which they are shown."""
        rank = {name: i for i, name in enumerate(ORDER)}
        found = {run.series for run in self.runs}
        return sorted(found, key=lambda one: (one.experiment, rank.get(one.init, 9), one.init, _natural(one.label)))

    @cached_property
    def finished(self) -> dict[str, dict[Cell, Run]]:
        """The finished runs, by series and cell."""
        found: dict[str, dict[Cell, Run]] = {one.label: {} for one in self.series}
        for run in self.runs:
            if run.finished:
                found[run.series.label][run.cell] = run
        return {label: runs for label, runs in found.items() if runs}

    @cached_property
    def cells(self) -> list[Cell]:
        """The pictures and seeds that all series with finished runs have: what averages are over."""
        return sorted(set.intersection(*(set(runs) for runs in self.finished.values())))

    @cached_property
    def compared(self) -> list[str]:
        """The labels of the series with finished runs."""
        return list(self.finished)

    @property
    def chosen(self) -> Iterator[Run]:
        """The runs that averages are over."""
        return (run for label in self.compared for run in self.runs_of(label))

    def runs_of(self, label: str) -> list[Run]:
        """Those of one compared series, a run for each of the cells."""
        return [self.finished[label][cell] for cell in self.cells]

    @cached_property
    def pictures(self) -> list[str]:
        """The pictures that averages are over."""
        return sorted({picture for picture, _ in self.cells})

    @cached_property
    def baselines(self) -> dict[str, str]:
        """What each compared series is compared with: star of its experiment and settings, or else the first series."""
        own, stars = self._own, self._started_as("star")
        first = stars.get((own[0].experiment, own[0].settings), own[0].label)
        found = {}
        for one in own:
            star = stars.get((one.experiment, one.settings), first)
            found[one.label] = first if star == one.label else star
        return {label: base for label, base in found.items() if label != base}

    @cached_property
    def multistars(self) -> dict[str, str]:
        """Of each other compared series the multistar of its experiment and settings, where that is compared."""
        multistars = self._started_as("multistar")
        found = {one.label: multistars.get((one.experiment, one.settings)) for one in self._own}
        return {label: level for label, level in found.items() if level and level != label}

    @property
    def _own(self) -> list[Series]:
        """The series with finished runs."""
        return [one for one in self.series if one.label in self.finished]

    def _started_as(self, init: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], str]:
        """The compared series of an initializer, by experiment and settings."""
        return {(one.experiment, one.settings): one.label for one in self._own if one.init == init}

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """The pairs of series that are tested against each other, the later one first."""
        if len(self.compared) > ALL_PAIRS:
            return list(self.baselines.items())
        return [(later, earlier) for earlier, later in combinations(self.compared, 2)]

    @cached_property
    def metrics(self) -> list[str]:
        """The names of all curves, `eval/mse` first; no standard deviations."""
        names = {name for runs in self.finished.values() for run in runs.values() for name in run.curves}
        return sorted(
            (name for name in names if not name.endswith("_std")), key=lambda name: (name != "eval/mse", name)
        )

    def measured(self, metric: str, labels: Sequence[str] | None = None) -> Measured | None:
        """A value in all compared cells, at the steps where all of them have it; None if there are none.

        A run that its rule stopped keeps its last value, as its tokens stay what they are.
        """
        runs = {name: self.runs_of(name) for name in labels or self.compared}
        found = {name: [run.curves.get(metric) for run in own] for name, own in runs.items()}
        known = {name: [curve for curve in own if curve] for name, own in found.items()}
        if known != found:
            return None
        if not metric.startswith("train/") and any(run.stopped for own in runs.values() for run in own):
            known = _held(runs, known)
        steps = reduce(_common, (curve.steps for own in known.values() for curve in own))
        if not len(steps):
            return None
        values = {
            name: np.array([curve.values[np.searchsorted(curve.steps, steps)] for curve in own], np.float64)
            for name, own in known.items()
        }
        return Measured(steps, self.cells, values)

    @cached_property
    def calibration(self) -> dict[str, dict[str, dict[str, float]]]:
        """What calibration.json says, averaged over the compared runs that have it: group, level, series."""
        pools: dict[tuple[str, str, str], list[float]] = defaultdict(list)
        for run in self.chosen:
            try:
                levels = cleaned(run.folder.calibration())
            except UserError as error:
                self.damaged.append(f"{run.title}: {plain(str(error))}")
                continue
            for group, own in levels.items():
                for level, value in own.items():
                    if np.isfinite(value):
                        pools[group, level, run.series.label].append(value)
        found: dict[str, dict[str, dict[str, float]]] = {}
        for (group, level, label), values in pools.items():
            if not level.endswith("_std"):
                found.setdefault(group, {}).setdefault(level, {})[label] = float(np.mean(values))
        return found

    def problems(self) -> list[str]:
        """What is not as it should be, a line each: damaged, failed, unfinished and missing runs, and their cost."""
        lines = [*self.unreadable, *(f"{run.title}: {run.state}" for run in self.runs if not run.finished)]
        there = {(run.series.label, *run.cell) for run in self.runs}
        pictures, seeds = (sorted({run.cell[i] for run in self.runs}) for i in (0, 1))
        lines += [
            f"{picture}, {one.label}, seed {seed}: missing"
            for picture, one, seed in product(pictures, self.series, seeds)
            if (one.label, picture, seed) not in there
        ]
        left_out = sorted({run.cell for run in self.runs} - set(self.cells))
        if left_out:
            names = ", ".join(f"{picture} (seed {seed})" for picture, seed in left_out)
            lines.append(f"left out of all averages, since not every series has finished there: {names}")
        silent = [one.label for one in self.series if one.label not in self.finished]
        if silent:
            lines.append(f"not compared, since no run has finished: {', '.join(silent)}")
        return lines + self.damaged


def collect(*roots: Path) -> Collection:
    """All runs below one or several folders.

    Raises:
        UserError: a folder cannot be read or holds no run; two runs have one place in the comparison; or no
            finished run could be compared.
    """
    collection = Collection([])
    for root in roots:
        _read(root, collection)
    names = ", ".join(str(root) for root in roots)
    if not collection.runs:
        raise UserError("\n".join([f"{names} holds no run that can be read", *_few(collection.unreadable)]))
    name_concepts(collection.runs)
    name_series(collection.runs)
    places: dict[tuple[str, Cell], Run] = {}
    for run in collection.runs:
        other = places.setdefault((run.series.label, run.cell), run)
        if other is not run:
            raise UserError(
                f"{other.folder.path} and {run.folder.path} are both {run.title}: "
                "move one of them away, or give an experiment of its own to each"
            )
    states = [*collection.unreadable, *(f"{run.title}: {run.state}" for run in collection.runs)]
    if not collection.finished:
        raise UserError("\n".join([f"{names} holds no finished run to report on", *_few(states)]))
    if not collection.cells:
        found = ", ".join(collection.compared)
        line = f"{names}: no picture and seed has finished runs of all of {found}, so nothing can be compared"
        raise UserError("\n".join([line, *_few(states)]))
    return collection


def _read(root: Path, collection: Collection) -> None:
    """Add the runs below a folder."""
    try:
        os.listdir(root)
    except OSError as error:
        reason = error.strerror or "it cannot be read"
        raise UserError(f"{root}: {reason}: give an experiment's folder, such as outputs/paper") from None
    folders = run_folders(root)
    if not folders:
        raise UserError(f"{root} holds no runs: give an experiment's folder, such as outputs/paper")
    for folder in folders:
        try:
            collection.runs.append(read_run(folder, root))
        except UserError as error:
            collection.unreadable.append(plain(str(error)))


def _few(lines: Sequence[str]) -> list[str]:
    more = len(lines) - MOST_LINES
    return [*lines[:MOST_LINES], f"and {more:,} more"] if more > 0 else list(lines)


def _held(runs: Mapping[str, list[Run]], curves: Mapping[str, list[Values]]) -> dict[str, list[Values]]:
    """The same curves; those of stopped runs have their last value at all later steps of the others."""
    every = reduce(np.union1d, (curve.steps for own in curves.values() for curve in own))

    def held(run: Run, curve: Values) -> Values:
        later = every[every > curve.steps[-1]] if run.stopped else every[:0]
        return Values(np.append(curve.steps, later), np.append(curve.values, np.full(len(later), curve.values[-1])))

    return {name: [held(*pair) for pair in zip(runs[name], own, strict=True)] for name, own in curves.items()}


def _common(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """The steps of both; most runs have the same."""
    return first if np.array_equal(first, second) else np.intersect1d(first, second)


def _natural(label: str) -> list[tuple[bool, float, str]]:
    """A sorting key that puts `lr=0.001` before `lr=0.01` and 2 before 10."""
    parts = re.split(r"(\d+(?:\.\d+)?(?:e-?\d+)?)", label)
    return [(bool(i % 2), float(part) if i % 2 else 0.0, "" if i % 2 else part) for i, part in enumerate(parts)]
