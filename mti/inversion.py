"""Textual inversion of a list of runs against one frozen model."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytorch_lightning as pl
import torch
from jaxtyping import Float
from torch import Tensor, nn

from mti.loss import in_parts, latent_diffusion_loss
from mti.minibatch import Ahead, Minibatch, Steps, chosen, drawn_prompt, sample_latent
from mti.noise import TrainingDraw, stratified, training_draw
from mti.rows import RowOptimizer, Together, Vocabulary
from mti.schedules import rate
from mti.schema import Training
from mti.templates import templates_of
from mti.tokens import PlaceholderTable, prompt_ids
from mti.types import LatentDiffusion, Posterior, StopRule


@dataclass(frozen=True)
class Run:
    """One concept and one initial text: what is trained, and how."""

    image: str  # names the concept in all draws of chance
    seed: int
    token_ids: Sequence[int]  # of the initial text
    posteriors: Sequence[Posterior]  # of the pictures: as they are and, to flip at random, mirrored too
    training: Training
    optimizer: RowOptimizer  # runs with the same one are stepped together
    start: Float[Tensor, "num_vectors width"] | None = None  # embeddings to start from; None: those of the text
    weights: Sequence[Float[Tensor, "pictures 1 h w"]] | None = None  # of the loss, for each of the posteriors
    stop: StopRule | None = None  # None: never
    prompts: Sequence[Sequence[str]] = ()  # to train with, of each picture by itself; none: training.templates of all
    max_steps: int | None = None  # updates at most; None: as many as the trainer makes


class TextualInversion(pl.LightningModule):
    """Learns the embeddings of every run; the frozen model is no part of its parameters or checkpoints.

    The loss is the sum over runs of each run's mean, so with AdamW and clipping per run no run touches
    another. A run whose loss or embeddings are no longer finite fails: `failures` says why, and its embeddings keep
    their last good state. `stopped` says after how many updates a run has learned enough; it is trained no further.

    Args:
        model: the frozen model.
        runs: what is learned; their batch size is the same.
        begun: the updates that each has done before; None: none.
        samples_at_once: of an update, through the U-Net; None: all.
    """

    def __init__(
        self,
        model: LatentDiffusion,
        runs: Sequence[Run],
        begun: Sequence[int] | None = None,
        samples_at_once: int | None = None,
    ):
        super().__init__()
        self._frozen = (model,)  # a tuple hides the model from Lightning
        self.runs = list(runs)
        self.batch_size = runs[0].training.batch_size  # shared by all
        self.samples_at_once = samples_at_once
        self.table = PlaceholderTable(model, [run.token_ids if run.start is None else run.start for run in runs])
        self.vocabulary = Vocabulary(model.embedding, model.widths)
        self.begun = list(begun or [0] * len(self.runs))
        self.done = 0  # updates of this module
        self.losses = [float("nan")] * len(self.runs)  # of each run's latest batch
        self.failures: dict[int, str] = {}
        self.stopped: dict[int, int] = {}
        self._good = [embeddings.detach().clone() for embeddings in self.table.embeddings]
        self._averages = [
            None if run.training.average is None else rows.clone()
            for run, rows in zip(self.runs, self._good, strict=True)
        ]
        self._kept: dict[int, dict[str, Tensor]] = {}  # the optimizer's state that runs go on from
        self._prompts = [
            [
                torch.tensor([prompt_ids(model, prompt, self.table.placeholders(i)) for prompt in prompts])
                for prompts in run.prompts or [templates_of(run.training.templates)]
            ]
            for i, run in enumerate(runs)
        ]
        self._ahead = Ahead(self.minibatch)

    @property
    def model(self) -> LatentDiffusion:
        """The frozen model."""
        return self._frozen[0]

    @property
    def active(self) -> list[int]:
        """The runs that are trained: neither failed nor stopped, nor at the end of their updates."""
        return [i for i in range(len(self.runs)) if i not in self.failures and self._left(i) > 0]

    @property
    def present(self) -> list[int]:
        """The same, with those that ended with the very last update, unless they failed."""
        return [i for i in range(len(self.runs)) if i not in self.failures and self._left(i) >= 0]

    def step(self, run: int) -> int:
        """The updates that a run has done."""
        return self.begun[run] + self.done + min(0, self._left(run))

    def _left(self, run: int) -> int:
        """The updates that are left to a run; negative once it has ended."""
        most = self.runs[run].max_steps
        end = self.stopped.get(run, sys.maxsize if most is None else most)
        return max(end, self.begun[run]) - self.begun[run] - self.done

    def embeddings(self) -> Float[Tensor, "num_vectors width"]:
        """The embeddings of all runs in the order of their placeholder ids."""
        active = self.active
        return self.table([i in active for i in range(len(self.runs))])

    def learned(self, run: int) -> Float[Tensor, "num_vectors width"]:
        """What a run is judged by and leaves behind: its embeddings, or their average over the updates."""
        average = self._averages[run]
        return self.table.embeddings[run].detach() if average is None else average

    def all_learned(self) -> Float[Tensor, "num_vectors width"]:
        """The same of all runs, in the order of their placeholder ids."""
        return torch.cat([self.learned(i) for i in range(len(self.runs))])

    def training_step(self, _: int) -> Tensor:
        """The sum over runs of each run's mean loss on the minibatch that chance gives it at its step."""
        active = self.active
        batch = self._ahead.take({i: self.step(i) for i in active}, self.device)

        def loss(text: Tensor, part: slice) -> Tensor:
            weight = None if batch.weight is None else batch.weight[part]
            return latent_diffusion_loss(self.model, batch.z[part], text, batch.t[part], batch.eps[part], weight)

        text = self.model.encode_text(batch.prompts, self.embeddings())[batch.prompt]
        samples = in_parts(loss, text, self.samples_at_once)
        each = samples.view(len(active), -1).mean(dim=1)
        self._latest = each.detach()
        return each.sum()

    def minibatch(self, steps: Steps) -> Minibatch:
        """The minibatch of runs at their steps, in the host's memory."""
        samples = [
            (i, k, training_draw(self.runs[i].seed, self.runs[i].image, step, k, self.model.latent_shape))
            for i, step in steps.items()
            for k in range(self.batch_size)
        ]
        times = [self._timestep(i, steps[i], k, draw) for i, k, draw in samples]
        ids = torch.stack([drawn_prompt(self._prompts[i], draw) for i, _, draw in samples])
        prompts, prompt = torch.unique(ids, dim=0, return_inverse=True)
        return Minibatch(
            z=torch.stack([sample_latent(self.runs[i].posteriors, draw) for i, _, draw in samples]),
            eps=torch.stack([draw.noise for *_, draw in samples]),
            t=torch.tensor([int(time * len(self.model.alphas_cumprod)) for time in times]),
            prompts=prompts,
            prompt=prompt,
            weight=self._weight([(i, draw) for i, _, draw in samples]),
        )

    def _timestep(self, run: int, step: int, sample: int, draw: TrainingDraw) -> float:
        own = self.runs[run]
        if own.training.timesteps == "uniform":
            return draw.timestep
        return stratified(own.seed, own.image, step, sample, self.batch_size, draw.timestep)

    def _weight(self, samples: Sequence[tuple[int, TrainingDraw]]) -> Tensor | None:
        """What each place of each latent counts in the loss; None if all count the same."""
        if all(run.weights is None for run in self.runs):
            return None
        even = torch.ones(1, *self.model.latent_shape[1:])
        return torch.stack(
            [even if (own := self.runs[i].weights) is None else chosen(own, draw) for i, draw in samples]
        )

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """A parameter group for each run, going on where a loaded run state left it; runs of one optimizer share it."""
        makers = {id(run.optimizer): run.optimizer for run in self.runs}
        groups: dict[int, list[dict[str, Any]]] = {key: [] for key in makers}
        for i, (run, embeddings) in enumerate(zip(self.runs, self.table.embeddings, strict=True)):
            how = {"lr": rate(run.training, 0), "weight_decay": run.training.weight_decay, "training": run.training}
            groups[id(run.optimizer)].append({"params": [embeddings], **how, "run": i})
        parts = [makers[key](own, self.vocabulary) for key, own in groups.items()]
        optimizer = parts[0] if len(parts) == 1 else Together(parts)
        for i, state in self._kept.items():
            embeddings = self.table.embeddings[i]
            optimizer.state[embeddings] = {
                name: value.to(embeddings.device) if value.shape == embeddings.shape else value.cpu()
                for name, value in state.items()
            }
        return optimizer

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Set each run's learning rate, clip its gradient, and keep failed and stopped runs out of the update."""
        for group in optimizer.param_groups:
            group["lr"] = rate(group["training"], self.step(group["run"]))
        active = self.active
        for i, (run, embeddings) in enumerate(zip(self.runs, self.table.embeddings, strict=True)):
            if i not in active:
                embeddings.grad = None
            elif run.training.max_grad_norm is not None:
                nn.utils.clip_grad_norm_([embeddings], run.training.max_grad_norm)

    def optimizer_step(self, *arguments: Any, **keywords: Any) -> None:
        """Update, take back an update that left a run's embeddings not finite, and count the step."""
        active = self.active
        super().optimizer_step(*arguments, **keywords)
        finite = torch.stack([self.table.embeddings[i].isfinite().all() for i in active])
        told = torch.stack([self._latest, finite]).tolist()  # a GPU is waited for here alone
        for i, loss, good in zip(active, *told, strict=True):
            self.losses[i] = loss
            if not (good and math.isfinite(loss)):
                self._fail(i, "embedding row" if math.isfinite(loss) else "loss")
        with torch.no_grad():
            for i in active:
                good, embeddings = self._good[i], self.table.embeddings[i]
                embeddings.copy_(good) if i in self.failures else good.copy_(embeddings)
        self.done += 1
        for i in self.present:
            if (average := self._averages[i]) is not None:
                step = self.step(i)
                decay = min(self.runs[i].training.average or 0.0, (1 + step) / (10 + step))
                average.lerp_(self._good[i], 1 - decay)
        if not self.active:
            self.trainer.should_stop = True

    def run_state(self, run: int) -> dict[str, Tensor]:
        """A run's embeddings, their average and the optimizer's state: all that its training needs to go on."""
        embeddings, average = self.table.embeddings[run], self._averages[run]
        own = {"embeddings": embeddings.detach()} | ({} if average is None else {"average": average})
        return {**own, **self.trainer.optimizers[0].state[embeddings]}

    def load_run_state(self, run: int, state: dict[str, Tensor]) -> None:
        """Go on from what `run_state` gave. To be called before training starts."""
        with torch.no_grad():
            self.table.embeddings[run].copy_(state["embeddings"])
        self._good[run].copy_(state["embeddings"])
        if (average := self._averages[run]) is not None:
            average.copy_(state["average"])
        self._kept[run] = {name: value for name, value in state.items() if name not in ("embeddings", "average")}

    def _fail(self, run: int, what: str) -> None:
        self.failures[run] = (
            f"non-finite {what} at step {self.step(run)} (learning rate {self.runs[run].training.learning_rate:g}): "
            "the embeddings before it are kept; try a lower learning rate or training.max_grad_norm=1"
        )
