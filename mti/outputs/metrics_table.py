"""metrics.csv: a row per step, a column per measured value, an empty cell where nothing was measured."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from pathlib import Path

from mti.files import DamagedFile, read_text, write_bytes

Curve = dict[int, float]
"""A measured value at each step where it was measured, in the order of the steps."""

Rows = dict[int, dict[str, float]]
"""The values of each step, by name, in the order of the steps."""


def write_rows(path: Path, rows: Mapping[int, Mapping[str, float]]) -> None:
    """Write the table; its columns are in the order of their names."""
    names = sorted({name for values in rows.values() for name in values})
    text = io.StringIO()
    table = csv.DictWriter(text, ["step", *names])
    table.writeheader()
    table.writerows({"step": step, **rows[step]} for step in sorted(rows))
    write_bytes(path, text.getvalue().encode("utf-8"))


def read_rows(path: Path, remedy: str) -> Rows:
    """Read the table. Numbers may be infinite or not a number: a loss may.

    Raises:
        DamagedFile: the file cannot be read, ends within a row, or has a row that is none; the row is named.
    """
    text = read_text(path, remedy)
    rows: Rows = {}
    table = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        names = next(table)
        if names[:1] != ["step"] or len(set(names)) < len(names) or "" in names:
            raise ValueError("expected the names of its columns, `step` first")
        for cells in table:
            step, values = _row(names, cells)
            if rows and step <= next(reversed(rows)):
                raise ValueError(f"step {step} comes after step {next(reversed(rows))}")
            rows[step] = values
        if not text.endswith("\n"):
            raise ValueError("the file ends within it")
    except (ValueError, csv.Error) as error:
        raise DamagedFile(path, f"is damaged in row {table.line_num} ({error})", remedy) from None
    return rows


def _row(names: list[str], cells: list[str]) -> tuple[int, dict[str, float]]:
    if len(cells) != len(names):
        raise ValueError(f"{len(cells)} cells for {len(names)} columns")
    if not (cells[0].isascii() and cells[0].isdecimal()):
        raise ValueError(f"{cells[0][:20]!r} is not a step")
    return int(cells[0]), {name: float(cell) for name, cell in zip(names[1:], cells[1:], strict=True) if cell}


def curves(rows: Rows) -> dict[str, Curve]:
    """The columns of the table, so that `curves(rows)["eval/mse"][100]` is a number."""
    found: dict[str, Curve] = {}
    for step, values in rows.items():
        for name, value in values.items():
            found.setdefault(name, {})[step] = value
    return found
