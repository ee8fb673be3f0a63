"""A run folder as the report sees it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from mti.outputs import RunFolder
from mti.reporting.reading import cleaned, plain, section, settings
from mti.reporting.statistics import Cell
from mti.types import UserError

LARGEST = 1e30  # a value beyond is no measurement
LAST_STEP = 10**9


class Series(NamedTuple):
    """The runs that are averaged: they differ in picture and seed only."""

    label: str
    init: str
    settings: tuple[tuple[str, str], ...] = ()  # what sets it apart from others of its initializer
    experiment: str = ""  # where several are compared


class Values(NamedTuple):
    """A measured value at each of its steps, ascending."""

    steps: np.ndarray
    values: np.ndarray


@dataclass(eq=False)
class Run:
    """One run folder. Its texts are plain, whoever wrote them."""

    folder: RunFolder
    root: Path  # the folder that was reported on
    settings: Mapping[str, str]
    summary: Mapping[str, Any]  # empty while the run has not ended
    record: Mapping[str, Any]  # how it came to be; empty if unknown
    damage: str = ""  # what of it cannot be read
    concept: str = ""  # its picture's name in the report
    series: Series = field(default_factory=lambda: Series("", ""))

    @property
    def image(self) -> str:
        """The picture as the configuration names it."""
        return self.settings["image"]

    @property
    def init(self) -> str:
        """The initializer's name."""
        return self.settings["init.name"]

    @property
    def seed(self) -> int:
        """The seed."""
        return int(self.settings["seed"])

    @property
    def origin(self) -> tuple[str, str]:
        """The folder that was reported on, and the experiment's name."""
        return str(self.root), self.settings["experiment.name"]

    @property
    def recorded_concept(self) -> tuple[str, str] | None:
        """The picture's path and the hash of its content, where they are recorded."""
        found = section(self.record, "concept")
        path, sha256 = found.get("path"), found.get("sha256")
        return (path, sha256) if isinstance(path, str) and isinstance(sha256, str) else None

    @property
    def choices(self) -> dict[str, str]:
        """The chosen options of the configuration's groups, as far as they are recorded."""
        found = section(self.record, "choices")
        return {key: value for key, value in found.items() if isinstance(value, str) and key != "init"}

    def setting(self, key: str) -> str | None:
        """A setting or a choice as text; None where the run has none of that name."""
        return self.settings.get(key, self.choices.get(key))

    @property
    def cell(self) -> Cell:
        """The picture and the seed."""
        return self.concept, self.seed

    @cached_property
    def curves(self) -> dict[str, Values]:
        """All that was measured, by name; what is not finite counts as not measured.

        `stop/mse` is `eval/mse`, measured more often for a run that has a rule: here they are one.

        Raises:
            UserError: metrics.csv is damaged.
        """
        found, measured = {}, self.folder.metrics()
        if often := measured.pop("stop/mse", None):
            measured["eval/mse"] = dict(sorted({**often, **measured.get("eval/mse", {})}.items()))
        for name, curve in measured.items():
            kept = {step: value for step, value in curve.items() if abs(value) < LARGEST and 0 <= step < LAST_STEP}
            if kept:
                kind = np.float64 if name.startswith("eval/") else np.float32
                found[plain(name)] = Values(np.array(list(kept), np.int32), np.array(list(kept.values()), kind))
        return found

    @property
    def finished(self) -> bool:
        """Whether it came to its end, and can be read."""
        return self.summary.get("status") == "finished" and not self.damage

    @property
    def stopped(self) -> int | None:
        """The updates after which its rule ended it; None if none did."""
        steps = self.summary.get("steps")
        return steps if self.summary.get("stopped") and isinstance(steps, int) else None

    @property
    def state(self) -> str:
        """How it stands, in words."""
        if self.damage:
            return f"damaged: {self.damage}"
        if self.finished:
            return f"finished, stopped by its rule at step {self.stopped}" if self.stopped else "finished"
        if self.summary:
            return f"failed: {self.summary.get('reason', 'no reason given')}"
        last = max((int(curve.steps[-1]) for curve in self.curves.values()), default=0)
        return f"unfinished, at step {last} of {self.settings.get('trainer.max_steps', 'unknown')}"

    @property
    def chosen(self) -> int | str | None:
        """The step that tokens are to be taken from, or that there is none; None where no choice was asked for."""
        found = section(self.summary, "choice")
        step, nearest = found.get("step"), found.get("nearest")
        if not found or isinstance(step, int):
            return step
        return f"none; nearest: {nearest}" if isinstance(nearest, int) else "none"

    @property
    def title(self) -> str:
        """The run in a few words."""
        return f"{self.concept}, {self.series.label}, seed {self.seed}"


def read_run(folder: RunFolder, root: Path) -> Run:
    """A run folder's texts and numbers; of its pictures nothing is read.

    What is damaged beside the configuration is kept as the run's `damage`.

    Raises:
        UserError: the folder's configuration cannot be used.
    """
    name = folder.path / "config.yaml"
    try:
        found = settings(folder.read_config())
    except RecursionError:
        raise UserError(f"{name} is nested too deeply: it is no run's configuration") from None
    for key in ("image", "init.name", "experiment.name"):
        if not found.get(key, "").strip():
            raise UserError(f"{name} has no {key}: it is no run's configuration")
    if not re.fullmatch("-?[0-9]{1,18}", found.get("seed", "")):
        raise UserError(f"{name} has no whole number as seed: it is no run's configuration")
    run = Run(folder, root, found, {}, {})
    try:
        run.summary = cleaned(folder.summary() or {})
        run.record = cleaned(folder.read_record() or {})
        run.curves  # noqa: B018 - read once, here, where a damaged file is told
    except UserError as error:
        run.damage = plain(str(error))
    except RecursionError:
        run.damage = f"{folder.path} has a record that is nested too deeply"
    return run
