"""What a list of runs would take, told before any of them starts: counts, and times from a short measurement.

The measurement does a few fused steps, one batch of pictures and one evaluation with the model itself; in the runs'
place stand runs of noise, which take as long. Nothing is written.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch

from mti.batches import fitting_runs
from mti.errors import UserError
from mti.evaluation import draw_pictures, evaluation_losses, ids_of, is_personalized, measured, reconstruction_prompts
from mti.inversion import Run, TextualInversion
from mti.lightning import device_of
from mti.memory import memory_kept, release
from mti.noise import initial_latents
from mti.outputs import RunFolder
from mti.parts import Parts
from mti.plan import Standing, standing
from mti.schema import RunConfig, groups
from mti.templates import SLOT, templates_of
from mti.types import LatentDiffusion, Metric, Posterior

STEPS = 3  # fused steps that are timed, after one that is not
TOKENS = 4  # of a run whose initial text is not known yet
DENOISING = 3  # steps of the sampler that are timed; the others are taken to be as quick


class Work(NamedTuple):
    """What is left to do of one or several runs."""

    runs: int = 1
    finished: int = 0
    resumed: int = 0  # begun before, with a checkpoint to go on from
    refused: int = 0
    steps: int = 0  # updates of all runs
    evaluations: int = 0  # of one run each
    personalizations: int = 0  # the same, of the personalization prompts
    samples: int = 0  # pictures of the reconstruction prompts
    elsewhere: int = 0  # pictures of the personalization prompts

    def __str__(self) -> str:
        told = {"finished": self.finished, "to be resumed": self.resumed, "that cannot be begun": self.refused}
        beside = "".join(f", {count:,} {what}" for what, count in told.items() if count)
        pictures = f"pictures: {self.samples + self.elsewhere:,}"
        if self.elsewhere:
            pictures += f" ({self.samples:,} of evaluation, {self.elsewhere:,} of personalization prompts)"
        return f"runs: {self.runs:,}{beside}\nsteps: {self.steps:,}\nevaluations: {self.evaluations:,}\n{pictures}"


class Pace(NamedTuple):
    """How long things take on a device, in seconds."""

    at_once: int  # runs in a batch
    step: float  # of such a batch
    loss: float  # the evaluation loss of a run
    picture: float
    judged: Mapping[str, float]  # the metrics' look at a run's pictures, by set of prompts


# ------------------------------------------------------------------------------------------- counts


def work_of(config: RunConfig, stands: Standing) -> Work:
    """What is left to do of a run. An evaluation at the step of its checkpoint is done already."""
    if stands.finished:
        return Work(finished=1)
    evaluation, elsewhere, last = config.evaluation, config.personalization, config.trainer.max_steps
    left = range(stands.step + 1 if stands.step else 0, last + 1)
    evaluated = {step for step in (*evaluation.steps, last) if step in left}
    drawn = [step for step in left if is_personalized(evaluation, elsewhere, step, step in evaluated)]
    return Work(
        resumed=int(stands.step > 0),
        steps=last - stands.step,
        evaluations=len(evaluated),
        personalizations=len(drawn),
        samples=len(evaluated) * evaluation.pictures,
        elsewhere=len(drawn) * len(elsewhere.prompts) * elsewhere.pictures,
    )


def total(works: Sequence[Work]) -> Work:
    """Of several runs together."""
    return Work(*(sum(counts) for counts in zip(*works, strict=True)))


def seconds_of(work: Work, pace: Pace) -> dict[str, float]:
    """How long a device takes, by what it does: each run's texts are measured once, as a level for its curve."""
    begun = work.runs - work.finished - work.resumed - work.refused
    counts = {"reconstruction": work.evaluations, "personalization": work.personalizations}
    return {
        "training": work.steps / pace.at_once * pace.step,
        "evaluation loss": (work.evaluations + begun) * pace.loss,
        "drawing": (work.samples + work.elsewhere) * pace.picture,
        "metrics": sum(count * pace.judged.get(name, 0.0) for name, count in counts.items()),
    }


# ------------------------------------------------------------------------------------ the whole list


def forecast(configs: Sequence[RunConfig], parts: Parts, absent: str | None = None) -> Iterator[str]:
    """Lines that tell what checked runs would take. With `absent`, which says what is missing, there are no times."""
    works, problems = [], []
    for config in configs:
        try:
            works.append(work_of(config, standing(config, RunFolder(Path(str(config.folder))))))
        except UserError as error:
            works.append(Work(refused=1))
            problems.append(f"cannot be begun: {error}")
    yield str(total(works))
    yield from problems
    if absent:
        yield absent
        yield "time: not known before that is there"
        return
    sums: dict[str, float] = {}
    told: list[str] = []
    device, loaded = "", None
    for words, indices in groups(configs):
        waiting = [i for i in indices if works[i].steps]
        if not waiting:
            continue
        first = configs[waiting[0]]
        if loaded and loaded != first.model:
            parts.forget(loaded)
        loaded = first.model
        model = parts.build(first.model).load().to(device_of(first.trainer))
        device = _name(model.device)
        pace = measured_pace(model, [configs[i] for i in waiting], parts)
        own = seconds_of(total([works[i] for i in waiting]), pace)
        told.append(
            f"{words + '; ' if words else ''}runs: {len(waiting):,}, at once: {pace.at_once:,}; "
            f"{pace.step:.3g} s a step, {pace.picture:.3g} s a picture; {duration(sum(own.values()))} in all"
        )
        sums = {name: sums.get(name, 0.0) + seconds for name, seconds in own.items()}
    if not told:
        yield "time: nothing is left to be trained"
        return
    whole = sum(sums.values())
    shares = ", ".join(f"{name} {duration(seconds)}" for name, seconds in sums.items() if seconds)
    device_hours = f"{whole / 3600:.2g} device hours"
    yield f"time: about {duration(whole)} on {device}, {device_hours}{f' ({shares})' if shares else ''}"
    yield from (f"measured: {line}" for line in told)
    yield "not counted: loading, and looking at the pictures"


def duration(seconds: float) -> str:
    """A time in words, such as "1 h 50 min"; no finer than an estimate is."""
    minutes = round(seconds / 60)
    if seconds < 100:
        return f"{seconds:.0f} s"
    if minutes < 100:
        return f"{minutes} min"
    hours, rest = divmod(minutes, 60)
    return f"{hours} h {rest} min" if hours < 48 else f"{hours / 24:.1f} days"


# --------------------------------------------------------------------------------------- measurement


@memory_kept()
def measured_pace(model: LatentDiffusion, configs: Sequence[RunConfig], parts: Parts) -> Pace:
    """How long things take for runs that share a model, with as many at once as would be trained."""
    config, device = configs[0], model.device
    runs = [_stand_in(one, model, parts) for one in configs]
    given = config.training.runs_at_once
    at_once = min(given, len(runs)) if given else fitting_runs(model, runs[0], len(runs))[0]
    module = TextualInversion(model, runs[:at_once], samples_at_once=config.training.samples_at_once).to(device)
    optimizer = module.configure_optimizers()

    def step(number: int) -> None:
        module.training_step(number).backward()
        module.on_before_optimizer_step(optimizer)
        optimizer.step()
        optimizer.zero_grad()

    times = [_seconds(lambda n=n: step(n), device) for n in range(1 + STEPS)]
    release(device)
    picture, prompts, generated = _drawing(model, module, config)
    judged = _judging({name: parts.build(node) for name, node in config.metrics.items()}, prompts, generated, device)
    return Pace(at_once, statistics.median(times[1:]), _loss(model, module, config), picture, judged)


def _stand_in(config: RunConfig, model: LatentDiffusion, parts: Parts) -> Run:
    """A run of noise that takes as long as the one of this configuration."""
    noise = initial_latents(config.seed, config.image, 1, model.latent_shape)
    star = model.token_ids("*")[:1]
    ids = star * (config.init.num_vectors or TOKENS)
    posterior = Posterior(noise, torch.ones_like(noise))
    optimizer, prompts = parts.build(config.optimizer), templates_of(config.training.templates) or [SLOT]
    return Run(config.image, config.seed, ids, [posterior], config.training, optimizer, prompts=[prompts])


def _loss(model: LatentDiffusion, module: TextualInversion, config: RunConfig) -> float:
    """Seconds that the evaluation loss of a run takes, where it fills the U-Net's batch with others."""
    how = config.evaluation
    runs = module.runs[: max(1, how.batch_size // how.samples)]
    ids = [ids_of(model, how.prompts, module.table.placeholders(i), how.samples) for i in range(len(runs))]
    images, posteriors = [run.image for run in runs], [run.posteriors[0] for run in runs]

    def losses() -> None:
        evaluation_losses(model, how, images, posteriors, torch.cat(ids), module.all_learned())

    return min(_seconds(losses, model.device) for _ in range(2)) / len(runs)


def _drawing(
    model: LatentDiffusion, module: TextualInversion, config: RunConfig
) -> tuple[float, dict[str, list[str]], torch.Tensor]:
    """Seconds that a picture takes in a full batch; the prompts of a run's pictures, by set; and the drawn pictures.

    A few steps of the sampler are timed, and one alone: the others take what lies between, for each step.
    """
    how, elsewhere = config.evaluation, config.personalization
    sets = {"reconstruction": reconstruction_prompts(how)}
    if config.personalizes:
        sets["personalization"] = [prompt for prompt in elsewhere.prompts for _ in range(elsewhere.pictures)]
    longest = max(sets.values(), key=len)
    if not longest:
        return 0.0, {}, torch.zeros(0)
    together = min(len(module.runs), max(1, how.batch_size // (2 * len(longest))))
    count = together * len(longest)
    ids = ids_of(model, longest, module.table.placeholders(0), count)
    noise = initial_latents(config.seed, config.image, count, model.latent_shape)
    drawn: list[torch.Tensor] = []

    def draw(steps: int) -> float:
        few = replace(how, num_inference_steps=steps)
        return _seconds(lambda: drawn.append(draw_pictures(model, noise, ids, module.all_learned(), few)), model.device)

    few = min(DENOISING, how.num_inference_steps)
    draw(1)
    one, some = draw(1), draw(few)
    each = (some - one) / (few - 1) if few > 1 else 0.0
    whole = some + max(0.0, each) * (how.num_inference_steps - few)
    return whole / count, sets, drawn[-1][: len(longest)]


def _judging(
    metrics: Mapping[str, Metric], sets: Mapping[str, Sequence[str]], pictures: torch.Tensor, device: torch.device
) -> dict[str, float]:
    """Seconds that the metrics take for one run's pictures, by set of prompts, once their weights are read."""
    for metric in metrics.values():
        getattr(metric, "to", lambda _: None)(device)
    found = {}
    for name, prompts in sets.items() if metrics else ():
        own = pictures[: len(prompts)]
        mask = torch.ones(1, *own.shape[2:], dtype=torch.bool)
        look = partial(measured, metrics, name, own, own[:1], prompts, mask)
        found[name] = min(_seconds(look, device) for _ in range(2))
    return found


def _seconds(work: Callable[[], object], device: torch.device) -> float:
    began = time.perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - began


def _name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else f"this {device.type}"
