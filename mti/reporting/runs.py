"""Which runs there are, how they stand, and what can be compared fairly."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from mti.outputs import Curve, RunFolder, run_folders
from mti.reporting.statistics import Cell, Measured
from mti.types import UserError

ORDER = ("star", "multistar", "class", "caption")
COMPARABLE = ("model.name", "trainer.max_steps", "evaluation.samples", "evaluation.pictures", "evaluation.prompts")


@dataclass
class Run:
    """One run folder as the report sees it."""

    folder: RunFolder
    config: dict[str, Any]
    label: str = ""  # the initializer, and what else tells this run from others of its picture and seed

    @property
    def image(self) -> str:
        """The concept's name; a path's stem."""
        return Path(str(self.config["image"])).stem

    @property
    def cell(self) -> Cell:
        """The picture and the seed."""
        return self.image, int(self.config["seed"])

    @property
    def changes(self) -> list[str]:
        """The overrides in the folder's name, behind the seed."""
        return self.folder.path.name.split("+")[1:]

    @cached_property
    def summary(self) -> dict[str, Any]:
        """How the run ended; empty while it has not."""
        return self.folder.summary() or {}

    @cached_property
    def curves(self) -> dict[str, Curve]:
        """All that was measured."""
        return self.folder.metrics()

    @property
    def finished(self) -> bool:
        """Whether it came to its end."""
        return self.summary.get("status") == "finished"

    @property
    def state(self) -> str:
        """How it stands, in words."""
        if self.finished:
            return "finished"
        if self.summary:
            return f"failed: {self.summary.get('reason', 'no reason given')}"
        last = max((max(curve) for curve in self.curves.values()), default=0)
        return f"unfinished, at step {last} of {self.config['trainer']['max_steps']}"

    @property
    def title(self) -> str:
        """The run in a few words."""
        return f"{self.image}, {self.label}, seed {self.cell[1]}"


@dataclass
class Collection:
    """The runs of one experiment, and those cells in which every initializer has finished."""

    root: Path
    runs: list[Run]

    @cached_property
    def finished(self) -> dict[str, dict[Cell, Run]]:
        """The finished runs, by initializer and cell."""
        found: dict[str, dict[Cell, Run]] = {label: {} for label in self.labels}
        for run in self.runs:
            if run.finished:
                found[run.label][run.cell] = run
        return {label: runs for label, runs in found.items() if runs}

    @cached_property
    def labels(self) -> list[str]:
        """All initializers, in the order in which they are shown."""
        rank = {name: i for i, name in enumerate(ORDER)}
        return sorted({run.label for run in self.runs}, key=lambda label: (rank.get(label.split()[0], 9), label))

    @cached_property
    def cells(self) -> list[Cell]:
        """The pictures and seeds that all initializers with finished runs have: what averages are over."""
        return sorted(set.intersection(*(set(runs) for runs in self.finished.values())))

    @property
    def compared(self) -> list[str]:
        """The initializers with finished runs."""
        return list(self.finished)

    @property
    def pictures(self) -> list[str]:
        """The pictures that averages are over."""
        return sorted({picture for picture, _ in self.cells})

    @property
    def metrics(self) -> list[str]:
        """The names of all curves, `eval/mse` first; no standard deviations."""
        names = {name for runs in self.finished.values() for run in runs.values() for name in run.curves}
        return sorted(
            (name for name in names if not name.endswith("_std")), key=lambda name: (name != "eval/mse", name)
        )

    def measured(self, metric: str, labels: Sequence[str] | None = None) -> Measured | None:
        """A value in all compared cells, at the steps where all of them have it; None if there are none."""
        chosen = {name: [self.finished[name][cell] for cell in self.cells] for name in labels or self.compared}
        curves = {name: [run.curves.get(metric, {}) for run in runs] for name, runs in chosen.items()}
        steps = sorted(set.intersection(*(set(curve) for own in curves.values() for curve in own)))
        if not steps:
            return None
        values = {name: np.array([[curve[step] for step in steps] for curve in own]) for name, own in curves.items()}
        return Measured(np.array(steps), self.cells, values)

    def calibration(self) -> dict[str, dict[str, dict[str, float]]]:
        """What calibration.json says, averaged over the compared runs that have it: group, level, initializer."""
        pools: dict[tuple[str, str, str], list[float]] = defaultdict(list)
        for label in self.compared:
            for cell in self.cells:
                for group, levels in self.finished[label][cell].folder.calibration().items():
                    for level, value in levels.items():
                        pools[group, level, label].append(value)
        found: dict[str, dict[str, dict[str, float]]] = {}
        for (group, level, label), values in pools.items():
            if not level.endswith("_std"):
                found.setdefault(group, {}).setdefault(level, {})[label] = float(np.mean(values))
        return found

    def problems(self) -> list[str]:
        """All that is not as it should be, a line each: failed, unfinished and missing runs, and what that costs."""
        lines = [f"{run.title}: {run.state}" for run in self.runs if not run.finished]
        there = {(run.label, *run.cell) for run in self.runs}
        images, seeds = ({run.cell[i] for run in self.runs} for i in (0, 1))
        lines += [
            f"{image}, {label}, seed {seed}: missing"
            for image, label, seed in product(sorted(images), self.labels, sorted(seeds))
            if (label, image, seed) not in there
        ]
        left_out = sorted({run.cell for run in self.runs} - set(self.cells))
        if left_out:
            names = ", ".join(f"{image} (seed {seed})" for image, seed in left_out)
            lines.append(f"left out of all averages, since not every initializer has finished there: {names}")
        silent = [label for label in self.labels if label not in self.finished]
        if silent:
            lines.append(f"not compared, since no run has finished: {', '.join(silent)}")
        return lines + self._differences()

    def _differences(self) -> list[str]:
        lines = []
        for key in COMPARABLE:
            found = {str(_at(run.config, key)) for runs in self.finished.values() for run in runs.values()}
            if len(found) > 1:
                lines.append(f"the runs differ in {key} ({', '.join(sorted(found))}): compare them with care")
        return lines


def collect(root: Path) -> Collection:
    """All runs below a folder.

    Raises:
        UserError: there is no run; runs of several experiments; two runs for one place in the comparison; or
            no finished run that could be compared.
    """
    runs = [Run(folder, folder.read_config()) for folder in run_folders(root)]
    if not runs:
        raise UserError(f"{root} holds no runs: give an experiment's folder, such as outputs/paper")
    experiments = sorted({run.config["experiment"]["name"] for run in runs})
    if len(experiments) > 1:
        raise UserError(f"{root} holds several experiments ({', '.join(experiments)}): give the folder of one")
    everywhere = set.intersection(*(set(run.changes) for run in runs))
    places: dict[tuple[str, Cell], Run] = {}
    for run in runs:
        own = [change for change in run.changes if change not in everywhere]
        run.label = " ".join([run.config["init"]["name"], *own])
        other = places.setdefault((run.label, run.cell), run)
        if other is not run:
            raise UserError(
                f"{other.folder.path} and {run.folder.path} are both {run.title}: "
                "move one of them away, or give an experiment of its own to each"
            )
    collection = Collection(root, runs)
    if not collection.finished:
        states = "\n".join(f"{run.title}: {run.state}" for run in runs)
        raise UserError(f"{root} holds no finished run to report on\n{states}")
    if not collection.cells:
        raise UserError(
            f"{root}: no picture and seed has finished runs of all of {', '.join(collection.compared)}, "
            f"so nothing can be compared\n" + "\n".join(f"{run.title}: {run.state}" for run in runs)
        )
    return collection


def _at(config: dict[str, Any], key: str) -> Any:
    for part in key.split("."):
        config = config.get(part, {})
    return config
