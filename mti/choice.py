"""The step to take tokens from: the earliest whose pictures are faithful enough while prompts are still followed.

Longer training makes pictures more faithful and prompts less followed, so neither the first step nor the last is the
one to use. `evaluation.choice` says how faithful and how obedient is enough; which direction is better, a metric says.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from mti.errors import UserError
from mti.outputs import RunFolder
from mti.schema import Choice
from mti.typed import near, written
from mti.types import Metric

WAYS = ("lower", "higher")
EVALUATED = "eval/mse"  # is measured at every evaluated step, after which tokens are kept


class Criterion(NamedTuple):
    """The level that a metric's value is to reach."""

    metric: str
    level: float
    better: Literal["lower", "higher"]

    def shortfall(self, value: float) -> float:
        """How far a value is from the level, as a share of it (of 1 if it is 0); 0 where it is reached."""
        if not math.isfinite(value):
            return math.inf
        beyond = value - self.level if self.better == "lower" else self.level - value
        return max(0.0, beyond / (abs(self.level) or 1.0))

    def __str__(self) -> str:
        return f"{self.metric} at {'most' if self.better == 'lower' else 'least'} {self.level:g}"


class Choosable(NamedTuple):
    """A value that one of a run's metrics measures: which way is better, and of which prompts."""

    better: Literal["lower", "higher"]
    prompt_set: str


def choosable(metrics: Iterable[Metric]) -> dict[str, Choosable]:
    """The values that a step can be chosen by: those of metrics that declare which way is better, by name."""
    found = {}
    for metric in metrics:
        prompts = getattr(metric, "prompt_set", "reconstruction")
        found |= {name: Choosable(better, prompts) for name, better in _directions(metric) if better in WAYS}
    return found


def _directions(metric: Any) -> Iterator[tuple[str, Any]]:
    """What a metric says of its values; a `mti.metrics.base.BaseMetric` without reading any weights for it."""
    if hasattr(metric, "labels") and hasattr(metric, "better"):
        yield from ((name, metric.better) for name in metric.labels())
    elif hasattr(metric, "record"):
        yield from ((name, about.get("better")) for name, about in metric.record().get("values", {}).items())


def choice_faults(choice: Choice, metrics: Iterable[Metric]) -> Iterator[str]:
    """What is wrong with a choice beside the metrics of its run, a line each."""
    known = choosable(metrics)
    following = {name: one for name, one in known.items() if one.prompt_set == "personalization"}
    for key, levels, good in (("fidelity", choice.fidelity, known), ("following", choice.following, following)):
        for name in levels or {}:
            if name not in good:
                why = "measures no personalization prompts" if name in known else "is none that this run measures"
                there = f"there are {', '.join(good)}" if good else "there is none in metrics="
                meant = "" if name in known else near(name, good)
                yield f"evaluation.choice.{key}={written(levels)}: {name} {why}; {there}{meant}"


def criteria(choice: Choice, metrics: Iterable[Metric]) -> list[Criterion]:
    """The levels to reach, those of fidelity first."""
    known = choosable(metrics)
    levels = [*(choice.fidelity or {}).items(), *(choice.following or {}).items()]
    return [Criterion(name, level, known[name].better) for name, level in levels]


def choose(curves: Mapping[str, Mapping[int, float]], wanted: Sequence[Criterion]) -> dict[str, Any]:
    """The earliest evaluated step at which all levels are reached, as summary.json keeps it.

    Args:
        curves: the columns of metrics.csv, each by steps.
        wanted: the levels to reach.

    Returns:
        `step`, `values` there, and `tokens`, their file in the run folder. If no step qualifies, `step` is None,
        `reason` says so, and `nearest` is the step whose largest shortfall is the least (see `Criterion.shortfall`; the
        earlier of equals), with its `values`.
    """
    columns = [curves.get(f"eval/{one.metric}", {}) for one in wanted]
    steps = [step for step in sorted(curves.get(EVALUATED, {})) if all(step in column for column in columns)]
    levels = " and ".join(map(str, wanted))
    values = {step: {one.metric: column[step] for one, column in zip(wanted, columns, strict=True)} for step in steps}
    short = {step: max(one.shortfall(values[step][one.metric]) for one in wanted) for step in steps}
    for step in steps:
        if short[step] == 0:
            tokens = RunFolder.tokens_name(step)
            return {"step": step, "tokens": tokens, "levels": levels, "values": values[step]}
    none = {"step": None, "tokens": None, "levels": levels, "nearest": None}
    if not steps:
        silent = [one.metric for one, column in zip(wanted, columns, strict=True) if not column]
        why = f"{', '.join(silent)} was not measured" if silent else "they were measured at no step together"
        return {**none, "reason": f"no evaluated step can be judged by {levels}: {why}"}
    nearest = min(steps, key=lambda step: (short[step], step))
    told = ", ".join(f"{name} {value:.4g}" for name, value in values[nearest].items())
    reason = f"no evaluated step has {levels}; the nearest is step {nearest}: {told}"
    return {**none, "nearest": nearest, "values": values[nearest], "reason": reason}


# ------------------------------------------------------------------------------------ afterwards


def chosen_step(folder: RunFolder) -> int:
    """The step that a run's summary says to take tokens from.

    Raises:
        UserError: no choice was asked for, the run has not ended, or no step qualified, with the reason.
    """
    found = (folder.summary() or {}).get("choice")
    if not isinstance(found, dict):
        raise UserError(
            f"step=chosen: {folder.path} has no chosen step: say what is enough in evaluation.choice when it is trained"
        )
    step = found.get("step")
    if not isinstance(step, int) or isinstance(step, bool):
        raise UserError(f"step=chosen: {folder.path}: {found.get('reason', 'no step qualified')}")
    return step


def kept_steps(folder: RunFolder) -> list[int]:
    """The steps of which a run keeps tokens, in their order."""
    return sorted(int(path.stem) for path in (folder.path / "tokens").glob("*.safetensors") if path.stem.isdecimal())


def step_of(folder: RunFolder, asked: int | str | None) -> int | None:
    """The step that is asked for as a number, as "chosen", or as None, which is the end.

    Raises:
        UserError: there is no chosen step, or the run keeps no tokens of the step.
    """
    step = chosen_step(folder) if asked == "chosen" else None if asked is None else int(asked)
    kept = kept_steps(folder)
    if step is not None and step not in kept:
        steps = f"the steps {', '.join(map(str, kept))}" if kept else "no step but the last"
        raise UserError(f"step={step}: {folder.path} keeps tokens of {steps}")
    return step
