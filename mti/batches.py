"""Which runs are trained together: as many as there are places; whoever ends makes room for one that waits.

Which runs share a batch moves the last bits of their numbers, so it is part of their state: each run's folder keeps
the batch that it came into last, and how many updates each of that batch had done. Whoever goes on trains the last
batch again, from the newest step of which all its runs have a checkpoint; and as places are given in the order of the
runs, the batches that follow are the same ones too. So the same command gives the same bits, however often it is
killed.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from mti.callbacks.stopping import LOSS
from mti.close import fail
from mti.inversion import Run, TextualInversion
from mti.isolation import isolated
from mti.memory import fitting, is_out_of_memory, release
from mti.outputs import BatchRecord, DamagedFile
from mti.prepare import PreparedRun
from mti.types import LatentDiffusion

log = logging.getLogger("mti")

MOST_AT_ONCE = 256  # more runs make no update of a run quicker, and each keeps the names of its batch


class Entry(NamedTuple):
    """A run on its way into the batch, and the updates that it has done."""

    run: PreparedRun
    step: int


class Places:
    """A number of places, and who waits for one: first the batch that a process left behind, then all others.

    A run of which batch.json or the checkpoints cannot be read is failed.
    """

    def __init__(self, runs: Sequence[PreparedRun], model: LatentDiffusion) -> None:
        read = isolated(runs, lambda run: (run.planned.folder.read_batch(), begun(run)), _fail)
        records = {name_of(run): record for run, (record, _) in read if record}
        last = max(records.values(), key=lambda one: (one.number, len(one.members)), default=BatchRecord(0, 0, {}))
        steps = {name_of(run): (run, own) for run, (_, own) in read}
        left = left_behind({name: steps[name] for name in last.members if name in steps}, last)
        rest = [Entry(run, max(own)) for name, (run, own) in steps.items() if name not in last.members]
        known = last.places if len(records) == len(read) else 0
        given = runs[0].planned.config.training
        self.number = given.runs_at_once or (known if known > 1 else runs_at_once(model, [run for run, _ in read]))
        self.samples = given.samples_at_once or last.samples  # of an update at once; None: all
        self._most = self.number, self.samples
        self.waiting = [*left, *rest]
        self._alone = len(left) if any(map(has_ended, left)) else 0
        self._last, self._kept = last.number, last.members.keys()  # the batch that the folders keep, and its number
        _write([run for run, _ in left if records.get(name_of(run)) != last], last)
        new = BatchRecord(self._last, self.number, {}, self.samples)
        _write([run for run, _ in rest if name_of(run) not in records], new)

    def taken(self, free: int) -> list[Entry]:
        """Who comes into so many free places; of a batch that was left behind, who had ended is closed first."""
        free, self._alone = min(free, self._alone or free), 0
        coming, self.waiting = self.waiting[:free], self.waiting[free:]
        return coming

    def keep(self, batch: Sequence[Entry]) -> None:
        """Let the folders of a batch say who is in it, if anyone has come into it; who has left it has ended."""
        members = {name_of(run): step for run, step in batch}
        if not members.keys() <= self._kept:
            self._last, self._kept = self._last + 1, members.keys()
            _write([run for run, _ in batch], BatchRecord(self._last, self.number, members, self.samples))

    def narrowed(self, batch: Sequence[PreparedRun], error: Exception) -> bool:
        """Let a batch that ended with an error wait again, for half as many places.

        Where memory was short for one run alone, for half as many samples of an update at once. False if there is
        nothing to halve; the next batch is as large as before then.
        """
        short, size = is_out_of_memory(error), batch[0].planned.config.training.batch_size
        if len(batch) > 1:
            what = "out of memory" if short else f"{type(error).__name__}: {error}".splitlines()[0]
            log.warning("%s with %d runs at once: going on with half as many", what, len(batch))
            self.number = -(-len(batch) // 2)
            if short:
                self._most = self.number, self.samples
        elif short and (self.samples or size) > 1:
            self.samples = min(self.samples or size, size) // 2
            log.warning("out of memory with one run: going on with %d of %d samples at once", self.samples, size)
        else:
            self.number, self.samples = self._most
            return False
        self._put_back(batch)
        return True

    def _put_back(self, batch: Iterable[PreparedRun]) -> None:
        entries = isolated(batch, lambda run: max(begun(run)), _fail)
        self.waiting = [*(Entry(run, step) for run, step in entries), *self.waiting]
        self._kept = {}.keys()
        _write([run for run, _ in entries], BatchRecord(self._last, self.number, {}, self.samples))


def begun(run: PreparedRun) -> list[int]:
    """The steps that a run can go on from: of its checkpoints; without one 0, or the end of its race."""
    return run.planned.folder.checkpoints() or [run.raced]


def left_behind(members: dict[str, tuple[PreparedRun, list[int]]], record: BatchRecord) -> list[Entry]:
    """The runs of a batch at the newest step of it from which all can go on; if there is none, at their beginning."""
    updates = [{step - record.members[name] for step in steps} for name, (_, steps) in members.items()]
    common = set.intersection(*updates) if updates else set()
    return [
        Entry(run, record.members[name] + max(common) if common else run.raced) for name, (run, _) in members.items()
    ]


def has_ended(entry: Entry) -> bool:
    """Whether a run had made its last update, or its rule had stopped it."""
    run, step = entry
    if step >= run.planned.config.trainer.max_steps:
        return True
    try:
        curve = run.planned.folder.metrics().get(LOSS, {}) if run.run.stop else {}
    except DamagedFile:
        return False  # it is failed as it comes in
    known = {at: loss for at, loss in curve.items() if at <= step}
    return bool(run.run.stop and step in known and run.run.stop(known))


def name_of(run: PreparedRun) -> str:
    """What names a run in the records of its batch."""
    return str(run.planned.folder.path.resolve())


def runs_at_once(model: LatentDiffusion, runs: Sequence[PreparedRun]) -> int:
    """How many runs to train at once: as many as fit."""
    if len(runs) < 2:
        return 1
    fit, told = fitting_runs(model, runs[0].run, len(runs))
    log.info("memory: %s; runs at once: %d of %d", told, fit, len(runs))
    return fit


def fitting_runs(model: LatentDiffusion, run: Run, wanted: int) -> tuple[int, str]:
    """How many runs such as this one the memory is measured to hold, at most `MOST_AT_ONCE`, and the reckoning.

    One where it was short even for what is measured: if that does not fit, the run ends with the reason.
    """

    def step(count: int) -> None:
        module = TextualInversion(model, [run] * count, samples_at_once=run.training.samples_at_once)
        module.to(model.device).training_step(0).backward()

    try:
        return fitting(step, min(wanted, MOST_AT_ONCE), model.device)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        return 1, "short while it was measured"
    finally:
        release(model.device)


def _write(runs: Iterable[PreparedRun], record: BatchRecord) -> None:
    """In as many folders as take it: one that does not fails its run when it is saved."""
    isolated(runs, lambda run: run.planned.folder.write_batch(record), lambda run, _: None)


def _fail(run: PreparedRun, reason: str) -> None:
    fail(run.planned, reason)
