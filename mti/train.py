"""Train: runs that share a model, as many at once as fit. A run that ends frees its place for one that waits.

A batch is trained until a run of it ends: by its last update, by its rule (`mti/stops/`), or by failing. All others
are saved at that very step, the run is closed, and they go on in a new batch with those that take the free places.
When a run ends follows from what its folder keeps, so a process that is killed before it is closed ends it again.
"""

from __future__ import annotations

import logging
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from torch import Tensor

from mti.batches import Entry, Places
from mti.callbacks.evaluation import Evaluator
from mti.callbacks.progress import Progress, Telling
from mti.callbacks.recording import Recording
from mti.callbacks.stopping import Stopping
from mti.callbacks.timing import UpdateTimer
from mti.close import RunWriter, fail
from mti.evaluation import protocol_record
from mti.inversion import TextualInversion
from mti.isolation import isolated, reason
from mti.library_logging import quiet_lightning
from mti.lightning import lightning_trainer, step_numbers
from mti.memory import is_out_of_memory, memory_kept, release
from mti.parts import Parts
from mti.prepare import PreparedRun, metrics_of
from mti.race import race_folder
from mti.termination import TERMINATION
from mti.throughput import Throughput, throughput
from mti.types import LatentDiffusion, Metric

log = logging.getLogger("mti")

OUT_OF_MEMORY = (
    "out of memory with one sample of this run alone: try model.gradient_checkpointing=true, or a lower "
    "evaluation.batch_size or model.resolution"
)


@memory_kept()
def train(runs: Sequence[PreparedRun], model: LatentDiffusion, parts: Parts) -> None:
    """Train and close all runs.

    Where a batch raises an error, its halves are tried by themselves: so memory that is short after all is made do
    with, and an error ends only the run that it belongs to. What is too much for one run alone is tried with half as
    many samples of an update at once.
    """
    if not runs:
        return
    config, metrics = runs[0].planned.config, metrics_of(runs[0].planned, parts)
    for metric in metrics.values():
        getattr(metric, "to", lambda _: None)(model.device)
    protocol = protocol_record(config.evaluation, config.personalization, metrics, model)
    places, work = Places(runs, model), throughput(model, runs[0].run)
    batch = list[RunWriter]()
    with Progress(config.trainer.max_steps, work) as progress:
        while batch or places.waiting:
            batch += entered(places.taken(places.number - len(batch)), parts, protocol, work)
            if not batch:
                continue
            places.keep([Entry(one.prepared, one.step) for one in batch])
            progress.waiting = [config.trainer.max_steps - step for _, step in places.waiting]
            try:
                batch = train_batch(batch, model, metrics, progress, places.samples)
            except Exception as error:
                traceback.clear_frames(error.__traceback__)  # they hold the memory that was short
                tried, batch = [one.prepared for one in batch], []
                if not places.narrowed(tried, error):
                    fail(tried[0].planned, OUT_OF_MEMORY if is_out_of_memory(error) else reason(error))
            if not batch:
                release(model.device)


def entered(
    entries: Sequence[Entry], parts: Parts, protocol: Mapping[str, Any], work: Throughput | None
) -> list[RunWriter]:
    """Runs that come into the batch, where they were before or at their beginning; not those that cannot."""

    def enter(entry: Entry) -> RunWriter:
        run, step = entry
        writer = RunWriter(run, protocol, step, work)
        writer.folder.resume(step)
        writer.open_logger(parts.build(run.planned.config.logger), step if step > run.raced else 0)
        if step == run.raced > 0 and not writer.folder.load_state(step):
            writer.begin(race_folder(writer.folder))
        return writer

    writers = [one for _, one in isolated(entries, enter, lambda entry, reason: fail(entry.run.planned, reason))]
    resumed = [one for one in writers if one.step > one.prepared.raced]
    if resumed:
        more = f" and {len(resumed) - 1} more" if len(resumed) > 1 else ""
        log.info("interrupted before, resumed at step %d: %s%s", resumed[0].step, resumed[0].folder.path, more)
    return writers


def train_batch(
    batch: Sequence[RunWriter],
    model: LatentDiffusion,
    metrics: Mapping[str, Metric],
    progress: Progress,
    samples_at_once: int | None,
) -> list[RunWriter]:
    """Train runs together until one or several of them end, and close these; the others."""
    config = batch[0].prepared.planned.config
    module = TextualInversion(model, [one.prepared.run for one in batch], [one.step for one in batch], samples_at_once)
    for i, writer in enumerate(batch):
        if state := state_of(writer):
            module.load_run_state(i, state)
    callbacks = [
        UpdateTimer(batch, progress),
        Stopping(batch, config.evaluation),
        Evaluator(batch, config.evaluation, config.personalization, metrics),
        Recording(batch, config.training.checkpoint_every),
        Telling(progress),
    ]
    steps = max(1, *(config.trainer.max_steps - one.step for one in batch))
    with quiet_lightning(), TERMINATION.deferred():
        trainer = lightning_trainer(replace(config.trainer, max_steps=steps), callbacks)
        trainer.fit(module, step_numbers(steps))
    for i, writer in enumerate(batch):
        writer.step = module.step(i)

    def close(i: int) -> None:
        embeddings = module.learned(i).cpu()
        if i in module.failures:
            batch[i].fail(embeddings, module.failures[i])
        else:
            batch[i].close(embeddings, i in module.stopped)

    ended = [i for i in range(len(batch)) if i not in module.active]
    isolated(ended, close, lambda i, reason: fail(batch[i].prepared.planned, reason))
    return [batch[i] for i in module.active]


def state_of(writer: RunWriter) -> dict[str, Tensor] | None:
    """What a run goes on from: its checkpoint, or that of the race that it won; None at its very beginning."""
    found = writer.folder.load_state(writer.step)
    if not found and writer.step == writer.prepared.raced > 0:
        found = race_folder(writer.folder).load_state()
    return found[1] if found else None
