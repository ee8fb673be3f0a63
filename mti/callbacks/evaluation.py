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

Values = dict[int, dict[str, float]]
"""What is measured of runs, by their number in the batch."""


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
        self.evaluate(pl_module, [i for i in pl_module.present if not self._seen(pl_module, i)])

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any) -> None:
        """Evaluate after the updates that the configuration names, and after the last."""
        assert isinstance(pl_module, TextualInversion)
        self.evaluate(pl_module, pl_module.present)

    def _seen(self, module: TextualInversion, i: int) -> bool:
        step, writer = module.step(i), self.writers[i]
        return writer.looked_at == step or step in writer.folder.curve("eval/mse")

    def evaluate(self, module: TextualInversion, which: Sequence[int]) -> None:
        """Measure those of the runs that it is time to, or that end. A process told to stop measures nothing."""
        values: Values = {i: {} for i in which}
        steps, active = self.evaluation.steps, set(module.active)
        due = [i for i in which if module.step(i) in steps or i not in active]
        if due:
            with phase(f"evaluating {_runs(due)} {after(module, due)}"):
                losses = losses_of(module, due, self.evaluation)
            for i, loss in zip(due, losses, strict=True):
                norm = relative_norms(module.learned(i), module.vocabulary).mean().item()
                values[i] |= {"eval/mse": loss, "eval/row_norm": norm}
            self._reconstruct(module, due, values)
            self._each(module, due, lambda i: self._keep_tokens(module, i))
        elsewhere = [
            i for i in which if is_personalized(self.evaluation, self.personalization, module.step(i), i in due)
        ]
        if elsewhere:
            self._personalize(module, elsewhere, values)
        if TERMINATION.requested is None:
            self._each(module, which, lambda i: self._record(module.step(i), i, values[i]))

    def _record(self, step: int, i: int, values: Mapping[str, float]) -> None:
        """Into the file at once, for whoever watches the run."""
        writer = self.writers[i]
        writer.looked_at = step
        if values:
            writer.record(step, values)
            writer.folder.flush()

    def _keep_tokens(self, module: TextualInversion, i: int) -> None:
        self.writers[i].keep_tokens(module.step(i), module.learned(i).cpu())

    def _reconstruct(self, module: TextualInversion, due: Sequence[int], values: Values) -> None:
        prompts = reconstruction_prompts(self.evaluation)

        def judge(i: int, pictures: Tensor) -> None:
            writer = self.writers[i]
            writer.keep_pictures(module.step(i), [to_pil(picture) for picture in pictures], prompts)
            values[i] |= self._measured("reconstruction", writer, pictures, prompts)

        self._drawn(module, due, prompts, range(len(prompts)), judge)

    def _personalize(self, module: TextualInversion, which: Sequence[int], values: Values) -> None:
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
            writer.keep_personalization(module.step(i), by_prompt)
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
            with phase(f"drawing {len(prompts)} pictures of {_runs(part)} {after(module, part)}"):
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


def after(module: TextualInversion, which: Sequence[int]) -> str:
    """How far runs are, in words."""
    first, last = (pick(module.step(i) for i in which) for pick in (min, max))
    return f"after {first} to {last} steps" if first < last else f"after {first} steps"


def _runs(ones: Sequence[int]) -> str:
    return f"{len(ones)} runs" if len(ones) > 1 else "the run"


def _split(ones: Sequence[int], size: int) -> Iterator[Sequence[int]]:
    for first in range(0, len(ones), max(1, size)):
        yield ones[first : first + max(1, size)]
