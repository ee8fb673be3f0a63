"""AdamW, after whose steps rows are as long as the vocabulary's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from mti.optimizers.adamw import AdamW
from mti.rows import Group, Vocabulary, set_norms


class KeepNorm(AdamW):
    """After each step of AdamW every row gets the median norm of the vocabulary's rows.

    Learned rows reach many times the vocabulary's norm, and drown the words beside them. The idea is that of
    OneTrainer's `preserve_embedding_norm`. The first step changes the norm of the initial rows too.
    """

    def __call__(self, groups: Sequence[Group], vocabulary: Vocabulary) -> torch.optim.Optimizer:
        """One torch optimizer for the rows of all runs."""
        settings = {"betas": self.betas, "eps": self.epsilon}
        return _KeepNorm([dict(group) for group in groups], vocabulary.widths, vocabulary.norms(torch.median), settings)


class _KeepNorm(torch.optim.AdamW):
    def __init__(self, groups: list[dict], widths: Sequence[int], norms: Sequence[float], settings: Any) -> None:
        super().__init__(groups, **settings)
        self._widths, self._norms = widths, norms

    def step(self, closure: Any = None) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        loss = super().step(closure)
        for group in self.param_groups:
            for rows in group["params"]:
                if rows.grad is not None:
                    set_norms(rows, self._widths, self._norms)
        return loss
