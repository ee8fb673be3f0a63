"""How a metric ranks drawings of the pocket world: the picture itself, a shifted copy, its kind, other kinds."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from mti.pocket.drawings import Drawings
from mti.pocket.stage import to_model

LEAST_SHIFT, MOST_SHIFT = 2, 4  # pixels
CHUNK = 200  # pictures looked at at once


class Ranked(NamedTuple):
    """Pictures in the order in which a metric must find them, each [count, 3, 64, 64] in [-1, 1]."""

    picture: Tensor
    shifted: Tensor  # by 2 to 4 pixels
    individual: Tensor  # another drawing of the kind
    other: Tensor  # a drawing of another kind


def ranked(split: Drawings, count: int, pool: int = 8_000) -> Ranked:
    """The first drawings of different individuals, each with its own random company from the first `pool`."""
    kinds = split.label("kind", slice(pool)).numpy()
    rng, everyone = np.random.default_rng(0), np.arange(pool)
    own = 2 * np.arange(count)
    same = [rng.choice(everyone[(kinds == kinds[i]) & (everyone // 2 != i // 2)]) for i in own]
    other = [rng.choice(everyone[kinds != kinds[i]]) for i in own]
    pictures, individual, stranger = (
        to_model(split.pictures(torch.from_numpy(np.asarray(chosen)))).cpu() for chosen in (own, same, other)
    )
    return Ranked(pictures, shifted(pictures, torch.Generator().manual_seed(0)), individual, stranger)


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
