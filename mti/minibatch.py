"""The samples of an update: what they are, and how the next ones are drawn ahead."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from mti.noise import TrainingDraw
from mti.types import Posterior


class Minibatch(NamedTuple):
    """The samples of an update, run after run."""

    z: Float[Tensor, "samples channels height width"]
    eps: Float[Tensor, "samples channels height width"]
    t: Int[Tensor, " samples"]
    prompts: Int[Tensor, "distinct context"]  # padded, each of them once
    prompt: Int[Tensor, " samples"]  # which of them each sample has
    weight: Float[Tensor, "samples 1 height width"] | None  # of each place in the loss; None: all count the same

    def to(self, device: torch.device) -> Minibatch:
        """On a device; from pinned memory without waiting for it."""
        return self._each(lambda part: part.to(device, non_blocking=True))

    def pinned(self) -> Minibatch:
        """In memory that a GPU copies from by itself."""
        return self._each(Tensor.pin_memory)

    def _each(self, change: Callable[[Tensor], Tensor]) -> Minibatch:
        z, eps, t, prompts, prompt, weight = self
        weight = None if weight is None else change(weight)
        return Minibatch(change(z), change(eps), change(t), change(prompts), change(prompt), weight)


Steps = Mapping[int, int]
"""At which step each of the runs is, by their numbers."""


class Ahead:
    """Draws minibatches, and while one is computed with, the next one in a thread.

    A GPU would wait for them at each update otherwise. They are functions of the runs' steps alone (`mti.noise`), so
    when they are drawn changes nothing.
    """

    def __init__(self, draw: Callable[[Steps], Minibatch]) -> None:
        self._draw = draw
        self._next: tuple[Steps, Future[Minibatch]] | None = None

    def take(self, steps: Steps, device: torch.device) -> Minibatch:
        """The minibatch of runs at their steps, on a device."""

        def drawn(steps: Steps) -> Minibatch:
            batch = self._draw(steps)
            return batch.pinned() if device.type == "cuda" else batch

        batch = self._next[1].result() if self._next and self._next[0] == steps else drawn(steps)
        following = {run: step + 1 for run, step in steps.items()}
        thread = ThreadPoolExecutor(1, "minibatch")
        self._next = following, thread.submit(drawn, following)
        thread.shutdown(wait=False)  # it ends when it has drawn: no thread is left behind
        return batch.to(device)


def sample_latent(posteriors: Sequence[Posterior], draw: TrainingDraw) -> Float[Tensor, "channels height width"]:
    """z: a sample of the posterior of one of the pictures, mirrored or not, as the draw says."""
    posterior = posteriors[int(draw.flip * len(posteriors))]
    picture = int(draw.picture * len(posterior.mean))
    return posterior.mean[picture] + posterior.std[picture] * draw.posterior


def drawn_prompt(prompts: Sequence[Int[Tensor, "_ context"]], draw: TrainingDraw) -> Int[Tensor, " context"]:
    """One of the prompts of the picture that `sample_latent` takes; of all pictures, if there is one list for all."""
    own = prompts[int(draw.picture * len(prompts))]
    return own[int(draw.template * len(own))]


def chosen(weights: Sequence[Float[Tensor, "pictures 1 h w"]], draw: TrainingDraw) -> Float[Tensor, "1 h w"]:
    """The weights of the picture that `sample_latent` takes."""
    weight = weights[int(draw.flip * len(weights))]
    return weight[int(draw.picture * len(weight))]
