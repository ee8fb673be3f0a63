"""The name of what is in the picture."""

from __future__ import annotations

from mti.initializers.described import Described, Source
from mti.types import Perception


class Class(Described):
    """The label that a classifier gives the picture, or the thing in it that was clicked; or the recorded one."""

    def __init__(self, classifier: Perception, source: Source = "model") -> None:
        super().__init__("class", classifier, source)
