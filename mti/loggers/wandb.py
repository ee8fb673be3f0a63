"""Weights & Biases: a W&B run per run, its curves over the step."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from PIL import Image
from typing_extensions import override

from mti.loggers import RunLogger, brief, fault_tolerant
from mti.ranges import INCIDENTAL, AtLeast

if TYPE_CHECKING:
    import wandb

log = logging.getLogger(__name__)


class Wandb:
    """A W&B run per run: group is the experiment, job type the initializer.

    Args:
        project: the W&B project.
        mode: "online", "offline", or "auto": online where an account is configured (or as `WANDB_MODE` says).
        timeout: seconds to wait for the server at a run's begin and end, before going on without it.
        tags: of every run.
        tokens: whether the learned tokens are kept as artifacts while training.
    """

    def __init__(
        self,
        project: str = "mti",
        mode: Literal["auto", "online", "offline"] = "auto",
        timeout: Annotated[int, AtLeast(1), INCIDENTAL] = 20,
        tags: Sequence[str] = (),
        tokens: bool = False,
    ) -> None:
        self._project, self._wanted, self._timeout, self._tags = project, mode, timeout, tuple(tags)
        self._tokens = tokens
        self._mode: str | None = None  # decided when the first run is opened

    def open(self, folder: Path, name: str, group: str, job_type: str, config: Mapping[str, Any]) -> RunLogger:
        """A W&B run that keeps its files in `folder/wandb`; offline if the server cannot be had."""
        about = {"dir": folder, "name": name, "group": group, "job_type": job_type, "config": dict(config)}
        return fault_tolerant("W&B", name, lambda: self._open(about))

    def _open(self, about: dict[str, Any]) -> WandbRun:
        self._mode = self._mode or self._decide()
        return WandbRun(self._init(about, _last_id(about["dir"])), self._tokens)

    def _decide(self) -> str:
        """The mode that will work, asking the server once whether it takes the account."""
        import wandb

        mode = os.environ.get("WANDB_MODE", "online") if self._wanted == "auto" else self._wanted
        if mode != "online":
            return mode
        wandb.setup(settings=wandb.Settings(silent=True))
        try:
            account = wandb.login(prompt=False, verify=True)
        except Exception as error:  # W&B raises exceptions of many families
            return self._offline(brief(error))
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
        except Exception as error:  # of many families, as above
            if self._mode == "offline":
                raise
            self._mode = self._offline(brief(error))
            return self._init(about, None)  # W&B holds on to the id that could not be opened

    def _offline(self, why: str) -> str:
        log.warning("W&B cannot be used online (%s): runs are kept offline, `wandb sync` uploads them later", why)
        return "offline"


class WandbRun(RunLogger):
    """Takes a run to one W&B run. Every curve is drawn over `step`, so that those of several runs overlay."""

    def __init__(self, run: wandb.Run, tokens: bool = False) -> None:
        self._run = run
        self.wants_tokens = tokens
        run.define_metric("step", hidden=True)
        run.define_metric("*", step_metric="step")

    @override
    def log(self, step: int, values: Mapping[str, float]) -> None:
        self._run.log({"step": step, **values})

    @override
    def pictures(self, step: int, name: str, pictures: Sequence[Image.Image], captions: Sequence[str]) -> None:
        import wandb

        images = [wandb.Image(one, caption=text) for one, text in zip(pictures, captions, strict=True)]
        self._run.log({"step": step, name: images})

    @override
    def tokens(self, step: int, path: Path) -> None:
        import wandb

        artifact = wandb.Artifact(f"tokens-{self._run.id}", type="tokens", metadata={"step": step})
        artifact.add_file(str(path), name="tokens.safetensors", policy="immutable")
        self._run.log_artifact(artifact, aliases=[f"step-{step}", "latest"])

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
        except Exception as error:  # of many families, as above
            kept = Path(self._run.dir).parent
            log.warning("W&B has not got all of %s (%s): `wandb sync %s` sends it", self._run.name, brief(error), kept)


def _last_id(folder: Path) -> str | None:
    """The id of the folder's last W&B run, kept by W&B as `wandb/[offline-]run-<time>-<id>/run-<id>.wandb`."""
    kept = sorted(folder.glob("wandb/*run-*/run-*.wandb"), key=lambda path: path.stat().st_mtime)
    return kept[-1].stem.removeprefix("run-") if kept else None


def _exit_code(summary: Mapping[str, Any]) -> int:
    return 0 if summary.get("status") == "finished" else 1
