"""A run as the program sees it: its configuration, its folder, and what was found out about it."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from jaxtyping import Float
from omegaconf import DictConfig, OmegaConf
from PIL import Image
from torch import Tensor

from mti.figures import comparison
from mti.images import read_picture
from mti.loggers import Logger, RunLogger, run_config
from mti.outputs import RunFolder
from mti.types import Concept, InitialText

log = logging.getLogger("mti")


@dataclass(eq=False)
class Job:
    """One run, from plan to summary."""

    config: DictConfig
    folder: RunFolder
    concept: Concept
    start: int = 0  # updates that an earlier process did
    state: dict[str, Tensor] = field(default_factory=dict)  # of the rows and their optimizer, after `start`
    initial: InitialText | None = None
    line: RunLogger = field(default_factory=RunLogger)
    protocol: Mapping[str, Any] = field(default_factory=dict)  # of the evaluation, as it is kept with the scores

    @property
    def names(self) -> dict[str, str | int]:
        """What tells this run from the others of its experiment."""
        return {"image": self.concept.name, "init": self.config.init.name, "seed": self.config.seed}

    @property
    def title(self) -> str:
        """The names in a few words."""
        return f"{self.concept.name}, {self.config.init.name}, seed {self.config.seed}"

    @property
    def text(self) -> str:
        """The initial text; empty until it is known."""
        return self.initial.text if self.initial else ""

    def open_line(self, logger: Logger, tokens: Sequence[str]) -> None:
        """Open the chosen logger: grouped by experiment, the initializer as job type."""
        config: Any = OmegaConf.to_container(self.config, resolve=True)
        group, kind = self.config.experiment.name, self.config.init.name
        self.line = logger.open(self.folder.path, self.title, group, kind, run_config(config, self.text, tokens))

    def record(self, step: int, values: dict[str, float]) -> None:
        """Measured values, to metrics.csv and to the chosen logger."""
        self.folder.record(step, values)
        self.line.log(step, values)

    def keep_pictures(self, step: int, pictures: Sequence[Image.Image], prompts: Sequence[str]) -> None:
        """Sample pictures, to the run folder and to the chosen logger."""
        self.folder.save_pictures(step, pictures)
        self.line.pictures(step, "samples", pictures, prompts)

    def keep_personalization(self, step: int, pictures: Mapping[str, Sequence[Image.Image]]) -> None:
        """Pictures of the personalization prompts, to the run folder and to the chosen logger."""
        self.folder.save_personalization(step, pictures)
        shown = [(picture, prompt) for prompt, many in pictures.items() for picture in many]
        self.line.pictures(step, "personalization", [one for one, _ in shown], [prompt for _, prompt in shown])

    def close(
        self, embeddings: Float[Tensor, "num_vectors width"], steps: int, seconds: float, failure: str | None
    ) -> None:
        """Write what a trained run leaves behind: tokens, the picture that shows it, and last its summary."""
        self.folder.flush()
        self.folder.write_tokens(embeddings, f"<{self.concept.name}>")
        picture = read_picture(self.concept.pictures[0])
        self.folder.save_input(picture)
        samples = {step: self.folder.pictures(step) for step in self.folder.sampled_steps() if step <= steps}
        if samples:
            self.folder.save_comparison(comparison(picture, samples, self.title, self.text))
        if failure:
            self.fail(failure)
        else:
            self._summarise({"status": "finished", "steps": steps, "seconds": round(seconds, 1)})

    def fail(self, reason: str) -> None:
        """End the run with a reason; the others go on."""
        log.error("%s: %s", self.title, reason)
        self._summarise({"status": "failed", "reason": reason})

    def _summarise(self, end: dict[str, Any]) -> None:
        curve = self.folder.metrics().get("eval/mse", {})
        about = {
            "text": self.text,
            "model": self.config.model.name,
            "learning_rate": self.config.training.learning_rate,
            "eval/mse": list(curve.values())[-1] if curve else None,
            "protocol": self.protocol,
        }
        summary = {**end, **self.names, **about}
        self.folder.write_summary(summary)
        self.line.finish(summary)
        # an ended run keeps nothing in memory but its name
        self.folder, self.state, self.line = RunFolder(self.folder.path), {}, RunLogger()

    def closing_row(self) -> dict[str, Any]:
        """The run's line in the table that ends a session."""
        summary = self.folder.summary() or {"status": "unfinished"}
        curve = list(self.folder.metrics().get("eval/mse", {}).values())
        ends = {"first": curve[0], "final": curve[-1]} if curve else {}
        return {"folder": str(self.folder.path), "text": self.text, **self.names, **summary, **ends}
