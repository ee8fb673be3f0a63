"""Figures, tables and a page from run folders: `python -m mti.report outputs/paper`.

Reads what `mti.run` left and trains nothing. Writes to `<folder>/report`: every figure as PNG and PDF,
`index.html` with all of them in one file, and `summary.json` with all numbers.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mti.outputs import atomic
from mti.reporting.gallery import figures
from mti.reporting.page import lead, page
from mti.reporting.results import results
from mti.reporting.runs import collect
from mti.reporting.statistics import bootstrap_weights
from mti.reporting.style import step_text, styled
from mti.types import UserError


def main() -> None:
    """Report on the folder that the command line names. Ends with 2 for a mistake of the user's."""
    parser = argparse.ArgumentParser(prog="python -m mti.report", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("folder", type=Path, help="an experiment's folder of run folders, such as outputs/paper")
    parser.add_argument("--output", type=Path, help="where to write to; <folder>/report if not given")
    arguments = parser.parse_args()
    output = arguments.output or arguments.folder / "report"
    try:
        found = report(arguments.folder, output)
    except UserError as mistake:
        print("\n".join(f"mti: {line}" for line in str(mistake).splitlines()), file=sys.stderr)
        sys.exit(2)
    print("\n".join([lead(found), *_said(found), f"written: {output / 'index.html'}"]))


def report(folder: Path, output: Path) -> dict[str, Any]:
    """Write the report on a folder's runs; what summary.json says."""
    collection = collect(folder)
    weights = bootstrap_weights(collection.cells)
    found = results(collection, weights)
    with styled():
        drawn = list(figures(collection, weights))
        found["figures"] = [one.name for one in drawn]
        output.mkdir(parents=True, exist_ok=True)
        for one in drawn:
            one.figure.draw_without_rendering()
            one.figure.set_layout_engine("none")  # the layout is settled, for all three formats
            one.figure.savefig(output / f"{one.name}.png")
            one.figure.savefig(output / f"{one.name}.pdf", metadata={"CreationDate": None})
        html = page(found, drawn, f"python -m mti.report {folder}")
    for name, text in {"index.html": html, "summary.json": json.dumps(found, indent=1, ensure_ascii=False)}.items():
        with atomic(output / name) as draft:
            draft.write_text(text + "\n", encoding="utf-8")
    return found


def _said(found: Mapping[str, Any]) -> Iterator[str]:
    """What the terminal shows: how the runs stand, and when star's final loss is reached."""
    yield "runs: " + ", ".join(f"{count} {state}" for state, count in found["runs"].items())
    yield from (f"  {line}" for line in found["problems"])
    if found["steps_to_star"]:
        yield f"steps to star's loss after {found['steps']:,} (95 % interval):"
    for label, one in found["steps_to_star"].items():
        yield f"  {label:10} {step_text(one['mean'])}  ({step_text(one['low'])} to {step_text(one['high'])})"


if __name__ == "__main__":
    main()
