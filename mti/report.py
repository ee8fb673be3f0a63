"""Figures, tables and a page from run folders: `python -m mti.report outputs/paper`.

Reads what `mti.run` left and trains nothing. Writes to `<folder>/report`: `index.html` with everything in one file;
every figure as PNG and, in the widths of a page and of a column, as PDF; every table as CSV and LaTeX;
`summary.json` with all results; and `values.csv` with every value of every run. Several folders are compared.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from mti.outputs import atomic
from mti.reporting.charts import Charts
from mti.reporting.collection import MOST_LINES, Collection, collect
from mti.reporting.gallery import figures
from mti.reporting.page import lead, page
from mti.reporting.results import VALUES, results, values
from mti.reporting.style import COLUMN, PAGE, number, step_text, styled
from mti.reporting.tables import cell, reached, tables, to_csv, to_latex
from mti.types import UserError


def main() -> None:
    """Report on the folders that the command line names. Ends with 2 for a mistake of the user's."""
    parser = argparse.ArgumentParser(prog="python -m mti.report", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("folders", type=Path, nargs="+", metavar="folder", help="of an experiment: outputs/paper")
    parser.add_argument("--output", type=Path, help="where to write to; if not given, a folder `report` in it")
    given = parser.parse_args()
    try:
        output = given.output or _common(given.folders) / "report"
        found = report(given.folders, output)
    except UserError as mistake:
        print("\n".join(f"mti: {line}" for line in str(mistake).splitlines()), file=sys.stderr)
        sys.exit(2)
    print("\n".join([lead(found), *_said(found), f"written: {output / 'index.html'}"]))


def report(folders: Path | Sequence[Path], output: Path) -> dict[str, Any]:
    """Write the report on the runs below one or several folders; what summary.json says.

    Raises:
        UserError: there is nothing to report on, or the output cannot be written.
    """
    folders = [folders] if isinstance(folders, Path) else list(dict.fromkeys(folders))
    collection = collect(*folders)
    try:
        output.mkdir(parents=True, exist_ok=True)
        return _write(collection, folders, output)
    except OSError as error:
        raise UserError(f"{output} cannot be written to: {error.strerror or error}: give another --output") from error


def _write(collection: Collection, folders: Sequence[Path], output: Path) -> dict[str, Any]:
    charts, drawn = Charts(collection).of(), list(figures(collection))
    with styled():
        for one in drawn:
            for width, ends in ((PAGE, (".png", ".pdf")), (COLUMN, ("-column.pdf",))):
                figure = one.draw(width)
                figure.draw_without_rendering()
                figure.set_layout_engine("none")  # the layout is settled, for both formats
                for end in ends:
                    with atomic(output / f"{one.name}{end}") as draft:
                        about = {"CreationDate": None} if end.endswith("pdf") else None
                        figure.savefig(draft, format=end[-3:], metadata=about)
    found = results(collection)
    found["figures"] = [one.name for one in drawn]
    every = tables(found)
    for table in every:
        _text(output / f"{table.name}.csv", to_csv(table.head, table.rows))
        _text(output / f"{table.name}.tex", to_latex(table))
    with atomic(output / "values.csv") as draft, draft.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(VALUES)
        table.writerows([cell(value) for value in row] for row in values(collection))
    _text(output / "summary.json", json.dumps(found, indent=1, ensure_ascii=False) + "\n")
    command = shlex.join(["python", "-m", "mti.report", *map(str, folders)])
    _text(output / "index.html", page(found, collection, drawn, charts, every, command, output))
    return found


def _text(path: Path, text: str) -> None:
    with atomic(path) as draft:
        draft.write_text(text, encoding="utf-8", errors="replace", newline="")


def _common(folders: Sequence[Path]) -> Path:
    """The folder that all lie in; the folder itself if it is one."""
    return Path(os.path.commonpath([one.absolute() for one in folders])) if len(folders) > 1 else folders[0]


def _said(found: Mapping[str, Any]) -> Iterator[str]:
    """What the terminal shows: how the runs stand, and when the levels of the baseline and of multistar are reached."""
    yield "runs: " + ", ".join(f"{count} {state}" for state, count in found["runs"].items())
    lines = [*found["problems"], *found["warnings"]]
    yield from (f"  {line}" for line in lines[:MOST_LINES])
    if len(lines) > MOST_LINES:
        yield f"  and {len(lines) - MOST_LINES:,} more: see summary.json"
    times = reached(found)
    for base in dict.fromkeys(base for base, _ in times):
        yield f"steps to {base}'s loss after {found['steps']:,} (95 % interval):"
        for label in (label for other, label in times if other == base):
            one = times[base, label]
            between = "" if one["low"] is None else f"  ({step_text(one['low'])} to {step_text(one['high'])})"
            seconds = "" if one["seconds"] is None else f"  {number(one['seconds'], 3)} s"
            yield f"  {label:10} {step_text(one['mean'])}{between}{seconds}"


if __name__ == "__main__":
    main()
