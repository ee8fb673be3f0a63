"""Textual inversion from the command line: `python -m mti.run init=caption image=teapot`.

A single run is a list of one; `-m` hands the fused launcher's whole list to the same functions.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

if TYPE_CHECKING:
    from mti.inversion import TextualInversion
    from mti.jobs import Job
    from mti.types import InitialText, LatentDiffusion

log = logging.getLogger("mti")


@hydra.main(version_base="1.3", config_path="../conf", config_name="run")
def main(config: DictConfig) -> None:
    """Train one run."""
    start([prepared(config)])


def prepared(config: DictConfig) -> DictConfig:
    """The run's own configuration, its folder filled in. Hydra's configuration must be that of the run."""
    from mti.config import run_folder

    OmegaConf.set_struct(config, False)
    config.pop("hydra", None)
    config.folder = str(run_folder(config, HydraConfig.get().overrides.task))
    return config


def start(configs: Sequence[DictConfig]) -> None:
    """Run them all; end the process with 1 if one failed, and with 2 and a line each for mistakes."""
    from mti.types import UserError

    try:
        good = invert(configs)
    except UserError as error:
        sys.exit(_complaint(error))
    except KeyboardInterrupt:
        sys.exit("mti: interrupted; the same command goes on from the last checkpoints")
    if not good:
        sys.exit(1)


def _complaint(error: Exception) -> int:
    for line in str(error).splitlines():
        print(f"mti: {line}", file=sys.stderr)
    return 2


def invert(configs: Sequence[DictConfig]) -> bool:
    """Train, evaluate and write every run that is not finished yet. Whether all of them ended well."""
    from mti.callbacks.progress import closing_table
    from mti.config import check, shared_part

    check(configs)
    with ExitStack() as locks:
        jobs = [plan(config, locks) for config in configs]
        waiting = [job for job in jobs if not job.folder.finished]
        for together in _grouped(waiting, lambda job: shared_part(job.config)):
            train(together)
        closing_table([closing_row(job) for job in jobs])
        return all(job.folder.finished for job in jobs)


def plan(config: DictConfig, locks: ExitStack) -> Job:
    """The run of a configuration, its folder locked, as far as an earlier process brought it."""
    from mti.config import build, changes
    from mti.jobs import Job
    from mti.outputs import RunFolder
    from mti.types import UserError

    folder = RunFolder(config.folder)
    locks.enter_context(folder.locked())
    job = Job(config, folder, build(config.dataset).concept(str(config.image)))
    if (folder.path / "config.yaml").exists():
        changed = changes(OmegaConf.create(folder.read_config()), config)
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
        log.info("interrupted before, resumed at step %d: %s", job.start, folder.path)
    folder.write_config(OmegaConf.to_yaml(config, resolve=True))
    return job


def train(jobs: Sequence[Job]) -> None:
    """Train the runs that share a model, as many at once as the configuration allows."""
    from mti.config import build

    config = jobs[0].config
    model = build(config.model)
    perceive([job for job in jobs if not job.initial.text], model)
    log.info(
        "%d run%s against %s, learning rate %s",
        len(jobs),
        "s" * (len(jobs) > 1),
        model.name,
        ", ".join(sorted({f"{job.config.training.learning_rate:g}" for job in jobs})),
    )
    for beginners in _grouped(jobs, lambda job: job.start):
        size = config.training.runs_at_once
        for first in range(0, len(beginners), size):
            chunk = beginners[first : first + size]
            for job in chunk:
                open_log(job)
            began = time.monotonic()
            module = fit(model, chunk)
            for i, job in enumerate(chunk):
                write(module, i, job, seconds=time.monotonic() - began)


def perceive(jobs: Sequence[Job], model: LatentDiffusion) -> None:
    """Give each run its initial text; runs with the same question to the same picture ask it once."""
    from mti.config import build

    answers: dict[tuple[object, str], InitialText] = {}
    for job in jobs:
        question = (job.concept.pictures, OmegaConf.to_yaml(job.config.init, resolve=True))
        if question not in answers:
            answers[question] = build(job.config.init)(job.concept, lambda t: model.token_names(model.token_ids(t)))
        job.initial = answers[question]
        job.token_ids = model.token_ids(job.initial.text)
        names = model.token_names(job.token_ids)
        job.folder.write_text(job.initial, names)
        log.info("%s: %s (%s) is %r, %d tokens", *job.names.values(), job.initial.text, len(names))


def fit(model: LatentDiffusion, jobs: Sequence[Job]) -> TextualInversion:
    """Train a chunk of runs together, with its evaluations, records and checkpoints."""
    import torch
    from torch.utils.data import DataLoader

    from mti.callbacks.evaluation import Evaluation
    from mti.callbacks.progress import Progress
    from mti.callbacks.recording import Recording
    from mti.config import build
    from mti.evaluation import Protocol
    from mti.images import load_pictures
    from mti.inversion import Run, TextualInversion
    from mti.templates import TEMPLATES

    config, start = jobs[0].config, jobs[0].start
    pictures = [load_pictures(job.concept, model.resolution) for job in jobs]
    metrics = {name: build(node) for name, node in (config.metrics or {}).items()}
    trainer = build(config.trainer)(
        max_epochs=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[
            Evaluation(jobs, Protocol(**config.evaluation), metrics, pictures),
            Recording(jobs, config.training.checkpoint_every),
            Progress(config.trainer.max_steps),
        ],
    )
    model.to(trainer.strategy.root_device)
    runs = []
    for job, own in zip(jobs, pictures, strict=True):
        training = job.config.training
        views = [own, own.flip(-1)] if training.flip else [own]
        runs.append(
            Run(
                image=job.concept.name,
                seed=job.config.seed,
                token_ids=job.token_ids,
                templates=TEMPLATES[training.templates],
                posteriors=[model.encode_picture(view) for view in views],
                learning_rate=training.learning_rate,
                weight_decay=training.weight_decay,
                max_grad_norm=training.max_grad_norm,
            )
        )
    module = TextualInversion(model, runs, config.training.batch_size, start)
    steps = DataLoader(range(start, config.trainer.max_steps), batch_size=None)
    trainer.fit(module, steps)
    return module


def open_log(job: Job) -> None:
    """Open a line to the chosen logger: grouped by experiment, the initializer as job type."""
    from mti.config import build

    config = OmegaConf.to_container(job.config, resolve=True)
    name = "-".join(str(part) for part in job.names.values())
    logger = build(job.config.logger)
    job.log = logger.open(job.folder.path, name, job.config.experiment.name, job.config.init.name, config)


def write(module: TextualInversion, run: int, job: Job, seconds: float) -> None:
    """Write what a run leaves behind: tokens, the picture that shows it, and last of all its summary."""
    from mti.figures import comparison
    from mti.images import read_picture

    failure = module.failures.get(run)
    job.folder.flush()
    job.folder.write_tokens(module.table.rows[run].detach().cpu(), f"<{job.concept.name}>")
    samples = {step: job.folder.pictures(step) for step in job.folder.sampled_steps()}
    if samples:
        picture = read_picture(job.concept.pictures[0])
        title = f"{job.concept.name}, {job.config.init.name}"
        job.folder.save_comparison(comparison(picture, samples, title, job.initial.text))
    curve = job.folder.metrics().get("eval/mse", {})
    summary = {
        "status": "failed" if failure else "finished",
        **({"reason": failure} if failure else {}),
        **job.names,
        "text": job.initial.text,
        "tokens": len(job.token_ids),
        "steps": module.step,
        "eval/mse": list(curve.values())[-1] if curve else None,
        "seconds": round(seconds, 1),
        "runs_together": len(module.runs),
        "model": module.model.name,
        "evaluation": OmegaConf.to_container(job.config.evaluation, resolve=True),
    }
    job.folder.write_summary(summary)
    if job.log:
        job.log.finish(summary)
    if failure:
        log.error("%s: %s", job.folder.path, failure)


def closing_row(job: Job) -> dict[str, object]:
    """A run's line in the table that ends a session."""
    curve = list(job.folder.metrics().get("eval/mse", {}).values())
    summary = job.folder.summary() or {"status": "unfinished"}
    return {
        **job.names,
        "text": summary.get("text", job.initial.text),
        "first eval/mse": curve[0] if curve else None,
        "final eval/mse": curve[-1] if curve else None,
        "steps": summary.get("steps"),
        "seconds": summary.get("seconds"),
        "status": summary["status"],
        "folder": str(job.folder.path),
    }


def _grouped(jobs: Iterable[Job], key: Callable[[Job], object]) -> list[list[Job]]:
    groups: dict[object, list[Job]] = {}
    for job in jobs:
        groups.setdefault(key(job), []).append(job)
    return list(groups.values())


if __name__ == "__main__":
    main()
