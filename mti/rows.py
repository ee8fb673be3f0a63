"""What an optimizer of rows must offer, and what it may know of the vocabulary that the rows live beside."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol, overload, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

Group = Mapping[str, Any]
"""A run's parameter group, as torch's optimizers take it: params, lr, weight_decay; and its `training` settings."""


@dataclass(frozen=True)
class Vocabulary:
    """The frozen embedding table, and the widths of the text encoders whose rows lie side by side in it."""

    table: Float[Tensor, "vocabulary width"]
    widths: Sequence[int]

    def norms(self, reduce: Callable[[Tensor], Tensor]) -> list[float]:
        """One number for each encoder: of the norms of its rows, such as `torch.median` or `torch.mean`."""
        return [float(reduce(part.float().norm(dim=1))) for part in self.table.split(list(self.widths), dim=1)]

    @cached_property
    def medians(self) -> list[float]:
        """The median norm of each encoder's rows; kept, since it takes seconds at SDXL's size."""
        return self.norms(torch.median)


@runtime_checkable
class RowOptimizer(Protocol):
    """Makes the torch optimizer that steps the rows of all runs that chose it.

    A class with `keeps_norms = True` gives rows a norm, which an average of them would not have.
    """

    def __call__(self, groups: Sequence[Group], vocabulary: Vocabulary) -> torch.optim.Optimizer:
        """The optimizer of these groups, one for each run.

        Its state for a run's rows must be tensors, and all that a resumed run needs to go on bit by bit. No run's
        step may depend on another's.
        """
        ...


class Stepping(torch.optim.Optimizer):
    """A torch optimizer of which only the update is to be said."""

    @abstractmethod
    def update(self) -> None:
        """Move all rows that have a gradient."""

    @overload
    def step(self, closure: None = None) -> None: ...
    @overload
    def step(self, closure: Callable[[], float]) -> float: ...
    def step(self, closure: Any = None) -> Any:
        """Evaluate the closure, if there is one, then update."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        self.update()
        return loss


class Together(Stepping):
    """Several optimizers as one: each steps its own groups. Groups and state are those of its parts."""

    def __init__(self, parts: Sequence[torch.optim.Optimizer]) -> None:
        super().__init__([group for part in parts for group in part.param_groups], {})
        self.parts = list(parts)
        for part in parts:
            part.state = self.state

    def update(self) -> None:
        """Step all parts."""
        for part in self.parts:
            part.step()


@torch.no_grad()
def set_norms(rows: Tensor, widths: Sequence[int], norms: Iterable[float]) -> None:
    """Give each row, in place, the norm of each encoder's share of it; a share of zeros stays as it is."""
    for part, norm in zip(rows.split(list(widths), dim=1), norms, strict=True):
        own = part.norm(dim=1, keepdim=True)
        part.mul_(torch.where(own > 0, norm / own, 1.0))


def relative_norms(rows: Float[Tensor, "num_vectors width"], vocabulary: Vocabulary) -> Float[Tensor, " num_vectors"]:
    """Each row's norm over the median norm of the vocabulary's rows; of several encoders the mean of theirs."""
    parts = rows.detach().float().cpu().split(list(vocabulary.widths), dim=1)
    return torch.stack([part.norm(dim=1) / norm for part, norm in zip(parts, vocabulary.medians, strict=True)]).mean(0)
