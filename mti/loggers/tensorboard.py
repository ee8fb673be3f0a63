"""TensorBoard: event files beside the runs, with their curves, pictures and hyperparameters."""

from __future__ import annotations

import importlib.util
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from typing_extensions import override

from mti.loggers import RunLogger, fault_tolerant
from mti.types import UserError


class TensorBoard:
    """Event files in `tensorboard/` of every run folder: `tensorboard --logdir outputs/<experiment>`.

    Every run has the same tags, so that a chart has the curves of all runs over each other.
    """

    def check(self) -> None:
        """Raise a `UserError` if the package is missing."""
        if importlib.util.find_spec("tensorboard") is None:
            raise UserError("logger=tensorboard needs the package tensorboard: pip install 'mti[tensorboard]'")

    def open(self, folder: Path, name: str, group: str, job_type: str, config: Mapping[str, Any]) -> RunLogger:
        """An event file for the run of that folder."""
        hyperparameters = {"run": name, **config}
        return fault_tolerant("TensorBoard", name, lambda: TensorBoardRun(folder / "tensorboard", hyperparameters))


class TensorBoardRun(RunLogger):
    """Takes a run to one event file. `config` becomes its hyperparameters, nested names joined by dots."""

    def __init__(self, folder: Path, config: Mapping[str, Any]) -> None:
        from torch.utils.tensorboard.summary import hparams
        from torch.utils.tensorboard.writer import SummaryWriter

        self._writer = SummaryWriter(str(folder))
        # Without the first of the three, TensorBoard gathers columns from all runs, not those of the first it finds.
        _, begin, self._end = hparams(dict(_flat(config)), {})
        self._add(begin)

    @override
    def log(self, step: int, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    @override
    def pictures(self, step: int, name: str, pictures: Sequence[Image.Image], captions: Sequence[str]) -> None:
        together: dict[str, list[np.ndarray]] = defaultdict(list)
        for picture, caption in zip(pictures, captions, strict=True):
            together[caption].append(np.asarray(picture.convert("RGB")))
        for caption, pixels in together.items():  # TensorBoard has no captions: they are part of the tag
            self._writer.add_images(f"{name}/{caption}", np.stack(pixels), step, dataformats="NHWC")

    @override
    def finish(self, summary: Mapping[str, Any]) -> None:
        self._writer.add_text("summary", "\n".join(f"    {name}: {value}" for name, value in summary.items()))
        if summary.get("status") == "finished":
            self._add(self._end)
        self._writer.close()

    def _add(self, summary: Any) -> None:
        assert self._writer.file_writer is not None
        self._writer.file_writer.add_summary(summary)


def _flat(config: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str | float]]:
    """A configuration's values by dotted names; lists as text, what is null left out."""
    for name, value in config.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        elif value is not None:
            yield f"{prefix}{name}", value if isinstance(value, str | int | float) else str(value)
