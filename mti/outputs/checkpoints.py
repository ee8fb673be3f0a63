"""Checkpoints of a run: the last two, so that runs that are trained together always have one in common.

What else is in a batch changes the last bits of a run's loss. So a run goes on bit by bit as if nothing had
happened only in the batch that it was in (its folder's batch.json names it), and that batch only from a step that
all its runs have kept. These rules make sure that there is one, however often and whenever processes are killed:

1. The runs of a batch save at the same steps, and each has saved a step before any of them saves the next.
2. The checkpoint before the last is replaced only by the last, when a later one is saved. A batch that goes
   back to an earlier step first drops what was saved after it (`drop_after`); everything is then done again.
3. A run that ends, also by failing, is closed once all others of its batch have saved that step: until then it
   goes back with them, and ends again at the same step.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from mti.files import DamagedFile, atomic, read_bytes, sync, write_bytes, writing

log = logging.getLogger("mti")

HEADER = "mti"  # one key of metadata: safetensors writes several in an order of chance


class Checkpoint(NamedTuple):
    """What a run needs to go on after `step` updates."""

    step: int
    tensors: dict[str, Tensor]
    rows: int  # of metrics.csv, before that step


class Checkpoints:
    """The folder `checkpoints` of a run: last.safetensors, and previous.safetensors, the one before it."""

    def __init__(self, folder: Path) -> None:
        self.last = folder / "last.safetensors"
        self.previous = folder / "previous.safetensors"
        self.remedy = f"delete {folder} to begin this run anew"

    def save(self, checkpoint: Checkpoint) -> None:
        """Keep a checkpoint, and the last one with an earlier step as the previous one."""
        step, tensors, rows = checkpoint
        copies = {
            name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format) for name, tensor in tensors.items()
        }
        header = {"step": step, "rows": rows, "crc32": _checksum(copies)}
        content = save(copies, metadata={HEADER: json.dumps(header)})
        last = self._read(self.last)
        if last and last.step < step:
            with atomic(self.previous) as draft:
                shutil.copyfile(self.last, draft)
        write_bytes(self.last, content)

    def load(self, step: int | None = None) -> Checkpoint | None:
        """The checkpoint of a step, or the newest that can be read; None without one.

        Raises:
            DamagedFile: there are checkpoints, and none can be read.
        """
        found = [one for one in self.all() if step in (None, one.step)]
        return found[-1] if found else None

    def all(self) -> list[Checkpoint]:
        """Those that can be read, the newest last; a line is logged of one that cannot.

        Raises:
            DamagedFile: there are checkpoints, and none can be read.
        """
        found, faults = [], []
        for path in (self.previous, self.last):
            try:
                one = self._load(path)
            except DamagedFile as fault:
                faults.append(fault)
            else:
                found += [one] if one and one.step not in [other.step for other in found] else []
        if faults and not found:
            raise faults[-1]
        for fault in faults:
            log.warning("%s %s: the other checkpoint is used, of step %d", *fault.args[:2], found[-1].step)
        return found

    def drop_after(self, step: int) -> None:
        """Forget what was saved after a step, and what is damaged: training goes on from that step."""
        previous = self._read(self.previous)
        last = self._read(self.last)
        if last and last.step <= step:
            return
        with writing(self.last):
            if previous and previous.step <= step:
                os.replace(self.previous, self.last)
            else:
                self.last.unlink(missing_ok=True)
                self.previous.unlink(missing_ok=True)
            if self.last.parent.exists():
                sync(self.last.parent)

    def _read(self, path: Path) -> Checkpoint | None:
        try:
            return self._load(path)
        except DamagedFile:
            return None

    def _load(self, path: Path) -> Checkpoint | None:
        if not os.path.lexists(path):
            return None
        content = read_bytes(path, self.remedy)
        try:
            tensors = load(content)
            length = int.from_bytes(content[:8], "little")
            header = json.loads(json.loads(content[8 : 8 + length])["__metadata__"][HEADER])
            step, rows = int(header["step"]), int(header["rows"])
            whole = header["crc32"] == _checksum(tensors)
        except (SafetensorError, ValueError, KeyError, TypeError, RecursionError):
            raise DamagedFile(path, "is not a checkpoint", self.remedy) from None
        if not whole:
            raise DamagedFile(path, "is damaged (its checksum differs)", self.remedy)
        return Checkpoint(step, tensors, rows)


def _checksum(tensors: Mapping[str, Tensor]) -> int:
    crc = 0
    for name in sorted(tensors):
        content: Any = tensors[name].contiguous().flatten().view(torch.uint8).numpy()
        crc = zlib.crc32(content.tobytes(), crc)
    return crc
