"""Train: runs that share a model, in batches that fit. A run that stops or fails frees its place.

Which runs share a batch moves the last bits of their numbers, so it is part of their state: each run's folder names
its batch from the beginning on, and whoever goes on trains the same runs together again, from the newest step of
which all of them have a checkpoint. So the same command gives the same bits, however often it is killed.

A run that its rule stops leaves the rest of its batch. When it did follows from what its folder keeps: its last
checkpoint is of that step, and there the rule holds on its curve `stop/mse`. It is closed with its batch.
"""

from __future__ import annotations

import logging
import time
import traceback
from collections.abc import Sequence

from mti.callbacks.evaluation import Evaluator
from mti.callbacks.progress import Progress
from mti.callbacks.recording import Recording
from mti.callbacks.stopping import LOSS, Stopping
from mti.callbacks.timing import UpdateTimer
from mti.close import RunWriter, fail
from mti.evaluation import protocol_record
from mti.inversion import Run, TextualInversion
from mti.isolation import isolated, reason
from mti.library_logging import quiet_lightning
from mti.lightning import lightning_trainer, step_numbers
from mti.loggers import RunLogger
from mti.memory import fitting, is_out_of_memory, memory_kept, release
from mti.parts import Parts
from mti.prepare import PreparedRun, metrics_of
from mti.race import race_folder
from mti.termination import TERMINATION
from mti.types import LatentDiffusion

log = logging.getLogger("mti")

MOST_AT_ONCE = 256  # more runs make no update of a run quicker, and each keeps the names of its batch
OUT_OF_MEMORY = "out of memory with this run alone: lower training.batch_size or evaluation.batch_size"


@memory_kept()
def train(runs: Sequence[PreparedRun], model: LatentDiffusion, parts: Parts) -> None:
    """Train and close all runs, batch by batch.

    Where a batch raises an error, its halves are tried by themselves: so memory that is short after all is made do
    with, and an error ends only the run that it belongs to.
    """
    waiting = batches(runs, model)
    done = 0
    while waiting:
        batch = waiting.pop(0)
        if len(batch) < len(runs):
            log.info("training runs %d to %d of %d", done + 1, done + len(batch), len(runs))
        error = train_batch(batch, model, parts)
        if error is None:
            done += len(batch)
        elif len(batch) > 1:
            short, half = is_out_of_memory(error), -(-len(batch) // 2)
            what = "out of memory" if short else f"{type(error).__name__}: {error}".splitlines()[0]
            log.warning("%s with %d runs at once: going on with half as many", what, len(batch))
            waiting = [
                part for one in [batch, *waiting] for part in (cut(one, half) if short or one is batch else [one])
            ]
        else:
            done += 1
            fail(batch[0].planned, OUT_OF_MEMORY if is_out_of_memory(error) else reason(error))


# ------------------------------------------------------------------------------------------- batches


def batches(runs: Sequence[PreparedRun], model: LatentDiffusion) -> list[list[PreparedRun]]:
    """The runs in batches: those that were put together before, and the others as many at a time as fit.

    The others fill one batch after the other: so the batches stay the same ones, whichever of the first are done.
    """
    at_most = runs[0].planned.config.training.runs_at_once if runs else None
    before: dict[tuple[str, ...], list[PreparedRun]] = {}
    kept = [tuple(run.planned.folder.read_batch()) for run in runs]
    named_in = {name: batch for batch in kept for name in batch}  # a process may die before all of a batch have it
    for run, batch in zip(runs, kept, strict=True):
        own = batch or named_in.get(_name(run), ())
        before.setdefault(own, []).append(run)
        if own and not batch:
            isolated([run], lambda run, own=own: run.planned.folder.write_batch(own), lambda run, _: None)
    fresh = before.pop((), [])
    for batch in [batch for batch in before if at_most and len(before[batch]) > at_most]:
        fresh += before.pop(batch)
    size = runs_at_once(model, fresh) if fresh else 1
    alike = [[run for run in fresh if run.raced == begun] for begun in sorted({run.raced for run in fresh})]
    fits = [own[first : first + size] for own in alike for first in range(0, len(own), size)]
    return [*before.values(), *named(*fits)]


def cut(batch: list[PreparedRun], size: int) -> list[list[PreparedRun]]:
    """A batch in parts of at most so many runs."""
    return named(*(batch[i : i + size] for i in range(0, len(batch), size))) if len(batch) > size else [batch]


def named(*shares: list[PreparedRun]) -> list[list[PreparedRun]]:
    """New batches, each written to the folders of its runs."""
    for share in shares:
        members = [_name(run) for run in share]
        isolated(share, lambda run, members=members: run.planned.folder.write_batch(members), lambda run, _: None)
    return list(shares)


def _name(run: PreparedRun) -> str:
    return str(run.planned.folder.path.resolve())


def runs_at_once(model: LatentDiffusion, runs: Sequence[PreparedRun]) -> int:
    """How many runs to train at once: as the configuration says, or as many as fit."""
    given = runs[0].planned.config.training.runs_at_once
    if given or len(runs) == 1:
        return given or 1
    fit, told = fitting_runs(model, runs[0].run, len(runs))
    log.info("memory: %s; runs at once: %d of %d", told, fit, len(runs))
    return fit


def fitting_runs(model: LatentDiffusion, run: Run, wanted: int) -> tuple[int, str]:
    """How many runs such as this one the memory is measured to hold, at most `MOST_AT_ONCE`, and the reckoning."""

    def step(count: int) -> None:
        module = TextualInversion(model, [run] * count).to(model.device)
        module.training_step(0).backward()

    fit, told = fitting(step, min(wanted, MOST_AT_ONCE), model.device)
    release(model.device)
    return fit, told


def common_step(runs: Sequence[PreparedRun]) -> int:
    """The newest step from which all runs can go on: of which each has a checkpoint, or before which it had stopped.

    Without one it is the step at which they begin: 0, or the end of their races.
    """
    kept = [(set(run.planned.folder.checkpoints()), stopped_at(run)) for run in runs]
    every = set().union(*(steps for steps, _ in kept))
    return max((s for s in every if all(s in own or (end and s >= end) for own, end in kept)), default=runs[0].raced)


def stopped_at(run: PreparedRun) -> int | None:
    """The update after which a run's rule has stopped it; None if it has not. Its checkpoint of then is its last."""
    folder, rule = run.planned.folder, run.run.stop
    curve = folder.metrics().get(LOSS, {}) if rule else {}
    last = max(curve, default=0)
    return last if rule and last in folder.checkpoints()[-1:] and rule(curve) else None


# ------------------------------------------------------------------------------------------ training


def train_batch(runs: Sequence[PreparedRun], model: LatentDiffusion, parts: Parts) -> Exception | None:
    """Train runs together and close them; the error if that could not be done."""
    began, config = time.monotonic(), runs[0].planned.config
    metrics = metrics_of(runs[0].planned, parts)
    for metric in metrics.values():
        getattr(metric, "to", lambda _: None)(model.device)
    protocol = protocol_record(config.evaluation, config.personalization, metrics, model)
    writers, timer = [RunWriter(run, RunLogger(), protocol) for run in runs], UpdateTimer(len(runs))
    try:
        start = common_step(runs)
        module = TextualInversion(model, [run.run for run in runs], start)
        for i, writer in enumerate(writers):
            end = stopped_at(runs[i])
            own = min(start, end or start)
            if end == own:
                module.stopped[i] = own
            writer.folder.resume(own)
            first = runs[i].raced
            writer.open_logger(parts.build(config.logger), own if own > first else 0)
            state = writer.folder.load_state(own)
            if own == first > 0 and not state:
                state = writer.begin(race_folder(writer.folder))
            if state:
                module.load_run_state(i, state[1])
        if start > runs[0].raced:
            more = f" and {len(runs) - 1} more" if len(runs) > 1 else ""
            log.info("interrupted before, resumed at step %d: %s%s", start, writers[0].folder.path, more)
        callbacks = [
            timer,
            Stopping(writers, config.evaluation),
            Evaluator(writers, config.evaluation, config.personalization, metrics),
            Recording(writers, config.training.checkpoint_every),
            Progress(config.trainer.max_steps),
        ]
        if start < config.trainer.max_steps:
            with quiet_lightning(), TERMINATION.deferred():
                trainer = lightning_trainer(config.trainer, callbacks)
                trainer.fit(module, step_numbers(start, config.trainer.max_steps))
    except Exception as error:
        traceback.clear_frames(error.__traceback__)  # they hold the memory that was short
        release(model.device)
        return error
    seconds = time.monotonic() - began

    def close(i: int) -> None:
        embeddings = module.learned(i).cpu()
        if i in module.failures:
            writers[i].fail(embeddings, module.step, module.failures[i])
        else:
            pace = {"update": timer.update(i), "runs_at_once": len(runs)}
            writers[i].close(embeddings, module.stopped.get(i, module.step), seconds, pace, i in module.stopped)

    isolated(range(len(runs)), close, lambda i, reason: fail(runs[i].planned, reason))
    release(model.device)
    return None
