"""What `--help` shows: the settings with their explanations, as `conf/` has them."""

from __future__ import annotations

import re
from pathlib import Path


def help_text(settings: Path, dry_run: bool = False) -> str:
    """What an entry takes, as its file of settings explains it, and what there is to choose from beside that file."""
    guide, _, _ = settings.read_text("utf-8").partition("\nhydra:")
    hidden = re.compile(r" +- (_self_|override hydra/\w+_logging)")
    lines = [line for line in guide.splitlines() if not hidden.match(line)]
    groups = re.findall(r"^ +- (?:override )?([\w/]+):", "\n".join(lines), re.MULTILINE)
    if not groups:
        lines.remove("defaults:")
    choices = [
        f"  {group}: {', '.join(sorted(path.stem for path in (settings.parent / group).glob('*.yaml')))}"
        for group in groups
    ]
    flags = [
        "flags:",
        "  -m, --multirun      a run for every combination of the values that commas part: init=star,caption",
        *["  --dry-run           tell how many runs, steps and pictures it is, and how long it takes"] * dry_run,
        "  --cfg job           show the settings, and do nothing",
        "  --config-dir DIR    a folder with choices of your own, such as DIR/model/mine.yaml",
    ]
    return "\n".join([*lines, *(["", "choices:", *choices, "", *flags] if groups else [])])
