"""From checked configurations to finished run folders: plan, perceive, train, write."""

from __future__ import annotations

import logging
import time
import traceback
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, TypeVar

from jaxtyping import Float
from omegaconf import DictConfig, OmegaConf
from torch import Tensor
from torch.utils.data import DataLoader

from mti.calibration import Calibration
from mti.callbacks.evaluation import Evaluation
from mti.callbacks.progress import Progress, closing_table
from mti.callbacks.recording import Recording
from mti.config import build, changes, check, check_initializer, groups
from mti.evaluation import EvaluationProtocol, Personalization
from mti.images import load_pictures
from mti.inversion import Run, TextualInversion
from mti.jobs import Job
from mti.library_logging import quiet_lightning
from mti.loggers import Logger
from mti.memory import fitting, in_equal_shares, is_out_of_memory, release
from mti.outputs import RunFolder
from mti.templates import TEMPLATES
from mti.tokens import prompt_ids
from mti.types import Concept, InitialText, LatentDiffusion, Posterior, UserError

log = logging.getLogger("mti")

T = TypeVar("T")
Spread = Callable[[Sequence[DictConfig]], None]
"""Has checked configurations trained by other processes, and waits for them (`mti.spread`)."""

OUT_OF_MEMORY = "out of memory with this run alone: lower training.batch_size or evaluation.batch_size"

# Of Lightning's services, those that run folders, callbacks and the progress bar of our own stand in for.
LIGHTNING_SERVICES_OFF = {
    "max_epochs": 1,
    "logger": False,
    "enable_checkpointing": False,
    "enable_progress_bar": False,
    "enable_model_summary": False,
}


def invert(configs: Sequence[DictConfig], spread: Spread | None = None) -> bool:
    """Train, evaluate and write every run that is not finished yet. Whether all of them ended well.

    `spread` has the work done elsewhere, in shares of several runs; without it, it is done here.
    """
    check(configs)
    if spread:
        spread(configs)
    else:
        work(configs)
    jobs = [Job(config, RunFolder(Path(config.folder)), concept_named(config)) for config in configs]
    closing_table([job.closing_row() for job in jobs])
    return all(job.folder.finished for job in jobs)


def work(configs: Sequence[DictConfig]) -> None:
    """Do all that is left to do of checked configurations, group by group, in this process."""
    with ExitStack() as locks:
        jobs = [plan(config, locks) for config in configs]
        waiting = [job for job, _ in apart((job for job in jobs if not job.folder.finished), find_concept)]
        together = groups([job.config for job in waiting])
        model: tuple[Any, Any] = (None, None)  # the configuration of the last group's, and the model
        for number, (words, indices) in enumerate(together, 1):
            members = [waiting[i] for i in indices]
            if len(together) > 1:
                log.info("group %d of %d: %s; runs: %d", number, len(together), words, len(members))
            node = members[0].config.model
            try:
                model = model if model[0] == node else (node, build(node).load())
            except UserError as mistake:
                if len(together) == 1:
                    raise
                for job in members:
                    job.fail(str(mistake))
                continue
            abreast(members)
            train(members, model[1])


def plan(config: DictConfig, locks: ExitStack) -> Job:
    """The run of a configuration, its folder locked, as far as an earlier process brought it."""
    folder = RunFolder(Path(config.folder))
    job = Job(config, folder, concept_named(config))
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
    as_left(job)
    if job.state:
        job.initial, _ = folder.read_text()
        log.info("interrupted before, resumed at step %d: %s", job.start, folder.path)
    folder.write_config(OmegaConf.to_yaml(config, resolve=True))
    return job


def concept_named(config: DictConfig) -> Concept:
    """The concept by name alone, as long as its pictures have not been looked for."""
    return Concept(str(config.image), ())


def find_concept(job: Job) -> None:
    """Look for the run's pictures, download them if need be, and see whether its initializer takes them."""
    job.concept = build(job.config.dataset).concept(str(job.config.image))
    check_initializer(job.config, job.concept)


def as_left(job: Job) -> None:
    """Take the run up where its last checkpoint left it."""
    job.start, job.state = job.folder.load_state() or (0, {})
    job.folder.resume(job.start)


def abreast(jobs: Sequence[Job]) -> None:
    """Bring runs to the same step that a kill parted while their checkpoints were written, one after the other.

    Those that are a checkpoint ahead of others step back: trained in one batch again, all resume bit-exactly.
    """
    starts = {job.start for job in jobs}
    for job in jobs:
        step, state = job.folder.load_state(previous=True) or (0, {})
        if step < job.start and step in starts:
            log.info("%s: goes on from step %d with the others", job.title, step)
            job.start, job.state = step, state
            job.folder.resume(step)


def apart(jobs: Iterable[Job], work: Callable[[Job], T]) -> list[tuple[Job, T]]:
    """What `work` gives for each run. A run for which it raises an error ends with that reason, and no other does."""
    done = []
    for job in jobs:
        try:
            done.append((job, work(job)))
        except Exception as error:
            if is_out_of_memory(error):
                raise
            job.fail(reason(error))
    return done


def reason(error: Exception) -> str:
    """An error in one line. One that is none of the user's mistakes is logged in full."""
    if isinstance(error, UserError):
        return str(error)
    log.error("an unexpected error:", exc_info=error)
    return f"{type(error).__name__}: {' '.join(str(error).split())}"


def train(jobs: Sequence[Job], model: LatentDiffusion) -> None:
    """Train runs that share a model, as many at once as fit.

    Where a chunk of runs raises an error, its halves are tried by themselves: so memory that is short after
    all is made do with, and an error ends only the run that it belongs to.
    """
    logger = build(jobs[0].config.logger)
    waiting = perceive(jobs, model)
    rates = ", ".join(sorted({f"{job.config.training.learning_rate:g}" for job in waiting}))
    log.info("runs: %d; model: %s; learning rate: %s", len(waiting), model.name, rates)
    at_once = runs_at_once(model, waiting)
    while waiting:
        beginners = [job for job in waiting if job.start == waiting[0].start]
        chunk = beginners[: in_equal_shares(len(beginners), at_once)]
        if len(chunk) < len(jobs):
            log.info("training %d of %d runs, from step %d", len(chunk), len(waiting), chunk[0].start)
        failure = train_chunk(model, chunk, logger)
        if not failure:
            waiting = [job for job in waiting if job not in chunk]
            continue
        for job in chunk:
            as_left(job)
        short = is_out_of_memory(failure)
        if len(chunk) > 1:
            what = "out of memory" if short else f"{type(failure).__name__}: {failure}".splitlines()[0]
            log.warning("%s with %d runs at once: going on with half as many", what, len(chunk))
            at_once = len(chunk) // 2
        else:
            chunk[0].fail(OUT_OF_MEMORY if short else reason(failure))
            waiting.remove(chunk[0])


def train_chunk(model: LatentDiffusion, jobs: Sequence[Job], logger: Logger) -> Exception | None:
    """Train runs together and close them; the error if that could not be done."""
    began = time.monotonic()
    try:
        fitted, module = fit(model, jobs, logger)
    except Exception as error:
        traceback.clear_frames(error.__traceback__)  # they hold the memory that was short
        release(model.device)
        return error
    for i, job in enumerate(fitted):
        job.close(
            module.table.embeddings[i].detach().cpu(), module.step, time.monotonic() - began, module.failures.get(i)
        )
    return None


def perceive(jobs: Sequence[Job], model: LatentDiffusion) -> list[Job]:
    """Give each new run its initial text; the same question about the same picture is asked once.

    Returns the runs that can be trained: one whose text is not to be had, or too long for a prompt, fails alone.
    """
    answers: dict[tuple[object, str], InitialText] = {}

    def look(job: Job) -> None:
        question = (job.concept.pictures, OmegaConf.to_yaml(job.config.init.initializer, resolve=True))
        if job.initial is None and question not in answers:
            ask = build(job.config.init.initializer)
            answers[question] = ask(job.concept, lambda text: model.token_names(model.token_ids(text)))
        text = job.initial = job.initial or answers[question]
        ids = model.token_ids(text.text)
        config = job.config
        elsewhere = config.personalization.prompts if config.personalization.steps else ()
        for prompt in (*TEMPLATES[config.training.templates], *config.evaluation.prompts, *elsewhere):
            prompt_ids(model, prompt, ids)
        job.folder.write_text(text, model.token_names(ids))
        log.info("%s: %r, tokens: %d (%s)", job.title, text.text, len(ids), text.source)

    return [job for job, _ in apart(jobs, look)]


def runs_at_once(model: LatentDiffusion, jobs: Sequence[Job]) -> int:
    """How many runs to train at once: as the configuration says, or as many as the memory is measured to hold."""
    given = jobs[0].config.training.runs_at_once if jobs else 1
    if given or len(jobs) == 1:
        return given or 1
    config = jobs[0].config
    with quiet_lightning():
        model.to(build(config.trainer)(**LIGHTNING_SERVICES_OFF).strategy.root_device)
    run = as_run(model, jobs[0], load_pictures(jobs[0].concept, model.resolution))

    def step(count: int) -> None:
        module = TextualInversion(model, [run] * count, config.training.batch_size).to(model.device)
        module.training_step(0).backward()

    fit, told = fitting(step, len(jobs), model.device)
    release(model.device)
    log.info("memory: %s; runs at once: %d of %d", told, fit, len(jobs))
    return fit


def fit(model: LatentDiffusion, jobs: Sequence[Job], logger: Logger) -> tuple[list[Job], TextualInversion]:
    """Train a chunk of runs together, with its evaluations, records and checkpoints.

    Returns the runs that were trained: one whose picture cannot be read fails before. The others of the chunk
    may have failed too; the module tells.
    """
    config, start = jobs[0].config, jobs[0].start
    metrics = {name: build(node) for name, node in (config.metrics or {}).items()}
    protocol = protocol_of(config)
    with quiet_lightning():
        trainer = build(config.trainer)(**LIGHTNING_SERVICES_OFF)
        model.to(trainer.strategy.root_device)
        calibration = Calibration(model, protocol, metrics)

        def prepare(job: Job) -> tuple[Run, Tensor]:
            pictures = load_pictures(job.concept, model.resolution)
            run = as_run(model, job, pictures)
            wrong = build(job.config.dataset).caption_of_another(str(job.config.image))
            levels = calibration.levels(job.concept, job.text, wrong, pictures, run.posteriors[0])
            job.folder.write_calibration(levels)
            job.protocol = {**protocol.record(metrics), "precision": model.precision}
            return run, pictures

        prepared = apart(jobs, prepare)
        jobs, runs = [job for job, _ in prepared], [run for _, (run, _) in prepared]
        module = TextualInversion(model, runs, config.training.batch_size, start)
        for i, job in enumerate(jobs):
            job.open_line(logger)
            if job.state:
                module.load_run_state(i, job.state)
        trainer.callbacks += [
            Evaluation(jobs, protocol, metrics, [pictures for _, (_, pictures) in prepared]),
            Recording(jobs, config.training.checkpoint_every),
            Progress(config.trainer.max_steps),
        ]
        if jobs and start < config.trainer.max_steps:
            trainer.fit(module, step_numbers(start, config.trainer.max_steps))
    return jobs, module


def protocol_of(config: DictConfig) -> EvaluationProtocol:
    """How a run is evaluated."""
    evaluation: Any = OmegaConf.to_container(config.evaluation, resolve=True)
    personalization: Any = OmegaConf.to_container(config.personalization, resolve=True)
    return EvaluationProtocol(**evaluation, personalization=Personalization(**personalization))


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
