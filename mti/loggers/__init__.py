"""Where the measured values go besides metrics.csv: nowhere, to Weights & Biases, or to TensorBoard.

`logger=` names one of `Csv`, `Wandb` and `TensorBoard`; each opens a run logger per run. A service that fails is
spoken of once and left alone from then on: training goes on and nothing is lost, since the run folder has it all.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from PIL import Image
from typing_extensions import override

log = logging.getLogger(__name__)

CHOICES = (
    *("image", "click", "outside", "box", "crop", "seed", "init", "model"),
    *("training", "trainer", "evaluation", "personalization"),
)
"""The sections of the configuration that are a run's own choices."""

PATIENCE = 30  # seconds that values are held back


class RunLogger:
    """Takes what a run measures to a service. This one takes it nowhere; steps are updates, as in metrics.csv."""

    wants_tokens: bool = False
    """Whether `tokens` is to be called while training."""

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """What was measured at a step; several calls may be about the same step."""

    def pictures(self, step: int, name: str, pictures: Sequence[Image.Image], captions: Sequence[str]) -> None:
        """Pictures of one size under one name, each with its caption, such as samples with their prompts."""

    def tokens(self, step: int, path: Path) -> None:
        """The learned tokens after so many updates, in a file that is not written again."""

    def flush(self) -> None:
        """Hand on what was held back: what comes next may be lost, and what was measured before must not."""

    def finish(self, summary: Mapping[str, Any]) -> None:
        """Close the run with what summary.json says."""


@runtime_checkable
class Logger(Protocol):
    """A service as the configuration names it. Costs nothing until the first run is opened."""

    def open(self, folder: Path, name: str, group: str, job_type: str, config: Mapping[str, Any]) -> RunLogger:
        """The logger of the run in that folder, going on where an earlier one ended. Never fails."""
        ...


class Csv:
    """No service: metrics.csv has everything."""

    def open(self, folder: Path, name: str, group: str, job_type: str, config: Mapping[str, Any]) -> RunLogger:
        """The run logger that takes everything nowhere."""
        return RunLogger()


class FaultTolerantLogger(RunLogger):
    """Hands everything on to a service's run logger until that fails; says so in one line and stops.

    Values are held back for up to `PATIENCE` seconds. W&B and TensorBoard speak in protocol buffers, and with each of
    them protobuf returns all of the process's free memory to the system (`malloc_trim`), which the next update has to
    ask for again. With 144 runs whose losses are logged at each update, that took more than half of the time.
    """

    def __init__(self, service: str, run: RunLogger) -> None:
        self._service, self._run = service, run
        self._held: dict[int, dict[str, float]] = {}
        self._handed_on = time.monotonic()
        self.wants_tokens = run.wants_tokens

    @override
    def log(self, step: int, values: Mapping[str, float]) -> None:
        self._held.setdefault(step, {}).update(values)
        if time.monotonic() - self._handed_on >= PATIENCE:
            self.flush()

    @override
    def pictures(self, step: int, name: str, pictures: Sequence[Image.Image], captions: Sequence[str]) -> None:
        self.flush()
        self._hand_on("pictures", step, name, pictures, captions)

    @override
    def tokens(self, step: int, path: Path) -> None:
        self.flush()
        self._hand_on("tokens", step, path)

    @override
    def flush(self) -> None:
        held, self._held, self._handed_on = self._held, {}, time.monotonic()
        for step, values in held.items():
            self._hand_on("log", step, values)

    @override
    def finish(self, summary: Mapping[str, Any]) -> None:
        self.flush()
        self._hand_on("finish", summary)

    def _hand_on(self, method: str, *arguments: Any) -> None:
        try:
            getattr(self._run, method)(*arguments)
        except Exception as error:  # of as many families as there are services
            log.warning("%s failed (%s): this run goes on without it", self._service, brief(error))
            self._run, self.wants_tokens = RunLogger(), False


def fault_tolerant(service: str, name: str, open_run: Callable[[], RunLogger]) -> RunLogger:
    """The run logger that a service opens for the run of that name; one that leads nowhere if it cannot."""
    try:
        return FaultTolerantLogger(service, open_run())
    except Exception as error:  # of as many families as there are services
        log.warning("%s failed (%s): %s goes on without it", service, brief(error), name)
        return RunLogger()


def run_config(config: Mapping[str, Any], text: str, tokens: Sequence[str]) -> dict[str, Any]:
    """What a service is told of a run from the start: its own choices, the initial text and the names of its tokens.

    `config` is the resolved configuration. Metrics are told by name; where files lie, what could have been chosen
    instead, and the data set's other pictures are not told.
    """
    own = {name: config[name] for name in CHOICES if name in config}
    return {**own, "metrics": list(config.get("metrics") or ()), "initial_text": text, "initial_tokens": list(tokens)}


def brief(error: Exception) -> str:
    """An error in one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"
