"""batch.json: the batch that a run was trained in last, since that moves the last bits of its numbers."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

from mti.files import write_json
from mti.outputs.plain_data import fits, read_shaped

SHAPE = {"number": int, "places": int, "members": {str: int}, "samples": (int, type(None))}


class BatchRecord(NamedTuple):
    """Who is trained together."""

    number: int  # counts the batches of a list of runs: whenever one joins, another begins
    places: int  # for so many runs
    members: dict[str, int]  # the updates that each had done when the batch began, by its folder, in their order
    samples: int | None = None  # of an update, through the U-Net at once; None: all


def write_batch(path: Path, record: BatchRecord) -> None:
    """Write the file."""
    write_json(path, record._asdict())


def read_batch(path: Path, remedy: str) -> BatchRecord | None:
    """Read the file; None if there is none, or one of an edition that kept less.

    Raises:
        DamagedFile: it cannot be read.
    """
    if not os.path.lexists(path):
        return None
    found = read_shaped(path, remedy, dict)
    if not fits(found, SHAPE) or (found["samples"] is not None and found["samples"] < 1):
        return None
    return BatchRecord(found["number"], found["places"], found["members"], found["samples"])
