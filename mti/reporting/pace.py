"""How long runs take to come to a step: perception and updates, as their summaries tell; no evaluation."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

from mti.reporting.reading import section
from mti.reporting.runs import LARGEST, Run


class Pace(NamedTuple):
    """A run's seconds, where they are known. A race (`init=ranked`) takes the place of its updates."""

    perception: float | None
    update: float | None
    runs_at_once: float | None
    race: float | None
    raced: float | None  # updates

    def seconds(self, step: float | int) -> float | None:
        """How long it took to come to a step; None where that is not known."""
        if self.perception is None or self.update is None or self.race is None or self.raced is None:
            return None
        return self.perception + self.race + self.update * max(0.0, step - self.raced)


def pace_of(run: Run) -> Pace:
    """What a run's summary tells, which runs of before did not; what is no number counts as not told."""
    told = section(run.summary, "pace")
    if not told:
        return Pace(None, None, None, None, None)
    race = section(told, "race") if "race" in told else {"seconds": 0.0, "updates": 0}
    perception, update, runs_at_once = (_number(told.get(name)) for name in ("perception", "update", "runs_at_once"))
    return Pace(perception, update, runs_at_once, _number(race.get("seconds")), _number(race.get("updates")))


def seconds_to(step: float | int, runs: Iterable[Run]) -> float:
    """The mean over those runs that tell their pace; NaN where none does, or the step is infinite: never reached."""
    known = [seconds for run in runs if (seconds := pace_of(run).seconds(step)) is not None]
    return float(np.mean(known)) if known and np.isfinite(step) else np.nan


def paces(runs: Iterable[Run]) -> dict[str, Any]:
    """The means over those runs that tell their pace, None where none does, and the sizes of their batches."""
    every = [pace_of(run) for run in runs]
    return {
        "perception": _mean(one.perception for one in every),
        "race": _mean(one.race for one in every),
        "update": _mean(one.update for one in every),
        "runs_at_once": sorted({int(one.runs_at_once) for one in every if one.runs_at_once}),
    }


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(f"{np.mean(known):.6g}") if known else None


def _number(value: Any) -> float | None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number and 0 <= value < LARGEST else None
