"""Close: what a run leaves behind. Its summary is written last of all; with it the run is over."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from jaxtyping import Float
from PIL import Image
from torch import Tensor

from mti.choice import choose
from mti.concepts.identity import placeholder_of
from mti.errors import UserError
from mti.figures import comparison
from mti.loggers import Logger, RunLogger, run_config
from mti.outputs import Curve, RunFolder
from mti.schema import plain

if TYPE_CHECKING:
    from mti.plan import PlannedRun
    from mti.prepare import PreparedRun
    from mti.throughput import Throughput

log = logging.getLogger("mti")


class RunWriter:
    """Where a run's measurements and pictures go while it is trained: to its folder, and to the chosen logger."""

    def __init__(
        self, prepared: PreparedRun, protocol: Mapping[str, Any], step: int, throughput: Throughput | None = None
    ) -> None:
        self.prepared, self.protocol, self.throughput = prepared, protocol, throughput
        self.folder, self.logger = prepared.planned.folder, RunLogger()
        self.step = step  # updates done when its batch began
        self.looked_at: int | None = None  # the step at which it was evaluated, or found not due
        self._began = time.monotonic()
        self._updates, self._seconds, self._company = 0, 0.0, 0  # its share of the seconds; runs of the batches

    def open_logger(self, logger: Logger, step: int) -> None:
        """Open the chosen logger's run: grouped by experiment, the initializer as job type."""
        config, text = self.prepared.planned.config, self.prepared.text
        name, group, kind = config.title, config.experiment.name, config.init.name
        about = run_config(plain(config), text.text, self.prepared.token_names)
        self.logger = logger.open(self.folder.path, name, group, kind, about)
        if step == 0:
            for what, picture in self.prepared.concept.shown.items():
                self.logger.pictures(0, f"concept/{what}", [picture], [what])

    def begin(self, race: RunFolder) -> None:
        """Take up what the winner of the run's race was measured to be."""
        for name, curve in race.metrics().items():
            for step, value in curve.items():
                self.record(step, {name: value})

    def record(self, step: int, values: Mapping[str, float]) -> None:
        """Measured values, true after so many updates."""
        self.folder.record(step, values)
        self.logger.log(step, values)

    def updated(self, seconds: float, runs: int) -> None:
        """An update of a batch of so many runs was made in so many seconds."""
        self._updates += 1
        self._seconds += seconds / runs
        self._company += runs

    def save_state(self, step: int, tensors: Mapping[str, Tensor]) -> None:
        """All that training needs to go on after so many updates: what was measured before is not measured again."""
        self.logger.flush()
        self.folder.save_state(step, tensors)

    def keep_pictures(self, step: int, pictures: Sequence[Image.Image], prompts: Sequence[str]) -> None:
        """Sample pictures, and the prompts that they were drawn for."""
        self.folder.save_pictures(step, pictures)
        self.logger.pictures(step, "samples", pictures, prompts)

    def keep_personalization(self, step: int, pictures: Mapping[str, Sequence[Image.Image]]) -> None:
        """Pictures of the personalization prompts."""
        self.folder.save_personalization(step, pictures)
        shown = [(picture, prompt) for prompt, many in pictures.items() for picture in many]
        self.logger.pictures(step, "personalization", [one for one, _ in shown], [prompt for _, prompt in shown])

    def keep_tokens(self, step: int, embeddings: Float[Tensor, "num_vectors width"]) -> None:
        """The embeddings as they are after so many updates."""
        path = self.folder.write_tokens(embeddings, placeholder_of(self.prepared.concept.name), step)
        if self.logger.wants_tokens:
            self.logger.tokens(step, path)

    def close(self, embeddings: Float[Tensor, "num_vectors width"], stopped: bool = False) -> None:
        """Write tokens, the picture that shows the whole run, and the summary of a run that came to its end.

        Args:
            embeddings: the learned ones.
            stopped: by its rule, which the summary names, and not by `trainer.max_steps`.
        """
        self._leave(embeddings)
        config = self.prepared.planned.config
        rule = {"stopped": {"rule": plain(config)["stop"], "max_steps": config.trainer.max_steps}} if stopped else {}
        took = {"seconds": round(time.monotonic() - self._began, 1), "pace": self.pace()}
        summary = {"status": "finished", "steps": self.step, **rule, **took, **self._about()}
        self.folder.write_summary(summary)
        self.logger.finish(summary)

    def fail(self, embeddings: Float[Tensor, "num_vectors width"], reason: str) -> None:
        """The same for a run that ended before, as far as its folder takes it."""
        try:
            self._leave(embeddings)
        except UserError as error:
            log.error("%s: %s", self.prepared.planned.config.title, error)
        self.logger.finish(fail(self.prepared.planned, reason, self._about()))

    def _leave(self, embeddings: Tensor) -> None:
        planned, concept = self.prepared.planned, self.prepared.concept
        self.folder.flush()
        self.folder.write_tokens(embeddings, placeholder_of(concept.name))
        self.folder.save_input(concept.pictures[0])
        samples = {step: self.folder.pictures(step) for step in self.folder.sampled_steps() if step <= self.step}
        if samples:
            page = comparison(concept.pictures[0], samples, planned.config.title, self.prepared.text.text)
            self.folder.save_comparison(page)

    def pace(self) -> dict[str, Any]:
        """The seconds of perception, of one update (None if none was made), and of a race with the updates of it.

        With a throughput, also how busy the device was.
        """
        prepared, updates = self.prepared, self._updates
        pace = {
            "perception": round(prepared.perception, 4),
            "update": round(self._seconds / updates, 6) if updates else None,
            "runs_at_once": round(self._company / updates) if updates else None,
        }
        if self.throughput and updates:
            pace |= self.throughput.record(self._seconds / updates)
        if not prepared.raced:
            return pace
        return {**pace, "race": {"seconds": prepared.text.details["race"]["seconds"], "updates": prepared.raced}}

    def _about(self) -> dict[str, Any]:
        planned = self.prepared.planned
        curves = self.folder.metrics()
        curve = curves.get("eval/mse", {})
        return {
            **planned.identity,
            "text": self.prepared.text.text,
            "model": planned.config.model.get("name"),
            "learning_rate": planned.config.training.learning_rate,
            "eval/mse": list(curve.values())[-1] if curve else None,
            "protocol": self.protocol,
            **({"choice": self._chosen(curves)} if planned.criteria else {}),
        }

    def _chosen(self, curves: Mapping[str, Curve]) -> dict[str, Any]:
        """The step to take tokens from, which is told too; or why there is none."""
        planned = self.prepared.planned
        found = choose(curves, planned.criteria)
        if found["step"] is None:
            log.warning("%s: %s", planned.config.title, found["reason"])
        else:
            log.info("%s: take the tokens of step %d: %s", planned.config.title, found["step"], found["levels"])
        return found


def fail(run: PlannedRun, reason: str, about: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """End a run with a reason; the others go on. Its summary, as it is or would be written."""
    log.error("%s: %s", run.config.title, reason)
    summary = {"status": "failed", "reason": reason, **(about or run.identity)}
    try:
        run.folder.write_summary(summary)
    except UserError as error:
        log.error("%s: %s", run.config.title, error)
    return summary
