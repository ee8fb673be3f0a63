"""Evaluates every run of a list at given steps: loss, pictures, metrics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor

from mti.evaluation import Protocol, draw_pictures, evaluation_loss, ids_of
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
        self, jobs: Sequence[Job], protocol: Protocol, metrics: Mapping[str, Metric], references: Sequence[Tensor]
    ):
        self.jobs = jobs
        self.protocol = protocol
        self.metrics = metrics
        self.references = references

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Evaluate before the first update. A resumed run was evaluated before its checkpoint was made."""
        assert isinstance(pl_module, TextualInversion)
        if pl_module.step == 0 and 0 in self.protocol.steps:
            self.evaluate(pl_module)

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any) -> None:
        """Evaluate after the updates that the protocol names, and after the last."""
        assert isinstance(pl_module, TextualInversion)
        if pl_module.step in self.protocol.steps or pl_module.step == trainer.max_steps:
            self.evaluate(pl_module)

    def evaluate(self, module: TextualInversion) -> None:
        """Measure all runs that have not failed."""
        protocol, model, rows = self.protocol, module.model, module.rows().detach()
        for i in module.active:
            run = module.runs[i]
            ids = ids_of(model, protocol.prompts, module.table.placeholders(i), protocol.samples)
            loss = evaluation_loss(model, protocol, run.image, run.posteriors[0], ids, rows)
            self.jobs[i].record(module.step, {"eval/mse": loss})
        if protocol.pictures and module.active:
            self._picture(module, rows)

    def _picture(self, module: TextualInversion, rows: Tensor) -> None:
        protocol, model, ids, noise = self.protocol, module.model, [], []
        for i in module.active:
            run = module.runs[i]
            ids.append(ids_of(model, protocol.prompts, module.table.placeholders(i), protocol.pictures))
            noise.append(initial_latents(run.seed, run.image, protocol.pictures, model.latent_shape))
        pictures = draw_pictures(
            model,
            torch.cat(noise),
            torch.cat(ids),
            rows,
            sampler_steps=protocol.sampler_steps,
            guidance=protocol.guidance,
            batch_size=protocol.batch_size,
        )
        for i, own in zip(module.active, pictures.split(protocol.pictures), strict=True):
            self.jobs[i].keep_pictures(module.step, [to_pil(picture) for picture in own])
            for metric in self.metrics.values():
                scores = metric(own, self.references[i])
                self.jobs[i].record(module.step, {f"eval/{name}": value for name, value in scores.items()})
