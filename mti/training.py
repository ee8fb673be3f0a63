"""From checked configurations to finished run folders: plan, perceive, train, write."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from typing import Any

from jaxtyping import Float
from omegaconf import DictConfig, OmegaConf
from torch import Tensor
from torch.utils.data import DataLoader

from mti.calibration import Calibration
from mti.callbacks.evaluation import Evaluation
from mti.callbacks.progress import Progress, closing_table
from mti.callbacks.recording import Recording
from mti.config import build, changes, check, shared_part
from mti.evaluation import Personalization, Protocol
from mti.images import load_pictures
from mti.inversion import Run, TextualInversion
from mti.jobs import Job
from mti.loggers import Logger
from mti.outputs import RunFolder
from mti.quiet import quiet_lightning
from mti.templates import TEMPLATES
from mti.tokens import prompt_ids
from mti.types import InitialText, LatentDiffusion, Posterior, UserError

log = logging.getLogger("mti")

# Of Lightning's services, those that run folders, callbacks and the progress bar of our own stand in for.
BARE = {
    "max_epochs": 1,
    "logger": False,
    "enable_checkpointing": False,
    "enable_progress_bar": False,
    "enable_model_summary": False,
}


def invert(configs: Sequence[DictConfig]) -> bool:
    """Train, evaluate and write every run that is not finished yet. Whether all of them ended well."""
    check(configs)
    with ExitStack() as locks:
        jobs = [plan(config, locks) for config in configs]
        waiting = [job for job in jobs if not job.folder.finished]
        for together in _grouped(waiting, lambda job: shared_part(job.config)):
            train(together)
        closing_table([job.closing_row() for job in jobs])
        return all(job.folder.finished for job in jobs)


def plan(config: DictConfig, locks: ExitStack) -> Job:
    """The run of a configuration, its folder locked, as far as an earlier process brought it."""
    folder = RunFolder(config.folder)
    job = Job(config, folder, build(config.dataset).concept(str(config.image)))
    locks.enter_context(folder.locked())
    if folder.has_config:
        begun: Any = OmegaConf.create(folder.read_config())
        changed = changes(begun, config)
        if changed:
            raise UserError(
                f"{folder.path} holds a run of another configuration ({'; '.join(changed)}): "
                "delete it, or choose another experiment.name"
            )
    if folder.finished:
        log.info("finished before, skipped: %s", folder.path)
        return job
    saved = folder.load_state()
    if saved:
        job.start, job.state = saved
        job.initial, _ = folder.read_text()
        folder.resume(job.start)
        log.info("interrupted before, resumed at step %d: %s", job.start, folder.path)
    check_initializer = getattr(build(config.init.use), "check", None)
    if check_initializer:
        check_initializer(job.concept)
    folder.write_config(OmegaConf.to_yaml(config, resolve=True))
    return job


def train(jobs: Sequence[Job]) -> None:
    """Train runs that share a model, as many at once as the configuration allows."""
    model, logger = build(jobs[0].config.model), build(jobs[0].config.logger)
    ready = perceive(jobs, model)
    rates = ", ".join(sorted({f"{job.config.training.learning_rate:g}" for job in ready}))
    log.info("runs: %d; model: %s; learning rate: %s", len(ready), model.name, rates)
    for beginners in _grouped(ready, lambda job: job.start):
        at_once = jobs[0].config.training.runs_at_once
        for first in range(0, len(beginners), at_once):
            chunk = beginners[first : first + at_once]
            began = time.monotonic()
            module = fit(model, chunk, logger)
            for i, job in enumerate(chunk):
                rows = module.table.rows[i].detach().cpu()
                job.close(rows, module.step, time.monotonic() - began, module.failures.get(i))


def perceive(jobs: Sequence[Job], model: LatentDiffusion) -> list[Job]:
    """Give each new run its initial text; the same question about the same picture is asked once.

    Returns the runs that can be trained: one whose text is not to be had, or too long for a prompt, fails alone.
    """
    answers: dict[tuple[object, str], InitialText] = {}
    ready = []
    for job in jobs:
        question = (job.concept.pictures, OmegaConf.to_yaml(job.config.init.use, resolve=True))
        try:
            if job.initial is None and question not in answers:
                ask = build(job.config.init.use)
                answers[question] = ask(job.concept, lambda text: model.token_names(model.token_ids(text)))
            text = job.initial = job.initial or answers[question]
            ids = model.token_ids(text.text)
            for prompt in (*TEMPLATES[job.config.training.templates], *job.config.evaluation.prompts):
                prompt_ids(model, prompt, ids)
        except UserError as mistake:
            job.fail(str(mistake))
            continue
        job.folder.write_text(text, model.token_names(ids))
        log.info("%s: %r, tokens: %d (%s)", job.title, text.text, len(ids), text.source)
        ready.append(job)
    return ready


def fit(model: LatentDiffusion, jobs: Sequence[Job], logger: Logger) -> TextualInversion:
    """Train a chunk of runs together, with its evaluations, records and checkpoints."""
    config, start = jobs[0].config, jobs[0].start
    pictures = [load_pictures(job.concept, model.resolution) for job in jobs]
    metrics = {name: build(node) for name, node in (config.metrics or {}).items()}
    protocol = protocol_of(config)
    callbacks = [
        Evaluation(jobs, protocol, metrics, pictures),
        Recording(jobs, config.training.checkpoint_every),
        Progress(config.trainer.max_steps),
    ]
    with quiet_lightning():
        trainer = build(config.trainer)(callbacks=callbacks, **BARE)
        model.to(trainer.strategy.root_device)
        runs = [as_run(model, job, own) for job, own in zip(jobs, pictures, strict=True)]
        module = TextualInversion(model, runs, config.training.batch_size, start)
        calibration = Calibration(model, protocol, metrics)
        for i, job in enumerate(jobs):
            job.protocol = protocol.record(metrics)
            wrong = build(job.config.dataset).wrong_caption(str(job.config.image))
            levels = calibration.levels(job.concept, job.text, wrong, pictures[i], runs[i].posteriors[0])
            job.folder.write_calibration(levels)
            job.open_line(logger)
            if job.state:
                module.load_run_state(i, job.state)
        if start < config.trainer.max_steps:
            trainer.fit(module, step_numbers(start, config.trainer.max_steps))
    return module


def protocol_of(config: DictConfig) -> Protocol:
    """How a run is evaluated."""
    evaluation: Any = OmegaConf.to_container(config.evaluation, resolve=True)
    personalization: Any = OmegaConf.to_container(config.personalization, resolve=True)
    return Protocol(**evaluation, personalization=Personalization(**personalization))


def as_run(model: LatentDiffusion, job: Job, pictures: Float[Tensor, "pictures 3 size size"]) -> Run:
    """What the module trains. The pictures are encoded here, once."""
    training = job.config.training
    views = [pictures, pictures.flip(-1)] if training.flip else [pictures]
    posteriors = [model.encode_picture(view) for view in views]
    return Run(
        image=job.concept.name,
        seed=job.config.seed,
        token_ids=model.token_ids(job.text),
        templates=TEMPLATES[training.templates],
        posteriors=[Posterior(mean.cpu(), std.cpu()) for mean, std in posteriors],
        learning_rate=training.learning_rate,
        weight_decay=training.weight_decay,
        max_grad_norm=training.max_grad_norm,
    )


def step_numbers(start: int, stop: int) -> DataLoader[int]:
    """What Lightning iterates over: a step's number is all that its batch depends on."""
    numbers: Any = range(start, stop)
    return DataLoader(numbers, batch_size=None)


def _grouped(jobs: Iterable[Job], key: Callable[[Job], object]) -> list[list[Job]]:
    groups: dict[object, list[Job]] = {}
    for job in jobs:
        groups.setdefault(key(job), []).append(job)
    return list(groups.values())
