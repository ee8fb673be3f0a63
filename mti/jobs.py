"""A run as the program sees it: its configuration, its folder, and what was found out about it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from omegaconf import DictConfig
from PIL import Image
from torch import Tensor

from mti.loggers import RunLogger
from mti.outputs import RunFolder
from mti.types import Concept, InitialText


@dataclass
class Job:
    """One run: planned from its configuration, then perceived, trained and written."""

    config: DictConfig
    folder: RunFolder
    concept: Concept
    start: int = 0  # updates that an earlier process did
    state: dict[str, Tensor] = field(default_factory=dict)  # of the rows and their optimizer, after `start`
    initial: InitialText = InitialText("", "", "")
    token_ids: list[int] = field(default_factory=list)
    log: RunLogger | None = None

    @property
    def names(self) -> dict[str, str | int]:
        """What tells this run from the others of its experiment."""
        return {"image": self.concept.name, "init": self.config.init.name, "seed": self.config.seed}

    def record(self, step: int, values: dict[str, float]) -> None:
        """Measured values, to metrics.csv and to the chosen logger."""
        self.folder.record(step, values)
        if self.log:
            self.log.log(step, values)

    def keep_pictures(self, step: int, pictures: Sequence[Image.Image]) -> None:
        """Sample pictures, to the run folder and to the chosen logger."""
        self.folder.save_pictures(step, list(pictures))
        if self.log:
            self.log.pictures(step, {"samples": list(pictures)})
