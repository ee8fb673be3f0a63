"""What a run is worth to Hydra's sweeper: a measured value, or how soon it was reached."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from mti.errors import UserError
from mti.outputs import RunFolder
from mti.schema import RunConfig, Sweep


def objective(config: RunConfig, worst: float) -> float:
    """What a run of this configuration is worth."""
    return worth(RunFolder(Path(str(config.folder))), config.sweep, worst)


def worth(folder: RunFolder, sweep: Sweep, worst: float = math.inf) -> float:
    """The value of `sweep.objective`, or with a level the number of updates to it, linear between evaluations.

    A run that failed, and one that never reached the level, is worth the worst; one that its rule stopped before
    the step, what it was worth then.

    Raises:
        UserError: the run has no such value, or none at that step.
    """
    if not folder.finished:
        return worst
    curves = folder.metrics()
    curve = curves.get(str(sweep.objective))
    if not curve:
        raise UserError(f"sweep.objective={sweep.objective}: the runs measure {', '.join(curves)}")
    steps, values = np.array(list(curve)), np.array(list(curve.values()))
    if sweep.level is not None:
        below = np.flatnonzero(values <= sweep.level)
        if not len(below):
            return worst
        first = below[0]
        if first == 0:
            return float(steps[0])
        part = (values[first - 1] - sweep.level) / (values[first - 1] - values[first])
        return float(steps[first - 1] + part * (steps[first] - steps[first - 1]))
    stopped = (folder.summary() or {}).get("stopped")
    step = int(steps[-1]) if sweep.step is None or (stopped and sweep.step > steps[-1]) else sweep.step
    if step not in curve:
        raise UserError(f"sweep.step={step}: {sweep.objective} is measured at {', '.join(map(str, curve))}")
    return curve[step]
