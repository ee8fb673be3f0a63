"""A sentence about what is in the picture."""

from __future__ import annotations

from mti.initializers.perceived import Perceived
from mti.types import Perception


class Caption(Perceived):
    """What a captioner says of the picture, or the recorded caption."""

    def __init__(self, captioner: Perception, source: str = "model", name: str = "caption") -> None:
        super().__init__(name, "caption", captioner, source)
