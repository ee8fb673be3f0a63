"""How the runs came to be, and where runs that are averaged or compared differ in it."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from statistics import fmean
from typing import Any

from mti.reporting.naming import PICTURES
from mti.reporting.reading import section
from mti.reporting.runs import Run

UNCOMPARED = ("started",)  # of the environment: differs from run to run, and changes nothing
LONGEST = 80  # characters of a value that is shown
NOT_RECORDED = "not recorded"


def provenance(runs: Sequence[Run]) -> dict[str, dict[str, int]]:
    """What the runs' records say of environment and protocol: each field's values, and how many runs have each."""
    found: dict[str, Counter[str]] = defaultdict(Counter)
    fields = [dict(_fields(run)) for run in runs]
    for name in dict.fromkeys(name for own in fields for name in own):
        found[name].update(own.get(name, NOT_RECORDED) for own in fields)
    return {name: dict(values.most_common()) for name, values in found.items()}


def warnings(runs: Sequence[Run]) -> list[str]:
    """A line for each field in which runs differ that are averaged or compared."""
    lines = []
    for name, values in provenance(runs).items():
        if len(values) > 1:
            known = ", ".join(f"{_brief(value)} ({_runs(count)})" for value, count in values.items())
            lines.append(f"the runs differ in {name}: {known}")
        if name == "dirty" and "true" in values:
            lines.append(f"made from a working tree with changes of its own: {_runs(values['true'])}")
    stopped: dict[str, list[int]] = defaultdict(list)
    for run in runs:
        if run.stopped:
            stopped[run.series.label].append(run.stopped)
    lines += [
        f"stopped by a rule: {label}: {_runs(len(steps))}, after {fmean(steps):.0f} updates on average "
        f"({min(steps)} to {max(steps)}); then they keep their last values"
        for label, steps in stopped.items()
    ]
    counts: dict[str, set[str | None]] = defaultdict(set)
    for run in runs:
        counts[run.concept].add(run.setting(PICTURES))
    if any(len(own) > 1 for own in counts.values()):
        lines.append(f"the runs of a concept differ in {PICTURES}: a loss is that of the pictures which a run has")
    silent = sum(not section(run.record, "environment") for run in runs)
    if 0 < silent < len(runs):
        lines.append(f"{silent} of {len(runs)} runs do not say how they came to be (no record.json)")
    return lines


def commands(runs: Sequence[Run]) -> dict[str, int]:
    """The commands that the runs were started with, and how many runs each started."""
    found = (run.record.get("command") for run in runs)
    return dict(Counter(one for one in found if isinstance(one, str)).most_common())


def dates(runs: Sequence[Run]) -> list[str]:
    """When the first and the last of the runs were started; empty if no record says."""
    found = (section(run.record, "environment").get("started") for run in runs)
    known = sorted(one for one in found if isinstance(one, str))
    return [known[0], known[-1]] if known else []


def _fields(run: Run) -> Iterator[tuple[str, str]]:
    """A run's environment, its model and length, and its evaluation protocol, as texts."""
    for key, value in section(run.record, "environment").items():
        if key not in UNCOMPARED:
            yield key, _text(value)
    for key in ("model.name", "trainer.max_steps"):
        if key in run.settings:
            yield key, run.settings[key]
    protocol = section(run.summary, "protocol")
    if not protocol:  # of a run before protocols were kept
        yield from ((key, value) for key, value in run.settings.items() if _is_protocol(key))
    for key, value in _flat(protocol, "evaluation"):
        if _is_protocol(key):
            yield key, value


def _is_protocol(key: str) -> bool:
    known = key.startswith("evaluation.") and key not in ("evaluation.batch_size", "evaluation.steps")
    return known and not key.endswith(".about")  # what a metric tells of, which changes no score


def _flat(node: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, str]]:
    for key, value in node.items():
        if key == "personalization":
            continue
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}.{key}")
        else:
            yield f"{prefix}.{key}", _text(value)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _runs(count: int) -> str:
    return f"{count:,} run{'s' * (count != 1)}"


def _brief(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"
