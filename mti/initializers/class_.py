"""The name of what is in the picture."""

from __future__ import annotations

from mti.initializers.perceived import Perceived
from mti.types import Perception


class Class(Perceived):
    """The label that a classifier gives the picture, or the recorded one."""

    def __init__(self, classifier: Perception, source: str = "model", name: str = "class") -> None:
        super().__init__(name, "class", classifier, source)
