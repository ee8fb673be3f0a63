"""Evaluates every run of a list at given steps: loss, pictures, metrics."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor

from mti.evaluation import EvaluationProtocol, draw_pictures, evaluation_losses, ids_of, measured
from mti.images import to_pil
from mti.inversion import TextualInversion
from mti.jobs import Job
from mti.noise import initial_latents
from mti.types import Metric


class Evaluation(pl.Callback):
    """Generates once per evaluated step, and hands the same pictures to all metrics.

    `references` are each job's own pictures, [pictures, 3, height, width] in [-1, 1].
    """

    def __init__(
        self,
        jobs: Sequence[Job],
        protocol: EvaluationProtocol,
        metrics: Mapping[str, Metric],
        references: Sequence[Tensor],
    ):
        self.jobs = jobs
        self.protocol = protocol
        self.metrics = metrics
        self.references = references

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Evaluate before the first update. A resumed run was evaluated before its checkpoint was made."""
        assert isinstance(pl_module, TextualInversion)
        if pl_module.step == 0:
            self.evaluate(pl_module, last=False)

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any) -> None:
        """Evaluate after the updates that the protocol names, and after the last."""
        assert isinstance(pl_module, TextualInversion)
        self.evaluate(pl_module, last=pl_module.step == trainer.max_steps)

    def evaluate(self, module: TextualInversion, last: bool) -> None:
        """Measure all runs that have not failed, as far as it is time to."""
        protocol, step = self.protocol, module.step
        if not module.active:
            return
        if step in protocol.steps or last:
            self._loss(module)
            self._reconstruct(module)
        if step in protocol.personalization.steps:
            self._personalize(module)

    def _loss(self, module: TextualInversion) -> None:
        runs = [module.runs[i] for i in module.active]
        ids = [
            ids_of(module.model, self.protocol.prompts, module.table.placeholders(i), self.protocol.samples)
            for i in module.active
        ]
        images, posteriors = [run.image for run in runs], [run.posteriors[0] for run in runs]
        embeddings = module.embeddings().detach()
        losses = evaluation_losses(module.model, self.protocol, images, posteriors, torch.cat(ids), embeddings)
        for i, loss in zip(module.active, losses, strict=True):
            self.jobs[i].record(module.step, {"eval/mse": loss})

    def _reconstruct(self, module: TextualInversion) -> None:
        prompts = self.protocol.reconstruction
        for i, pictures in self._drawn(module, prompts, range(len(prompts))):
            self.jobs[i].keep_pictures(module.step, [to_pil(picture) for picture in pictures], prompts)
            scores = measured(self.metrics, "reconstruction", pictures, self.references[i], prompts)
            self.jobs[i].record(module.step, scores)

    def _personalize(self, module: TextualInversion) -> None:
        wanted = self.protocol.personalization
        prompts = [prompt for prompt in wanted.prompts for _ in range(wanted.pictures)]
        noises = [i for _ in wanted.prompts for i in range(wanted.pictures)]  # the same for every prompt
        for i, pictures in self._drawn(module, prompts, noises):
            images = [to_pil(picture) for picture in pictures]
            by_prompt = {
                prompt: images[k * wanted.pictures : (k + 1) * wanted.pictures]
                for k, prompt in enumerate(wanted.prompts)
            }
            self.jobs[i].keep_personalization(module.step, by_prompt)
            scores = measured(self.metrics, "personalization", pictures, self.references[i], prompts)
            self.jobs[i].record(module.step, scores)

    def _drawn(
        self, module: TextualInversion, prompts: Sequence[str], noises: Sequence[int]
    ) -> Iterator[tuple[int, Tensor]]:
        """Each active run and its pictures: one for each prompt, from the initial noise of that number.

        As many runs are drawn together as fill the U-Net's batch, so memory does not grow with their number.
        """
        protocol, model, embeddings = self.protocol, module.model, module.embeddings().detach()
        together = max(1, protocol.batch_size // (2 * max(1, len(prompts))))  # guidance takes two samples a picture
        for first in range(0, len(module.active) if prompts else 0, together):
            ids, noise, part = [], [], module.active[first : first + together]
            for i in part:
                run = module.runs[i]
                ids.append(ids_of(model, prompts, module.table.placeholders(i), len(prompts)))
                latents = initial_latents(run.seed, run.image, max(noises) + 1, model.latent_shape)
                noise.append(latents[list(noises)])
            pictures = draw_pictures(
                model,
                torch.cat(noise),
                torch.cat(ids),
                embeddings,
                num_inference_steps=protocol.num_inference_steps,
                guidance_scale=protocol.guidance_scale,
                batch_size=protocol.batch_size,
            )
            yield from zip(part, pictures.split(len(prompts)), strict=True)
