"""Where the measured values go besides metrics.csv: nowhere, to Weights & Biases, or to TensorBoard.

`logger=` names one of `Csv`, `Wandb` and `TensorBoard`; each opens a line to its service per run. A service
that fails is spoken of once and left alone from then on: training goes on and nothing is lost, since the run
folder has it all.
"""

from __future__ import annotations

import importlib.util
import logging
import os
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
from PIL import Image
from typing_extensions import override

from mti.types import UserError

if TYPE_CHECKING:
    import wandb

Values = Mapping[str, float]
Pictures = Mapping[str, Sequence[Image.Image]]

say = logging.getLogger(__name__)


class RunLogger:
    """A run's line to a service. This one leads nowhere; steps are counted in updates, as in metrics.csv."""

    def log(self, step: int, values: Values) -> None:
        """Hand on what was measured at a step; several calls may tell of the same step."""

    def pictures(self, step: int, pictures: Pictures) -> None:
        """Hand on what the model draws after so many updates, by name."""

    def finish(self, summary: Mapping[str, Any]) -> None:
        """Close the line with what summary.json says."""


@runtime_checkable
class Logger(Protocol):
    """A service as the configuration names it. Costs nothing until the first run is opened."""

    def open(self, folder: Path, name: str, group: str, job_type: str, config: Mapping[str, Any]) -> RunLogger:
        """A line for the run of that folder, going on where an earlier one ended. Never fails."""
        ...


class Csv:
    """No service: metrics.csv has everything."""

    def open(self, folder: Path, name: str, group: str, job_type: str, config: Mapping[str, Any]) -> RunLogger:
        """The line that leads nowhere."""
        return RunLogger()


class FaultTolerantLogger(RunLogger):
    """Hands everything on until the service fails; says so in one line and hands on nothing more."""

    def __init__(self, service: str, line: RunLogger) -> None:
        self._service, self._line = service, line

    @override
    def log(self, step: int, values: Values) -> None:
        self._hand_on("log", step, values)

    @override
    def pictures(self, step: int, pictures: Pictures) -> None:
        self._hand_on("pictures", step, pictures)

    @override
    def finish(self, summary: Mapping[str, Any]) -> None:
        self._hand_on("finish", summary)

    def _hand_on(self, what: str, *news: Any) -> None:
        try:
            getattr(self._line, what)(*news)
        except Exception as error:
            say.warning("%s failed (%s): this run goes on without it", self._service, _brief(error))
            self._line = RunLogger()


# ---------------------------------------------------------------------------------------- Weights & Biases


class Wandb:
    """A W&B run per run: group is the experiment, job type the initializer.

    Args:
        project: the W&B project.
        mode: "online", "offline", or "auto": online where an account is configured (or as `WANDB_MODE` says).
        timeout: seconds to wait for the server at a run's begin and end, before going on without it.
        tags: of every run.
    """

    def __init__(
        self,
        project: str = "mti",
        mode: str = "auto",
        timeout: int = 20,
        tags: Sequence[str] = (),
    ) -> None:
        if mode not in ("auto", "online", "offline"):
            raise UserError(f"logger.mode is {mode!r}: expected auto, online or offline")
        self._project, self._wanted, self._timeout, self._tags = project, mode, timeout, tuple(tags)
        self._mode: str | None = None  # decided when the first run is opened

    def open(self, folder: Path, name: str, group: str, job_type: str, config: Mapping[str, Any]) -> RunLogger:
        """A W&B run that keeps its files in `folder/wandb`; offline if the server cannot be had."""
        about = {"dir": folder, "name": name, "group": group, "job_type": job_type, "config": dict(config)}
        try:
            self._mode = self._mode or self._decide()
            return FaultTolerantLogger("W&B", WandbRun(self._init(about, _last_id(folder))))
        except Exception as error:
            say.warning("W&B failed (%s): %s goes on without it", _brief(error), name)
            return RunLogger()

    def _decide(self) -> str:
        """The mode that will work, asking the server once whether it takes the account."""
        import wandb

        mode = os.environ.get("WANDB_MODE", "online") if self._wanted == "auto" else self._wanted
        if mode != "online":
            return mode
        wandb.setup(settings=wandb.Settings(silent=True))
        try:
            account = wandb.login(prompt=False, verify=True)
        except Exception as error:
            return self._offline(_brief(error))
        if account or self._wanted == "auto":
            return "online" if account else "offline"
        return self._offline("no account is configured: run `wandb login`")

    def _init(self, about: dict[str, Any], run_id: str | None) -> wandb.Run:
        import wandb

        settings = wandb.Settings(
            silent=True,
            console="off",
            init_timeout=self._timeout,
            finish_timeout=self._timeout,
            finish_timeout_raises=True,
        )
        try:
            return wandb.init(
                project=self._project,
                tags=self._tags,
                id=run_id,
                resume="allow",
                reinit="create_new",
                mode=self._mode,  # pyright: ignore[reportArgumentType]
                settings=settings,
                **about,
            )
        except Exception as error:
            if self._mode == "offline":
                raise
            self._mode = self._offline(_brief(error))
            return self._init(about, None)  # W&B holds on to the id that could not be opened

    def _offline(self, why: str) -> str:
        say.warning("W&B cannot be used online (%s): runs are kept offline, `wandb sync` uploads them later", why)
        return "offline"


class WandbRun(RunLogger):
    """A line to one W&B run. Every curve is drawn over `step`, so that those of several runs overlay."""

    def __init__(self, run: wandb.Run) -> None:
        self._run = run
        run.define_metric("step", hidden=True)
        run.define_metric("*", step_metric="step")

    @override
    def log(self, step: int, values: Values) -> None:
        self._run.log({"step": step, **values})

    @override
    def pictures(self, step: int, pictures: Pictures) -> None:
        import wandb

        self._run.log({"step": step} | {name: [wandb.Image(one) for one in many] for name, many in pictures.items()})

    @override
    def finish(self, summary: Mapping[str, Any]) -> None:
        self._run.summary.update(dict(summary))
        if self._run.settings.mode == "online":
            threading.Thread(target=self._upload_rest, args=(summary,)).start()  # the next run need not wait
        else:
            self._run.finish(_exit_code(summary))

    def _upload_rest(self, summary: Mapping[str, Any]) -> None:
        try:
            self._run.finish(_exit_code(summary))
        except Exception as error:
            kept = Path(self._run.dir).parent
            say.warning("W&B has not got all of %s (%s): `wandb sync %s` sends it", self._run.name, _brief(error), kept)


def _last_id(folder: Path) -> str | None:
    """The id of the folder's last W&B run, kept by W&B as `wandb/[offline-]run-<time>-<id>/run-<id>.wandb`."""
    kept = sorted(folder.glob("wandb/*run-*/run-*.wandb"), key=lambda path: path.stat().st_mtime)
    return kept[-1].stem.removeprefix("run-") if kept else None


def _exit_code(summary: Mapping[str, Any]) -> int:
    return 0 if summary.get("status") == "finished" else 1


def _brief(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"


# --------------------------------------------------------------------------------------------- TensorBoard


class TensorBoard:
    """Event files in `tensorboard/` of every run folder: `tensorboard --logdir outputs/<experiment>`."""

    def __init__(self) -> None:
        if importlib.util.find_spec("tensorboard") is None:
            raise UserError("logger=tensorboard needs the package tensorboard: pip install 'mti[tensorboard]'")

    def open(self, folder: Path, name: str, group: str, job_type: str, config: Mapping[str, Any]) -> RunLogger:
        """An event file for the run of that folder."""
        try:
            return FaultTolerantLogger("TensorBoard", TensorBoardRun(folder / "tensorboard", config))
        except Exception as error:
            say.warning("TensorBoard failed (%s): %s goes on without it", _brief(error), name)
            return RunLogger()


class TensorBoardRun(RunLogger):
    """A line to one event file."""

    def __init__(self, folder: Path, config: Mapping[str, Any]) -> None:
        from torch.utils.tensorboard.writer import SummaryWriter

        self._writer = SummaryWriter(str(folder))
        self._writer.add_text("config", "\n".join(f"    {name}: {value}" for name, value in config.items()), 0)

    @override
    def log(self, step: int, values: Values) -> None:
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    @override
    def pictures(self, step: int, pictures: Pictures) -> None:
        for name, many in pictures.items():
            batch = np.stack([np.asarray(one.convert("RGB")) for one in many])
            self._writer.add_images(name, batch, step, dataformats="NHWC")

    @override
    def finish(self, summary: Mapping[str, Any]) -> None:
        self._writer.add_text("summary", "\n".join(f"    {name}: {value}" for name, value in summary.items()))
        self._writer.close()
