"""What the paper's figure 3 shows, read off the authors' vector figure."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np

CURVES = Path(__file__).parent / "paper_figure3_mse.csv"
STEPS = 5000
TIMES = {"class": 1218, "caption": 399}
"""When they reach star's final loss in the paper, by its curves at full resolution (the file has every 50th step)."""


def curves() -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """The steps and the losses of each initializer."""
    with CURVES.open(newline="") as file:
        rows = list(csv.DictReader(file))
    names: Sequence[str] = [name for name in rows[0] if name != "step"]
    steps = np.array([int(row["step"]) for row in rows])
    return steps, {name: np.array([float(row[name]) for row in rows]) for name in names}
