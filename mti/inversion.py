"""Textual inversion of a list of runs against one frozen model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytorch_lightning as pl
import torch
from jaxtyping import Float
from torch import Tensor, nn

from mti.loss import latent_diffusion_loss
from mti.noise import TrainingDraw, training_draw
from mti.schema import Training
from mti.templates import TEMPLATES
from mti.tokens import PlaceholderTable, encode_distinct, prompt_ids
from mti.types import LatentDiffusion, Posterior

MOMENTS = ("exp_avg", "exp_avg_sq")  # of AdamW


@dataclass(frozen=True)
class Run:
    """One concept and one initial text: what is trained, and how."""

    image: str  # names the concept in all draws of chance
    seed: int
    token_ids: Sequence[int]  # of the initial text
    posteriors: Sequence[Posterior]  # of the pictures: as they are and, to flip at random, mirrored too
    training: Training
    start: Float[Tensor, "num_vectors width"] | None = None  # embeddings to start from; None: those of the text


class TextualInversion(pl.LightningModule):
    """Learns the embeddings of every run; the frozen model is no part of its parameters or checkpoints.

    The loss is the sum over runs of each run's mean, so with AdamW and clipping per run no run touches
    another. A run whose loss or embeddings are no longer finite stops: `failures` says why, and its embeddings keep
    their last good state.
    """

    def __init__(self, model: LatentDiffusion, runs: Sequence[Run], start: int = 0):
        super().__init__()
        self._frozen = (model,)  # a tuple hides the model from Lightning
        self.runs = list(runs)
        self.batch_size = runs[0].training.batch_size  # shared by all
        self.table = PlaceholderTable(model, [run.token_ids if run.start is None else run.start for run in runs])
        self.step = start  # updates done
        self.losses = [float("nan")] * len(self.runs)  # of each run's latest batch
        self.failures: dict[int, str] = {}
        self._good = [embeddings.detach().clone() for embeddings in self.table.embeddings]
        self._moments: dict[int, dict[str, Tensor]] = {}
        self._templates = [
            torch.tensor(
                [
                    prompt_ids(model, template, self.table.placeholders(i))
                    for template in TEMPLATES[run.training.templates]
                ]
            )
            for i, run in enumerate(runs)
        ]

    @property
    def model(self) -> LatentDiffusion:
        """The frozen model."""
        return self._frozen[0]

    @property
    def active(self) -> list[int]:
        """The runs that have not failed."""
        return [i for i in range(len(self.runs)) if i not in self.failures]

    def embeddings(self) -> Float[Tensor, "num_vectors width"]:
        """The embeddings of all runs in the order of their placeholder ids."""
        return self.table([i not in self.failures for i in range(len(self.runs))])

    def training_step(self, step: int) -> Tensor:
        """The sum over runs of each run's mean loss on the batch that chance gives it at this step."""
        active = self.active
        shape = self.model.latent_shape
        samples = [
            (i, training_draw(self.runs[i].seed, self.runs[i].image, step, k, shape))
            for i in active
            for k in range(self.batch_size)
        ]
        z = torch.stack([sample_latent(self.runs[i].posteriors, draw) for i, draw in samples])
        eps = torch.stack([draw.noise for _, draw in samples])
        t = torch.tensor([int(draw.timestep * len(self.model.alphas_cumprod)) for _, draw in samples])
        ids = torch.stack([self._templates[i][int(draw.template * len(self._templates[i]))] for i, draw in samples])
        text, prompt = encode_distinct(self.model, ids.to(self.device), self.embeddings())
        z, t, eps = (tensor.to(self.device) for tensor in (z, t, eps))
        loss = latent_diffusion_loss(self.model, z, text[prompt], t, eps).view(len(active), -1).mean(dim=1)
        for i, value in zip(active, loss.tolist(), strict=True):
            self.losses[i] = value
        return loss[self._checked(active, loss.isfinite(), "loss")].sum()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """AdamW with a parameter group per run, going on where a loaded run state left it."""
        optimizer = torch.optim.AdamW(
            {"params": [embeddings], "lr": run.training.learning_rate, "weight_decay": run.training.weight_decay}
            for run, embeddings in zip(self.runs, self.table.embeddings, strict=True)
        )
        for i, moments in self._moments.items():
            embeddings = self.table.embeddings[i]
            optimizer.state[embeddings] = {name: moments[name].to(embeddings.device) for name in MOMENTS}
            optimizer.state[embeddings]["step"] = moments["step"].cpu()
        return optimizer

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Clip each run by itself, and keep failed runs out of the update."""
        for i, (run, embeddings) in enumerate(zip(self.runs, self.table.embeddings, strict=True)):
            if i in self.failures:
                embeddings.grad = None
            elif run.training.max_grad_norm is not None:
                nn.utils.clip_grad_norm_([embeddings], run.training.max_grad_norm)

    def optimizer_step(self, *arguments: Any, **keywords: Any) -> None:
        """Update, take back an update that left a run's embeddings not finite, and count the step."""
        super().optimizer_step(*arguments, **keywords)
        active = self.active
        finite = torch.stack([self.table.embeddings[i].isfinite().all() for i in range(len(self.runs))])
        self._checked(active, finite[active], "embedding row")
        with torch.no_grad():
            for i in active:
                good, embeddings = self._good[i], self.table.embeddings[i]
                embeddings.copy_(good) if i in self.failures else good.copy_(embeddings)
        self.step += 1
        if not self.active:
            self.trainer.should_stop = True

    def run_state(self, run: int) -> dict[str, Tensor]:
        """A run's embeddings and their optimizer state: all that its training needs to go on."""
        embeddings = self.table.embeddings[run]
        return {"embeddings": embeddings.detach(), **self.trainer.optimizers[0].state[embeddings]}

    def load_run_state(self, run: int, state: dict[str, Tensor]) -> None:
        """Go on from what `run_state` gave. To be called before training starts."""
        with torch.no_grad():
            self.table.embeddings[run].copy_(state["embeddings"])
        self._good[run].copy_(state["embeddings"])
        self._moments[run] = state

    def _checked(self, runs: list[int], finite: Tensor, what: str) -> Tensor:
        """`finite`, with the runs for which it is false noted as failures."""
        for i, good in zip(runs, finite.tolist(), strict=True):
            if not good:
                self.failures[i] = (
                    f"non-finite {what} at step {self.step} (learning rate {self.runs[i].training.learning_rate:g}): "
                    "the embeddings before it are kept; try a lower learning rate or training.max_grad_norm=1"
                )
        return finite


def sample_latent(posteriors: Sequence[Posterior], draw: TrainingDraw) -> Float[Tensor, "channels height width"]:
    """z: a sample of the posterior of one of the pictures, mirrored or not, as the draw says."""
    posterior = posteriors[int(draw.flip * len(posteriors))]
    picture = int(draw.picture * len(posterior.mean))
    return posterior.mean[picture] + posterior.std[picture] * draw.posterior
