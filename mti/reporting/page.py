"""The report as one HTML file that needs nothing else: no network, and no word of a stranger's that is markup.

The template escapes whatever is put into it; a content policy in the page allows its own script alone.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import jinja2
from markupsafe import Markup
from PIL import Image
from plotly.offline import get_plotlyjs, get_plotlyjs_version

from mti.reporting import style
from mti.reporting.charts import Chart
from mti.reporting.collection import Collection
from mti.reporting.gallery import Drawn
from mti.reporting.sheets import Sheet
from mti.reporting.statistics import FEWEST
from mti.reporting.tables import Interval, Table, Value, text

HERE = Path(__file__).parent
LONGEST_LEAD = 120  # characters of the series' names in the line below the title
DARK = {
    **{"#6b7280": "#9ca3af", "#1d4ed8": "#60a5fa", "#d97706": "#f59e0b", "#dc2626": "#f87171"},
    **{"#059669": "#34d399", "#7c3aed": "#a78bfa", "#db2777": "#f472b6", "#0891b2": "#22d3ee"},
    **{"#65a30d": "#a3e635", "#92400e": "#fdba74", "#334155": "#cbd5e1"},
    **{style.PENCIL: "#9198a1", style.THREAD: "#4b535d"},
}
"""What the series' colours are on a dark page."""
MARKERS = {
    "o": "M17 2.5a4.5 4.5 0 1 0 .01 0z",
    "s": "M13 3h8v8h-8z",
    "D": "M17 1.5l5.5 5.5-5.5 5.5-5.5-5.5z",
    "^": "M17 1.5l5.5 10h-11z",
    "v": "M17 12.5l5.5-10h-11z",
    "P": "M15 2h4v3h3v4h-3v3h-4v-3h-3v-4h3z",
    "X": "M13 2l4 3 4-3 1.5 1.5-3 3.5 3 3.5-1.5 1.5-4-3-4 3-1.5-1.5 3-3.5-3-3.5z",
    "p": "M17 1.5l5.5 4-2 6.500h-7l-2-6.5z",
}
"""The markers in the page's key, as SVG paths in a field of 34 × 14."""
INTERVALS = (
    "Intervals hold 95 %: Student's, over the pictures' means. Bands around curves leave out what a picture's own "
    "level adds to all series alike (the numbers under the pointer do not); a band of differences says by itself "
    "whether a series differs."
)
NO_INTERVALS = f"There are no intervals: with fewer than {FEWEST} pictures none would be of use."


def page(
    found: Mapping[str, Any],
    collection: Collection,
    drawn: Sequence[Drawn],
    charts: Mapping[str, Sequence[Chart]],
    tables: Sequence[Table],
    command: str,
    output: Path,
) -> str:
    """The whole page.

    Args:
        found: what `results` gives.
        collection: the runs themselves, for the links to their folders.
        drawn: the figures, in the order of the page.
        charts: what `Charts.of` gives.
        tables: in the order of the page.
        command: what made the page.
        output: the page's folder, which links start from.
    """
    number = {label: i for i, label in enumerate(collection.compared)}
    panels: list[Chart] = []
    own = {table.name: _table(table, number) for table in tables}
    sections = []
    for one in drawn:
        mine = charts.get(one.charts, [])
        if not (mine or one.sheet):
            continue
        sections.append(
            {
                "name": one.name,
                "heading": one.heading,
                "caption": one.caption,
                "files": [(f"./{quote(one.name + end)}", kind) for end, kind in FORMS],
                "charts": list(enumerate(mine, len(panels))),
                "small": any(chart.size == "small" for chart in mine),
                "sheet": one.sheet and _sheet(one.sheet, number),
                "tables": [own.pop(name) for name in AFTER.get(one.charts, ()) if name in own],
            }
        )
        panels += mine
    rest = {"tables": [*own.values(), _runs(collection, number, output)]}
    sections.append({"name": "all_tables", "heading": "Texts, provenance, runs", **rest})
    inits = len(set(found["initializers"].values()))
    script = (HERE / "page.js").read_text(encoding="utf-8")
    template = jinja2.Environment(autoescape=True, trim_blocks=True, undefined=jinja2.ChainableUndefined).from_string(
        (HERE / "page.html").read_text(encoding="utf-8")
    )
    return template.render(
        title=f"{found['experiment']}: {'initializers' if inits > 1 else 'runs'} compared",
        lead=lead(found),
        notes=_notes(found),
        key=[_key(label, look) for label, look in style.looks(collection.compared).items()],
        sections=sections,
        intervals=INTERVALS if len(found["pictures"]) >= FEWEST else NO_INTERVALS,
        command=command,
        charts=[chart._asdict() for chart in panels],
        dark=DARK,
        css=Markup((HERE / "page.css").read_text(encoding="utf-8")),
        script=Markup(script),
        script_hash=f"sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}",
        plotly=base64.b64encode(gzip.compress(get_plotlyjs().encode(), mtime=0)).decode(),
        plotly_version=get_plotlyjs_version(),
    )


FORMS = ((".png", "PNG"), (".pdf", "PDF, 6.9 in"), ("-column.pdf", "PDF, 3.3 in"))
AFTER = {"eval/mse": ("results", "paired", "calibration"), "steps_to_baseline": ("steps_to_baseline",)}
"""The tables that stand below a figure; the others stand at the end."""


def lead(found: Mapping[str, Any]) -> str:
    """What was run, in a line."""
    pictures, seeds, names = len(found["pictures"]), len(found["seeds"]), ", ".join(found["series"])
    if len(names) > LONGEST_LEAD:
        names = f"{len(found['series']):,} series"
    return (
        f"{names} · model {found['model']} · {pictures:,} picture{'s' * (pictures != 1)} · "
        f"{seeds} seed{'s' * (seeds != 1)} · {found['steps']:,} steps"
    )


def _notes(found: Mapping[str, Any]) -> list[dict[str, Any]]:
    counts = ", ".join(f"{count} {state}" for state, count in found["runs"].items())
    whole = f"All {counts.split()[0]} runs have finished; nothing is left out."
    problems = found["problems"]
    notes = [{"warn": bool(problems), "title": f"Runs: {counts}." if problems else whole, "lines": problems}]
    if found["warnings"]:
        notes.append({"warn": True, "title": "Compare with care:", "lines": found["warnings"]})
    if len(found["pictures"]) < FEWEST:
        notes.append({"warn": True, "title": NO_INTERVALS, "lines": []})
    if found["commands"]:
        lines = [f"{command} ({count} runs)" for command, count in found["commands"].items()]
        dates = " to ".join(dict.fromkeys(found["started"]))
        notes.append({"warn": False, "title": f"Started by, {dates}:" if dates else "Started by:", "lines": lines})
    return notes


def _key(label: str, look: style.Look) -> dict[str, str]:
    dash = "" if isinstance(look.dash, str) else " ".join(f"{2 * part:g}" for part in look.dash[1])
    return {"label": label, "color": look.color, "dash": dash, "marker": MARKERS[look.marker]}


def _table(table: Table, number: Mapping[str, int]) -> dict[str, Any]:
    rows = []
    for row in table.rows:
        label = None if table.series is None else row[table.series]
        rows.append({"series": number.get(str(label)), "cells": [_cell(value) for value in row]})
    files = [(f"./{table.name}.csv", "CSV"), (f"./{table.name}.tex", "LaTeX")]
    return {"title": table.title, "caption": table.caption, "head": table.head, "rows": rows, "files": files}


def _cell(value: Value, link: str = "") -> dict[str, Any]:
    plain = value.mean if isinstance(value, Interval) else value
    sort = "" if plain is None else plain
    return {"text": text(value), "sort": sort, "right": not isinstance(value, str), "link": link}


def _runs(collection: Collection, number: Mapping[str, int], output: Path) -> dict[str, Any]:
    """All runs, with links to their folders."""
    rows, choice = [], any(run.chosen is not None for run in collection.runs)
    for run in collection.runs:
        loss = run.curves.get("eval/mse") if run.finished else None
        end = float(loss.values[-1]) if loss else None
        about = [run.series.label, run.concept, run.seed, run.state, end, *([run.chosen] if choice else [])]
        cells = [_cell(value) for value in about]
        path = run.folder.path
        rows.append({"series": number.get(run.series.label), "cells": [*cells, _cell(str(path), link(path, output))]})
    head = ["series", "picture", "seed", "state", "loss at the end", *(["tokens from"] if choice else []), "folder"]
    return {"title": "Runs", "caption": "Every run and its folder.", "head": head, "rows": rows, "files": []}


def link(path: Path, start: Path) -> str:
    """A relative address of a path that may hold anything; `./` keeps it from being read as a scheme."""
    return "./" + quote(os.fsencode(os.path.relpath(path, start)))


def _sheet(sheet: Sheet, number: Mapping[str, int]) -> dict[str, Any]:
    blocks = [
        {"name": name, "columns": list(columns), "series": number.get(name)} for name, columns in sheet.blocks.items()
    ]
    rows = []
    for i, row in enumerate(sheet.rows):
        tiles = [
            {
                "picture": tiles[i] and address(tiles[i]),
                "alt": ", ".join(part for part in (row, name, column) if part),
                "series": number.get(name),
            }
            for name, columns in sheet.blocks.items()
            for column, tiles in columns.items()
        ]
        rows.append({"name": row, "tiles": tiles})
    return {"blocks": blocks, "rows": rows}


def address(picture: Image.Image | None) -> str:
    """A picture as the address of itself."""
    assert picture is not None
    file = io.BytesIO()
    picture.save(file, "WEBP", quality=85)
    return f"data:image/webp;base64,{base64.b64encode(file.getvalue()).decode()}"
