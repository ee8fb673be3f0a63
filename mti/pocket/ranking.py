"""How a metric ranks drawings of the pocket world: the picture itself, a shifted copy, its kind, other kinds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from mti.pocket import drawings
from mti.pocket.stage import to_model

LEAST_SHIFT, MOST_SHIFT = 2, 4  # pixels
CHUNK = 200  # pictures looked at at once


class Ranked(NamedTuple):
    """Pictures in the order in which a metric must find them, each [count, 3, 64, 64] in [-1, 1]."""

    picture: Tensor
    shifted: Tensor  # by 2 to 4 pixels
    individual: Tensor  # another drawing of the kind
    other: Tensor  # a drawing of another kind


def ranked(split: str, count: int, work: Path, pool: int = 4_000) -> Ranked:
    """The first drawings of a split, each with its own random company from the first `pool`."""
    pictures = drawings.pictures(split, work)
    kinds = np.array([drawings.scene(split, index).kind for index in range(pool)])
    rng, everyone = np.random.default_rng(0), np.arange(pool)
    same = [rng.choice(everyone[(kinds == kinds[i]) & (everyone != i)]) for i in range(count)]
    other = [rng.choice(everyone[kinds != kinds[i]]) for i in range(count)]
    own, individual, stranger = (
        to_model(torch.from_numpy(pictures[chosen])).cpu() for chosen in (np.arange(count), same, other)
    )
    return Ranked(own, shifted(own, torch.Generator().manual_seed(0)), individual, stranger)


def shifted(pictures: Tensor, generator: torch.Generator) -> Tensor:
    """Copies moved by 2 to 4 pixels in one direction of the two and by at most as many in the other.

    The border's pixels are repeated where nothing comes after.
    """
    padded = F.pad(pictures, (MOST_SHIFT,) * 4, mode="replicate")
    height, width = pictures.shape[-2:]
    copies = []
    for picture in padded:
        far = int(torch.randint(LEAST_SHIFT, MOST_SHIFT + 1, (), generator=generator))
        near = int(torch.randint(-far, far + 1, (), generator=generator))
        sign, swap = torch.randint(2, (2,), generator=generator).tolist()
        x, y = (far * (2 * sign - 1), near) if swap else (near, far * (2 * sign - 1))
        copies.append(picture[:, MOST_SHIFT + y : MOST_SHIFT + y + height, MOST_SHIFT + x : MOST_SHIFT + x + width])
    return torch.stack(copies)


def measure(distances: Callable[[Tensor, Tensor], dict[str, Tensor]], pictures: Ranked) -> dict[str, dict[str, float]]:
    """For each distance by its name: the share of pictures that it ranks in the right order, and its means.

    `distances` compares two batches, picture by picture. "ranked" is the share of pictures for which all
    is right: itself < shifted < individual < other.
    """
    found = [compared(distances, pictures.picture, second) for second in pictures]
    return {name: _shares(*(own[name] for own in found)) for name in found[0]}


def compared(
    distances: Callable[[Tensor, Tensor], dict[str, Tensor]], first: Tensor, second: Tensor
) -> dict[str, Tensor]:
    """What `distances` finds between two batches of any size, of which it sees `CHUNK` pictures at once."""
    parts = [distances(*pair) for pair in zip(first.split(CHUNK), second.split(CHUNK), strict=True)]
    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}


def _shares(itself: Tensor, shifted: Tensor, individual: Tensor, other: Tensor) -> dict[str, float]:
    steps = {
        "itself<shifted": itself < shifted,
        "shifted<individual": shifted < individual,
        "individual<other": individual < other,
    }
    right = torch.stack(list(steps.values())).all(0)
    shares = {name: round(step.float().mean().item(), 4) for name, step in {"ranked": right, **steps}.items()}
    means = {"itself": itself, "shifted": shifted, "individual": individual, "other": other}
    return {**shares, **{name: round(own.mean().item(), 5) for name, own in means.items()}}
