"""Run folders as curves and pictures; also those of runs that are being trained."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from mti.errors import UserError
from mti.figures import grid
from mti.images import read_picture
from mti.outputs import RunFolder
from mti.outputs.listing import run_folders

LAST = "newest"  # in place of a step
COLUMNS = 4  # of a run's pictures side by side


@dataclass(frozen=True)
class Watched:
    """A run's curves and pictures, as far as it has come."""

    name: str  # its path below the output folder
    curves: dict[str, dict[int, float]]
    state: str
    text: str


def runs_below(root: Path) -> list[str]:
    """The runs below a folder by their paths there, the newest first."""
    found = [folder.path for folder in run_folders(root)] if root.is_dir() else []
    newest = sorted(found, key=lambda path: (path / "config.yaml").stat().st_mtime, reverse=True)
    return [str(path.relative_to(root)) for path in newest]


def watched(root: Path, names: Sequence[str]) -> list[Watched]:
    """Runs by their paths below a folder, as they stand; those whose files cannot be read are left out."""
    found = []
    for name in names:
        folder = RunFolder(root / name)
        try:
            summary = folder.summary() or {}
            curves = {key: dict(curve) for key, curve in folder.metrics().items()}
            text = folder.read_text()[0].text if (folder.path / "text.json").exists() else ""
        except UserError:
            continue
        found.append(Watched(name, curves, str(summary.get("status", "unfinished")), text))
    return found


def rows(runs: Sequence[Watched], name: str) -> dict[str, list[Any]]:
    """The curves of that name, one row a point, in columns "step", "value" and "run"."""
    points = [(step, value, run.name) for run in runs for step, value in run.curves.get(name, {}).items()]
    return {column: [point[i] for point in points] for i, column in enumerate(("step", "value", "run"))}


def curve_names(runs: Sequence[Watched]) -> list[str]:
    """What was measured of any of the runs, the evaluation loss first."""
    names = list(dict.fromkeys(name for run in runs for name in run.curves))
    return sorted(names, key=lambda name: (name != "eval/mse", not name.startswith("eval/"), name))


def steps_of(root: Path, names: Sequence[str]) -> list[int]:
    """The steps of which any of the runs keeps pictures, in their order."""
    found: set[int] = set()
    for name in names:
        try:
            found.update(RunFolder(root / name).sampled_steps())
        except UserError:
            continue
    return sorted(found)


def pictures(root: Path, names: Sequence[str], step: int | None) -> list[tuple[Image.Image, str]]:
    """What was learned from, and what each run draws, as grids with captions.

    Of each run the newest pictures, or the newest that are not later than `step`.
    """
    shown: list[tuple[Image.Image, str]] = []
    inputs: set[bytes] = set()
    for name in names:
        folder = RunFolder(root / name)
        try:
            picture, steps = folder.input(), [one for one in folder.sampled_steps() if step is None or one <= step]
            drawn = folder.pictures(steps[-1]) if steps else []
        except UserError:
            continue
        if picture and picture.tobytes() not in inputs:
            inputs.add(picture.tobytes())
            shown.insert(len(inputs) - 1, (picture, "what is learned"))
        if drawn:
            shown.append((grid(drawn, columns=COLUMNS), f"{name}, step {steps[-1]}"))
    return shown


def standing(runs: Sequence[Watched]) -> list[list[Any]]:
    """For a table: each run's path, state, text, steps so far and newest evaluation loss."""
    found = []
    for run in runs:
        losses = run.curves.get("eval/mse", {})
        step = max((max(curve, default=0) for curve in run.curves.values()), default=0)
        found.append([run.name, run.state, run.text, step, round(losses[max(losses)], 5) if losses else None])
    return found


def requests(root: Path, name: str | None) -> list[Path]:
    """What `mti generate` was asked to draw with a run's tokens, the newest first."""
    found = list((root / name / "generated").glob("*/request.json")) if name else []
    return sorted(found, key=lambda path: -path.stat().st_mtime)


def drawn(root: Path, name: str | None) -> list[tuple[Image.Image, str]]:
    """What was drawn then, as grids with their prompts. What cannot be read is left out."""
    found = []
    for path in requests(root, name):
        try:
            request = json.loads(path.read_text("utf-8"))
            found.append((read_picture(path.parent / "grid.png"), f"{request['prompts'][0]}, seed {request['seed']}"))
        except (UserError, OSError, ValueError, LookupError, TypeError):
            continue
    return found
