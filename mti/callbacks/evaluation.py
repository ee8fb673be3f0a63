"""Evaluates every run of a batch at given steps: loss, pictures, metrics."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor

from mti.close import RunWriter
from mti.evaluation import (
    draw_pictures,
    evaluation_losses,
    ids_of,
    is_personalized,
    measured,
    reconstruction_prompts,
)
from mti.images import to_pil
from mti.inversion import TextualInversion
from mti.isolation import isolated
from mti.noise import initial_latents
from mti.phases import phase
from mti.rows import relative_norms
from mti.schema import Evaluation, Personalization
from mti.termination import TERMINATION
from mti.types import Metric


class Evaluator(pl.Callback):
    """Draws once per evaluated step, and hands the same pictures to all metrics. `writers` are the runs'."""

    def __init__(
        self,
        writers: Sequence[RunWriter],
        evaluation: Evaluation,
        personalization: Personalization,
        metrics: Mapping[str, Metric],
    ):
        self.writers = writers
        self.evaluation = evaluation
        self.personalization = personalization
        self.metrics = metrics

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Evaluate what was not evaluated yet: before the first update, or where a process was stopped."""
        assert isinstance(pl_module, TextualInversion)
        measured = [pl_module.step in self.writers[i].folder.curve("eval/mse") for i in pl_module.present]
        if not all(measured):
            self.evaluate(pl_module, last=False)
        trainer.should_stop = not pl_module.active

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any) -> None:
        """Evaluate after the updates that the configuration names, and after the last."""
        assert isinstance(pl_module, TextualInversion)
        self.evaluate(pl_module, last=pl_module.step == trainer.max_steps)
        trainer.should_stop = not pl_module.active

    def evaluate(self, module: TextualInversion, last: bool) -> None:
        """Measure all runs that it is time to, and those that stop. A process told to stop measures nothing."""
        step, values = module.step, [{} for _ in self.writers]
        due = [i for i in module.present if last or step in self.evaluation.steps or i in module.stopped]
        if due:
            with phase(f"evaluating {_runs(due)} after {step} steps"):
                losses = losses_of(module, due, self.evaluation)
            for i, loss in zip(due, losses, strict=True):
                norm = relative_norms(module.learned(i), module.vocabulary).mean().item()
                values[i] |= {"eval/mse": loss, "eval/row_norm": norm}
            self._reconstruct(module, due, values)
            self._each(module, due, lambda i: self._keep_tokens(module, i))
        elsewhere = [
            i for i in module.present if is_personalized(self.evaluation, self.personalization, step, i in due)
        ]
        if elsewhere:
            self._personalize(module, elsewhere, values)
        if TERMINATION.requested is None:
            self._each(module, module.present, lambda i: self._record(step, i, values[i]))

    def _record(self, step: int, i: int, values: Mapping[str, float]) -> None:
        """Into the file at once, for whoever watches the run."""
        if values:
            self.writers[i].record(step, values)
            self.writers[i].folder.flush()

    def _keep_tokens(self, module: TextualInversion, i: int) -> None:
        self.writers[i].keep_tokens(module.step, module.learned(i).cpu())

    def _reconstruct(self, module: TextualInversion, due: Sequence[int], values: list[dict[str, float]]) -> None:
        prompts = reconstruction_prompts(self.evaluation)

        def judge(i: int, pictures: Tensor) -> None:
            writer = self.writers[i]
            writer.keep_pictures(module.step, [to_pil(picture) for picture in pictures], prompts)
            values[i] |= self._measured("reconstruction", writer, pictures, prompts)

        self._drawn(module, due, prompts, range(len(prompts)), judge)

    def _personalize(self, module: TextualInversion, which: Sequence[int], values: list[dict[str, float]]) -> None:
        wanted = self.personalization
        prompts = [prompt for prompt in wanted.prompts for _ in range(wanted.pictures)]
        noises = [i for _ in wanted.prompts for i in range(wanted.pictures)]  # the same for every prompt

        def judge(i: int, pictures: Tensor) -> None:
            images = [to_pil(picture) for picture in pictures]
            by_prompt = {
                prompt: images[k * wanted.pictures : (k + 1) * wanted.pictures]
                for k, prompt in enumerate(wanted.prompts)
            }
            writer = self.writers[i]
            writer.keep_personalization(module.step, by_prompt)
            values[i] |= self._measured("personalization", writer, pictures, prompts)

        self._drawn(module, which, prompts, noises, judge)

    def _measured(
        self, prompt_set: str, writer: RunWriter, pictures: Tensor, prompts: Sequence[str]
    ) -> dict[str, float]:
        prepared = writer.prepared
        with phase(f"measuring pictures of {prepared.planned.config.title}"):
            return measured(self.metrics, prompt_set, pictures, prepared.references, prompts, prepared.mask)

    def _drawn(
        self,
        module: TextualInversion,
        runs: Sequence[int],
        prompts: Sequence[str],
        noises: Sequence[int],
        judge: Callable[[int, Tensor], None],
    ) -> None:
        """Draw for each of the runs a picture for each prompt, from the initial noise of that number, and judge them.

        As many runs are drawn together as fill the U-Net's batch, so memory does not grow with their number.
        """
        model, embeddings = module.model, module.all_learned()
        for part in _split(runs if prompts else [], self.evaluation.batch_size // (2 * max(1, len(prompts)))):
            if TERMINATION.requested is not None:
                return
            ids, noise = [], []
            for i in part:
                run = module.runs[i]
                ids.append(ids_of(model, prompts, module.table.placeholders(i), len(prompts)))
                latents = initial_latents(run.seed, run.image, max(noises) + 1, model.latent_shape)
                noise.append(latents[list(noises)])
            with phase(f"drawing {len(prompts)} pictures of {_runs(part)} after {module.step} steps"):
                drawn = draw_pictures(model, torch.cat(noise), torch.cat(ids), embeddings, self.evaluation)
            pictures = dict(zip(part, drawn.split(len(prompts)), strict=True))
            self._each(module, part, lambda i, pictures=pictures: judge(i, pictures[i]))

    def _each(self, module: TextualInversion, runs: Sequence[int], action: Callable[[int], None]) -> None:
        """Do something for each run that has not failed; one that it fails for is trained no further."""
        isolated([i for i in runs if i not in module.failures], action, module.failures.__setitem__)


def losses_of(module: TextualInversion, which: Sequence[int], evaluation: Evaluation) -> list[float]:
    """The evaluation loss of these runs, each by itself."""
    model, runs = module.model, [module.runs[i] for i in which]
    ids = [ids_of(model, evaluation.prompts, module.table.placeholders(i), evaluation.samples) for i in which]
    images, posteriors = [run.image for run in runs], [run.posteriors[0] for run in runs]
    return evaluation_losses(model, evaluation, images, posteriors, torch.cat(ids), module.all_learned())


def _runs(ones: Sequence[int]) -> str:
    return f"{len(ones)} runs" if len(ones) > 1 else "the run"


def _split(ones: Sequence[int], size: int) -> Iterator[Sequence[int]]:
    for first in range(0, len(ones), max(1, size)):
        yield ones[first : first + max(1, size)]
