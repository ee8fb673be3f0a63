"""Checkpoints of a run: the last two, so that runs that are trained together always have one in common.

What else is in a batch changes the last bits of a run's loss. So a run goes on bit by bit as if nothing had
happened only in the batch that it was in, and that batch only from a step that all its runs have kept. These
rules make sure that there is one, however often and whenever processes are killed:

1. The runs of a batch save at the same steps, and each has saved a step before any of them saves the next.
2. A checkpoint says which runs the batch consists of from its step on, in their order.
3. The checkpoint before the last is replaced only by the last, when a later one is saved. A batch that goes
   back to an earlier step first drops what was saved after it (`drop_after`); everything is then done again.
4. A run that leaves a batch (it failed, or stopped early) is closed only when the others have saved a step
   after that: until then it goes back with them, and leaves them again at the same step.

Between two saves a batch changes only by what is computed, so rule 2 is enough to do all of it again.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from mti.files import DamagedFile, atomic, read_bytes, sync, write_bytes, writing

log = logging.getLogger("mti")

Batch = tuple[str, ...]
"""The names of the runs that are trained together, in their order."""

HEADER = "mti"  # one key of metadata: safetensors writes several in an order of chance


class Checkpoint(NamedTuple):
    """What a run needs to go on after `step` updates."""

    step: int
    tensors: dict[str, Tensor]
    batch: Batch  # the runs that were trained together from that step on
    rows: int  # of metrics.csv, before that step


class Resumption(NamedTuple):
    """Runs that go on together."""

    step: int
    names: Batch
    exact: bool  # as if nothing had happened; else in another batch than before, so that last bits may differ


class Checkpoints:
    """The folder `checkpoints` of a run: last.safetensors, and previous.safetensors, the one before it."""

    def __init__(self, folder: Path) -> None:
        self.last = folder / "last.safetensors"
        self.previous = folder / "previous.safetensors"
        self.remedy = f"delete {folder} to begin this run anew"

    def save(self, checkpoint: Checkpoint) -> None:
        """Keep a checkpoint, and the last one with an earlier step as the previous one."""
        step, tensors, batch, rows = checkpoint
        copies = {
            name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format) for name, tensor in tensors.items()
        }
        header = {"step": step, "batch": list(batch), "rows": rows, "crc32": _checksum(copies)}
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
            step, batch, rows = int(header["step"]), tuple(map(str, header["batch"])), int(header["rows"])
            whole = header["crc32"] == _checksum(tensors)
        except (SafetensorError, ValueError, KeyError, TypeError, RecursionError):
            raise DamagedFile(path, "is not a checkpoint", self.remedy) from None
        if not whole:
            raise DamagedFile(path, "is damaged (its checksum differs)", self.remedy)
        return Checkpoint(step, tensors, batch, rows)


def resumptions(found: Mapping[str, Mapping[int, Batch]]) -> list[Resumption]:
    """How runs go on: those that were in one batch together, from the newest step that all of them have kept.

    `found` has each run's checkpoints, by the name that the batches know it by: the batch of each step. Runs at
    step 0 come last, together: they begin. A run that shared its batch with runs that are not given, or that
    have lost their checkpoints, goes on from its own newest one.
    """
    starts: dict[str, int] = {}
    parts: list[Resumption] = []

    def go_on(step: int, names: Sequence[str], exact: bool) -> None:
        starts.update(dict.fromkeys(names, step))
        parts.append(Resumption(step, tuple(names), exact))

    for name in sorted(found, key=lambda name: max(found[name], default=0)):  # who is furthest behind decides
        own = found[name]
        common = (
            (step, batch)
            for step, batch in sorted(own.items(), reverse=True)
            if name in batch
            and all(one in found and one not in starts and found[one].get(step) == batch for one in batch)
        )
        if name in starts or not own:
            continue
        if shared := next(common, None):
            go_on(*shared, exact=True)
        elif not _first(own, found):
            go_on(max(own), [name], exact=False)
    beginners = [name for name in found if name not in starts]
    if beginners:
        go_on(0, beginners, exact=True)
    return parts


def _first(own: Mapping[int, Batch], found: Mapping[str, Mapping[int, Batch]]) -> bool:
    """Whether a process was killed while a batch saved for the first time, so that all of it begins again."""
    (batch,) = own.values() if len(own) == 1 else [()]
    return all(name in found for name in batch) and any(not found[name] for name in batch)


def _checksum(tensors: Mapping[str, Tensor]) -> int:
    crc = 0
    for name in sorted(tensors):
        content: Any = tensors[name].contiguous().flatten().view(torch.uint8).numpy()
        crc = zlib.crc32(content.tobytes(), crc)
    return crc
