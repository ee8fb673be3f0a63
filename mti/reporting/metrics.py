"""What a metric is called, and which way is good: as its record in summary.json says."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from mti.reporting.reading import section
from mti.reporting.runs import Run

NAMES = {
    "mse": "LDM MSE",
    "lpips": "LPIPS",
    "sifid": "SIFID",
    "fid": "FID",
    "clip_i": "CLIP-I",
    "clip_t": "CLIP-T",
    "dino": "DINO",
}
HIGHER_IS_BETTER = ("clip_i", "clip_t", "dino")
KINDS = ("fidelity", "editability")
ABOUT = {
    **dict.fromkeys(("lpips", "lpips_thing", "sifid", "fid", "clip_i", "dino"), "fidelity"),
    **dict.fromkeys(("clip_t", "followed"), "editability"),
}
"""What the metrics are about whose records do not say it yet; without `_pocket`."""


class Metric(NamedTuple):
    """A measured value as people read it; empty is what is not known.

    `better` is "lower" or "higher". `about` is "fidelity" (is it still the concept?) or "editability" (is the prompt
    followed?).
    """

    label: str
    unit: str = ""
    better: str = ""
    about: str = ""

    @property
    def title(self) -> str:
        """The name, with the unit if there is one."""
        return f"{self.label} ({self.unit})" if self.unit else self.label

    @property
    def good(self) -> str:
        """Which way is good, in words; empty where that is not known."""
        return f"{self.better} is better" if self.better else ""


ROW_NORM = Metric("Row norm", "of the vocabulary's median")  # of which no direction is better


def describe(column: str, runs: Iterable[Run] = ()) -> Metric:
    """The metric of a column of metrics.csv, from the first record that tells of it, or else by its name.

    `eval/lpips_pocket` is "LPIPS (pocket)", never plain LPIPS.
    """
    name = column.removeprefix("eval/")
    plain = name.removesuffix("_pocket")
    shown = NAMES.get(plain, plain)
    direction = "higher" if plain in HIGHER_IS_BETTER else "lower" if plain in NAMES else ""
    about = ABOUT.get(name.replace("_pocket", ""), "")
    known = Metric(shown if plain == name else f"{shown} (pocket)", "", direction, about)
    if name == "row_norm":
        known = ROW_NORM
    for run in runs:
        record = _record(run, name)
        told = {part: record[part] for part in Metric._fields if isinstance(record.get(part), str) and record[part]}
        if told:
            better = told.get("better", direction).split()[:1]
            about = told.get("about", "") if told.get("about") in KINDS else known.about
            told |= {"better": better[0] if better in (["lower"], ["higher"]) else "", "about": about}
            return known._replace(**told)
    return known


def _record(run: Run, name: str) -> dict[str, Any]:
    """What a run's metrics say of a value: one that measures several, or the metric of that name."""
    metrics = section(section(run.summary, "protocol"), "metrics")
    for metric in metrics:
        values = section(section(metrics, metric), "values")
        if name in values:
            return section(values, name)
    return section(metrics, name)
