"""Directional textual inversion: only the rows' directions are learned."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import torch
import torch.nn.functional as F
from torch import Tensor

from mti.ranges import AtLeast
from mti.rows import Group, Stepping, Vocabulary, set_norms


class Directional:
    """Riemannian steps on the sphere, with a von Mises–Fisher prior: Directional Textual Inversion, arXiv:2512.13672.

    A row is n·v: n is the mean norm of the vocabulary's rows, v a unit vector. With g the gradient for v, a step is

        g ← g − κ v₀,  g ← g − ⟨g, v⟩ v,  v ← v − η g / (‖g‖ + 1e-8),  v ← v / ‖v‖

    v₀ is the direction of the initial row, η the learning rate. A row of two text encoders is two such vectors. The
    first step changes the norm of the initial rows too; weight decay has no meaning here, and does nothing.

    Args:
        kappa: κ, the prior's concentration.
    """

    keeps_norms = True

    def __init__(self, kappa: Annotated[float, AtLeast(0)] = 1e-4) -> None:
        self.kappa = kappa

    def __call__(self, groups: Sequence[Group], vocabulary: Vocabulary) -> torch.optim.Optimizer:
        """One torch optimizer for the rows of all runs."""
        norms = vocabulary.norms(torch.mean)
        return _Directional([dict(group) for group in groups], list(vocabulary.widths), norms, self.kappa)


class _Directional(Stepping):
    def __init__(self, groups: list[dict], widths: list[int], norms: Sequence[float], kappa: float) -> None:
        super().__init__(groups, {})
        self._widths, self._norms, self._kappa = widths, norms, kappa

    @torch.no_grad()
    def update(self) -> None:
        for group in self.param_groups:
            for rows in group["params"]:
                if rows.grad is not None:
                    self._turn(rows, rows.grad, group["lr"])

    def _turn(self, rows: Tensor, gradient: Tensor, rate: float) -> None:
        state = self.state[rows]
        if "prior" not in state:
            state["prior"] = rows.detach().clone()
            set_norms(state["prior"], self._widths, [1.0] * len(self._widths))
        for row, slope, prior, norm in zip(
            *(tensor.split(self._widths, dim=1) for tensor in (rows, gradient, state["prior"])),
            self._norms,
            strict=True,
        ):
            unit = F.normalize(row, dim=1)
            slope = norm * slope - self._kappa * prior
            slope = slope - (slope * unit).sum(dim=1, keepdim=True) * unit
            unit = unit - rate * slope / (slope.norm(dim=1, keepdim=True) + 1e-8)
            row.copy_(norm * F.normalize(unit, dim=1))
