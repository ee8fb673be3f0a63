"""The report's tables, and their forms for programs (CSV) and for papers (LaTeX, booktabs)."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from mti.reporting import paper
from mti.reporting.metrics import describe
from mti.reporting.style import number, step_text

LATEX = str.maketrans(
    {character: f"\\{character}" for character in "&%$#_{}"}
    | {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    | {"<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}", "−": "$-$", "→": r"$\to$", "…": r"\dots{}"}
)


class Interval(NamedTuple):
    """A number with its 95 % interval; None for what cannot be known. In CSV it takes three columns."""

    mean: float | None
    low: float | None
    high: float | None
    kind: str = ""  # "step" for a step, where None is never; "+" for a difference

    def __str__(self) -> str:
        if self.kind == "step":
            between = "" if self.low is None else f" [{step_text(self.low)}, {step_text(self.high)}]"
            return step_text(self.mean) + between
        between = "" if self.low is None else f" [{number(self.low, 4, self.kind)}, {number(self.high, 4, self.kind)}]"
        return number(self.mean, 4, self.kind) + between


Value = str | int | float | Interval | None


class Table(NamedTuple):
    """Named columns of values; `series` is the column that names what can be switched on and off."""

    name: str  # of its files
    title: str
    caption: str
    head: Sequence[str]
    rows: Sequence[Sequence[Value]]
    series: int | None = None


def tables(found: Mapping[str, Any]) -> list[Table]:
    """The tables of `results`, without those that would be empty."""
    every = [_results(found), _pairs(found), _times(found), _levels(found), _texts(found), _provenance(found)]
    return [table for table in every if table.rows]


def _results(found: Mapping[str, Any]) -> Table:
    rows = []
    for metric in found["metrics"].values():
        for label, one in metric["series"].items():
            end = Interval(one["mean"][-1], one["low"][-1], one["high"][-1])
            rows.append([_metric(metric), label, one["mean"][0], metric["steps"][-1], end, len(one["pictures"])])
    caption = "Means over pictures and seeds, with 95 % intervals over pictures. Arrows: the better direction."
    head = ["metric", "series", "at the start", "last step", "there", "pictures"]
    return Table("results", "Results", caption, head, rows, 1)


def _pairs(found: Mapping[str, Any]) -> Table:
    rows = []
    for metric in found["metrics"].values():
        for one in metric["pairs"]:
            apart = Interval(one["mean"][-1], one["low"][-1], one["high"][-1], "+")
            sure = "" if apart.low is None or apart.high is None else "no" if apart.low <= 0 <= apart.high else "yes"
            counts = [one["lower_on"], one["higher_on"], one["pictures"]]
            rows.append([_metric(metric), one["series"], one["against"], apart, sure, *counts])
    caption = "Differences at the last step, paired picture by picture; they differ where the interval leaves out zero."
    head = ["metric", "series", "against", "difference", "differs", "lower on", "higher on", "of pictures"]
    return Table("paired", "Paired tests", caption, head, rows, 1)


def _times(found: Mapping[str, Any]) -> Table:
    rows = []
    for (base, label), one in reached(found).items():
        share = None if one["mean"] is None or not found["steps"] else one["mean"] / found["steps"]
        published = paper.TIMES.get(label) if base == "star" else None
        step = Interval(one["mean"], one["low"], one["high"], "step")
        of_run = None if share is None else f"{share:.1%}"
        rows.append([label, base, step, of_run, one["seconds"], published])
    caption = f"When the mean evaluation loss is down at another series' final value. {_seconds(found)}"
    head = ["series", "to the loss of", "step", "of the run", "seconds", "in the paper, of 5,000 steps"]
    return Table("steps_to_baseline", "Steps to the baseline's loss", caption, head, rows, 0)


def reached(found: Mapping[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    """When which level is reached by which series: first the baselines' levels, then multistar's, none twice."""
    every = [*found["steps_to_baseline"].items(), *found["steps_to_multistar"].items()]
    return {(one["baseline"], label): one for label, one in every}


def _seconds(found: Mapping[str, Any]) -> str:
    """What the table's seconds are."""
    sizes = sorted({size for one in found["pace"].values() for size in one["runs_at_once"]})
    if not sizes:
        return "How long that took is not recorded."
    batch = f"{sizes[0]:,}" if len(sizes) == 1 else f"{sizes[0]:,} to {sizes[-1]:,}"
    return (
        "Seconds: a run's own perception (finding what is clicked, looking at the picture), and its updates until "
        f"then, each as its share of a batch of {batch} run{'s' * (sizes[-1] != 1)}; no evaluation, no reading of "
        "weights."
    )


def _levels(found: Mapping[str, Any]) -> Table:
    rows: list[Sequence[Value]] = []
    for group, levels in found["calibration"].items():
        for level, own in levels.items():
            floor = group == "floor"
            metric = level if floor else group
            name = found["metrics"].get(f"eval/{metric}", {}).get("label") or describe(metric).label
            words = "autoencoder" if floor else level.replace("_", " ")
            rows.append([name, words, *(own.get(label) for label in found["series"])])
    caption = "What the values would be without any training, and the least that the autoencoder allows."
    return Table("calibration", "Calibration", caption, ["metric", "level", *found["series"]], rows)


def _texts(found: Mapping[str, Any]) -> Table:
    rows = [
        [picture, label, one["text"], one["tokens"], one["source"]]
        for picture, own in found["texts"].items()
        for label, one in own.items()
    ]
    caption = "What each picture's tokens start from."
    return Table("texts", "Initial texts", caption, ["picture", "series", "text", "tokens", "source"], rows, 1)


def _provenance(found: Mapping[str, Any]) -> Table:
    rows = [[name, value, count] for name, own in found["provenance"].items() for value, count in own.items()]
    caption = "How the compared runs came to be: environment and evaluation protocol."
    return Table("provenance", "Provenance", caption, ["what", "value", "runs"], rows)


def _metric(metric: Mapping[str, Any]) -> str:
    arrow = {"lower": " ↓", "higher": " ↑"}.get(metric["better"], "")
    unit = f" ({metric['unit']})" if metric["unit"] else ""
    return metric["label"] + unit + arrow


def text(value: Value) -> str:
    """A value for people."""
    if isinstance(value, float):
        return number(value)
    return "–" if value is None else f"{value:,}" if isinstance(value, int) else str(value)


def to_csv(head: Sequence[str], rows: Iterable[Sequence[Value]]) -> str:
    """A table for programs: numbers in full, an interval in three columns."""
    file, rows = io.StringIO(), list(rows)
    wide = {i for i in range(len(head)) if any(isinstance(row[i], Interval) for row in rows)}
    table = csv.writer(file)
    table.writerow(part for i, name in enumerate(head) for part in (_three(name) if i in wide else [name]))
    for row in rows:
        parts = (value[:3] if isinstance(value, Interval) else [value] for value in row)
        table.writerow(cell(part) for own in parts for part in own)
    return file.getvalue()


def _three(name: str) -> list[str]:
    return [name, f"{name}_low", f"{name}_high"]


def cell(value: Any) -> Any:
    """A value as it goes into a CSV file: no text there is taken for a formula by a spreadsheet."""
    return f"'{value}" if isinstance(value, str) and value.startswith(("=", "+", "-", "@")) else value


def to_latex(table: Table) -> str:
    r"""A table for papers: a booktabs tabular to be \input; numbers to the right."""
    numeric = [all(not isinstance(row[i], str) for row in table.rows) for i in range(len(table.head))]
    lines = [
        "% needs \\usepackage{booktabs}",
        f"% {table.title}: {table.caption}",
        f"\\begin{{tabular}}{{{''.join('r' if right else 'l' for right in numeric)}}}",
        "\\toprule",
        " & ".join(_latex(name) for name in table.head) + r" \\",
        "\\midrule",
        *(" & ".join(_latex(text(value)) for value in row) + r" \\" for row in table.rows),
        "\\bottomrule",
        "\\end{tabular}",
    ]
    return "\n".join(lines) + "\n"


def _latex(words: str) -> str:
    return words.translate(LATEX).replace("↓", r"$\downarrow$").replace("↑", r"$\uparrow$")
