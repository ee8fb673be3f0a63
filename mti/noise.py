"""All randomness of an experiment, as pure functions of names and numbers.

A training sample's draws depend on `(seed, image, step, sample)` alone: not on the initializer, on the
other runs of the batch, or on what ran before. So initializers are compared under common random
numbers, a run gives the same curve alone and in company, and resuming needs no generator state.
(The idea of one generator per batch row is that of NVlabs/edm, generate.py.)
"""

from __future__ import annotations

import functools
import hashlib
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

LatentShape = tuple[int, int, int]


class TrainingDraw(NamedTuple):
    """What chance decides about one training sample. The floats are uniform in [0, 1)."""

    timestep: float
    template: float
    picture: float
    flip: float
    posterior: Float[Tensor, "channels height width"]  # standard normal: the latent's place in its posterior
    noise: Float[Tensor, "channels height width"]  # ε, standard normal


def generator(*key: str | int) -> torch.Generator:
    """A CPU generator that owes its state to the key alone."""
    digest = hashlib.blake2b(repr(key).encode(), digest_size=8).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest, "big") >> 1)


@functools.lru_cache(maxsize=512)
def training_draw(seed: int, image: str, step: int, sample: int, shape: LatentShape) -> TrainingDraw:
    """The draws of sample `sample` of the batch at `step`."""
    source = generator("training", seed, image, step, sample)
    timestep, template, picture, flip = torch.rand(4, generator=source, dtype=torch.float64).tolist()
    posterior, noise = torch.randn(2, *shape, generator=source)
    return TrainingDraw(timestep, template, picture, flip, posterior, noise)


def stratified(seed: int, image: str, step: int, sample: int, batch: int, timestep: float) -> float:
    """A sample's timestep in [0, 1), such that each of `batch` equal shares of them has one sample of the batch.

    `timestep` is where in its share it lies; which share is whose is drawn anew at each step.
    """
    return (_shares(seed, image, step, batch)[sample] + timestep) / batch


@functools.lru_cache(maxsize=512)
def _shares(seed: int, image: str, step: int, batch: int) -> list[int]:
    return torch.randperm(batch, generator=generator("shares", seed, image, step)).tolist()


def evaluation_grid(
    image: str, samples: int, timesteps: int, shape: LatentShape
) -> tuple[Int[Tensor, " samples"], Float[Tensor, "samples channels height width"]]:
    """The fixed (t, ε) of the evaluation loss: the midpoints of equal shares of the timesteps, the same for
    every run of a picture."""
    times = ((torch.arange(samples) + 0.5) * timesteps / samples).long()
    return times, torch.randn(samples, *shape, generator=generator("evaluation", image))


def initial_latents(
    seed: int, image: str, pictures: int, shape: LatentShape
) -> Float[Tensor, "pictures channels height width"]:
    """The noise that sample pictures start from; picture i starts from the same noise however many there are."""
    return torch.stack([torch.randn(*shape, generator=generator("picture", seed, image, i)) for i in range(pictures)])
