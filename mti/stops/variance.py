"""DVAR: the loss has settled."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from typing import Annotated

from mti.ranges import Above, AtLeast
from mti.stops.rule import Windowed


class Variance(Windowed):
    """Var(losses of the window) / Var(all losses) < `below`.

    Voronov et al. 2023, "Is This Loss Informative? Faster Text-to-Image Customization by Tracking Objective
    Dynamics", arXiv:2302.04841: DVAR. The losses are deterministic, measured on the same noise each time.
    """

    def __init__(
        self,
        every: Annotated[int, AtLeast(1)] = 5,
        window: Annotated[int, AtLeast(2)] = 50,
        below: Annotated[float, Above(0)] = 0.15,
    ) -> None:
        super().__init__(every, window, below)

    def __call__(self, losses: Mapping[int, float]) -> bool:
        """Whether to stop."""
        before, within = self.split(losses)
        if not before:
            return False
        whole = statistics.pvariance([*before, *within])
        return whole == 0 or statistics.pvariance(within) / whole < self.below
