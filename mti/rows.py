"""What an optimizer of rows must offer, and what it may know of the vocabulary that the rows live beside."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

Group = Mapping[str, Any]
"""A run's parameter group, as torch's optimizers take it: params, lr, weight_decay."""


@dataclass(frozen=True)
class Vocabulary:
    """The frozen embedding table, and the widths of the text encoders whose rows lie side by side in it."""

    table: Float[Tensor, "vocabulary width"]
    widths: Sequence[int]

    def norms(self, reduce: Callable[[Tensor], Tensor]) -> list[float]:
        """One number for each encoder: of the norms of its rows, such as `torch.median` or `torch.mean`."""
        return [float(reduce(part.float().norm(dim=1))) for part in self.table.split(list(self.widths), dim=1)]


@runtime_checkable
class RowOptimizer(Protocol):
    """Makes the torch optimizer that steps the rows of all runs that chose it."""

    def __call__(self, groups: Sequence[Group], vocabulary: Vocabulary) -> torch.optim.Optimizer:
        """The optimizer of these groups, one for each run.

        Its state for a run's rows must be tensors, and all that a resumed run needs to go on bit by bit. No run's
        step may depend on another's.
        """
        ...


class Together(torch.optim.Optimizer):
    """Several optimizers as one: each steps its own groups. Groups and state are those of its parts."""

    def __init__(self, parts: Sequence[torch.optim.Optimizer]) -> None:
        super().__init__([group for part in parts for group in part.param_groups], {})
        self.parts = list(parts)
        for part in parts:
            part.state = self.state

    def step(self, closure: Any = None) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Evaluate the closure once, then step all parts."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for part in self.parts:
            part.step()
        return loss


@torch.no_grad()
def set_norms(rows: Tensor, widths: Sequence[int], norms: Iterable[float]) -> None:
    """Give each row, in place, the norm of each encoder's share of it; a share of zeros stays as it is."""
    for part, norm in zip(rows.split(list(widths), dim=1), norms, strict=True):
        own = part.norm(dim=1, keepdim=True)
        part.mul_(torch.where(own > 0, norm / own, 1.0))


def relative_norms(
    rows: Float[Tensor, "num_vectors width"], widths: Sequence[int], norms: Sequence[float]
) -> Float[Tensor, " num_vectors"]:
    """Each row's norm over a given one; of several encoders the mean of theirs."""
    parts = rows.detach().float().cpu().split(list(widths), dim=1)
    return torch.stack([part.norm(dim=1) / norm for part, norm in zip(parts, norms, strict=True)]).mean(dim=0)
