"""Run folders below a folder."""

from __future__ import annotations

import logging
import os
from pathlib import Path

from mti.outputs.run_folder import RunFolder

log = logging.getLogger("mti")


def run_folders(root: Path) -> list[RunFolder]:
    """All run folders at or below a folder, in the order of their paths. What may not be read is logged."""
    found = []
    for place, inner, files in os.walk(root, onerror=lambda error: log.warning("left out: %s", error)):
        inner.sort()
        if "config.yaml" in files:
            found.append(RunFolder(Path(place)))
            inner.clear()  # loggers keep files of the same name further in
    return found
