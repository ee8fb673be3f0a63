"""The report as one HTML file that needs nothing else."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from string import Template
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure
from PIL import Image

from mti.reporting.gallery import Drawn
from mti.reporting.plots import PAPER_TIMES
from mti.reporting.statistics import REPLICATES
from mti.reporting.style import INITIALIZERS, metric_name, step_text

TEMPLATE = Path(__file__).parent / "page.html"
PICTURE = re.compile(r"data:image/png;base64,([\w+/=\s]+)")
COLOR = re.compile(r"#([0-9a-f]{6})\b(?=[;\"])")


def page(found: Mapping[str, Any], figures: Sequence[Drawn], command: str) -> str:
    """The whole page.

    Args:
        found: what `results` gives.
        figures: in the order of the page.
        command: what made the page.
    """
    after: dict[str, list[tuple[str, str]]] = {
        "loss": [("At the end", _ends(found)), ("Calibration", _levels(found))],
        "steps_to_star": [("", _times(found))],
    }
    parts, links = [], []
    for name, figure, heading, caption in figures:
        links.append((name, heading))
        wide = ' class="wide"' if name.startswith(("contact", "personal")) else ""
        drawing = f"<figure{wide}>{inline_svg(figure, name)}<figcaption>{escape(caption)}</figcaption></figure>"
        parts.append(f'<section id="{name}"><h2>{escape(heading)}</h2>{drawing}</section>')
        for title, table in after.get(name, []):
            parts.append((f"<h2>{title}</h2>" if title and table else "") + table)
    links.append(("texts", "Initial texts"))
    parts.append(f'<section id="texts"><h2>Initial texts</h2>{_texts(found)}</section>')
    return Template(TEMPLATE.read_text(encoding="utf-8")).substitute(
        title=escape(f"{found['experiment']}: initializers compared"),
        lead=escape(lead(found)),
        status=_status(found),
        links="".join(f'<a href="#{name}">{escape(heading)}</a>' for name, heading in links),
        sections="\n".join(parts),
        replicates=f"{REPLICATES:,}",
        command=escape(command),
    )


def lead(found: Mapping[str, Any]) -> str:
    """What was run, in a line."""
    pictures, seeds = len(found["pictures"]), len(found["seeds"])
    return (
        f"{', '.join(found['initializers'])} · model {found['model']} · {pictures} picture{'s' * (pictures != 1)} · "
        f"{seeds} seed{'s' * (seeds != 1)} · {found['steps']:,} steps"
    )


def inline_svg(figure: Figure, name: str) -> str:
    """A figure as SVG whose colours follow the page's: each `#rrggbb` becomes a variable with that fallback."""
    file = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": name}):
        figure.savefig(file, format="svg", transparent=True, metadata={"Date": None})
    drawing = file.getvalue()
    drawing = re.sub(r"<metadata>.*?</metadata>", "", drawing[drawing.index("<svg") :], flags=re.DOTALL)
    drawing = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", drawing, count=1)
    drawing = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", drawing, count=1)
    drawing = PICTURE.sub(lambda found: _lighter(found[1]), drawing)
    drawing = COLOR.sub(r"var(--c-\1, #\1)", drawing)
    return drawing.replace("<svg", f'<svg role="img" aria-label="{escape(name)}"', 1)


def _lighter(png: str) -> str:
    """A picture's address as WebP, which takes a tenth of the room."""
    file = io.BytesIO()
    with Image.open(io.BytesIO(base64.b64decode(png))) as picture:
        picture.save(file, "WEBP", quality=85)
    return f"data:image/webp;base64,{base64.b64encode(file.getvalue()).decode()}"


def _status(found: Mapping[str, Any]) -> str:
    counts = ", ".join(f"{count} {state}" for state, count in found["runs"].items())
    if not found["problems"]:
        return f'<div class="note">All {counts.split()[0]} runs have finished; nothing is left out.</div>'
    lines = "".join(f"<li>{escape(line)}</li>" for line in found["problems"])
    return f'<div class="note warn"><strong>Runs: {counts}.</strong><ul>{lines}</ul></div>'


def _times(found: Mapping[str, Any]) -> str:
    rows = []
    for label, one in found["steps_to_star"].items():
        share = "–" if one["mean"] is None else f"{one['mean'] / found['steps']:.1%}"
        between = f"{step_text(one['low'])} – {step_text(one['high'])}"
        paper = f"{PAPER_TIMES[label]:,}" if label in PAPER_TIMES else "–"
        rows.append([label, step_text(one["mean"]), between, share, paper])
    head = ["", "step", "95 % interval", "of the run", "the paper, of 5,000 steps"]
    return _table(head, rows) if rows else ""


def _ends(found: Mapping[str, Any]) -> str:
    """Every metric's start and end, and the paired difference to star."""
    metrics = found["metrics"]
    rows = []
    for label in found["initializers"]:
        row = [label]
        for metric in metrics.values():
            one = metric["initializers"][label]
            row.append(f"{_value(one['mean'][0])} → {_value(one['mean'][-1])}")
            against = one["difference_to_star"]
            if against and against["low"][-1] is not None:
                row[-1] += (
                    f"\n{against['mean'][-1]:+.4f} [{against['low'][-1]:+.4f}, {against['high'][-1]:+.4f}] to star"
                )
        rows.append(row)
    return _table(["", *(metric["name"] for metric in metrics.values())], rows)


def _value(number: float | None) -> str:
    return "–" if number is None else f"{number:.4f}"


def _levels(found: Mapping[str, Any]) -> str:
    """Where the values would lie without training, and the autoencoder's floor."""
    rows = []
    for group, levels in found["calibration"].items():
        for level, values in levels.items():
            floor = group == "floor"
            name = f"{metric_name(level if floor else group)}, {'autoencoder' if floor else level.replace('_', ' ')}"
            rows.append([name, *(_value(values.get(label)) for label in found["initializers"])])
    return _table(["", *found["initializers"]], rows) if rows else ""


def _texts(found: Mapping[str, Any]) -> str:
    labels = [label for label in found["initializers"] if label != "star"]
    rows = [
        [picture.replace("_", " ")]
        + [f"{own[label]['text']}\n{_tokens(own[label]['tokens'])}" if label in own else "–" for label in labels]
        for picture, own in found["texts"].items()
    ]
    return _table(["", *labels], rows)


def _tokens(count: int) -> str:
    return f"{count} token{'s' * (count != 1)}"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table whose first column is in bold and in its initializer's colour; a cell's second line is small."""
    lines = []
    for first, *others in rows:
        color = (
            f' style="color: var(--c-{INITIALIZERS[first][1:]}, {INITIALIZERS[first]})"'
            if first in INITIALIZERS
            else ""
        )
        cells = "".join(f"<td>{_cell(other)}</td>" for other in others)
        lines.append(f"<tr><th scope=row{color}>{escape(first)}</th>{cells}</tr>")
    titles = "".join(f"<th scope=col>{escape(name)}</th>" for name in head)
    return f'<div class="scroll"><table><thead><tr>{titles}</tr></thead><tbody>{"".join(lines)}</tbody></table></div>'


def _cell(text: str) -> str:
    first, _, second = text.partition("\n")
    return escape(first) + (f"<br><small>{escape(second)}</small>" if second else "")
