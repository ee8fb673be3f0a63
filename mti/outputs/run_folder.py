"""What a run leaves behind, and where it goes on from.

config.yaml               the run's whole configuration
record.json               what else tells which run this is
text.json                 the initial text, its tokens and where it came from
text/<name>.png           what was clicked: the mask, the crop that was looked at, an overlay
metrics.csv               a row per step, a column per measured value
tokens.safetensors        the learned embeddings
tokens/<step>.safetensors the same after so many updates, at each evaluated step
samples/<step>/<i>.png    what the model draws after that many steps
personalization/<step>/   the same of the personalization prompts: <prompt>-<i>.png, and prompts.json
batch.json                the runs that it is trained together with: that moves the last bits of its numbers
calibration.json          what the curves are to be seen beside
checkpoints/              last.safetensors, all that is needed to go on: embeddings, optimizer state and step;
                          previous.safetensors is the one before it
input.png                 the concept's picture, small
comparison.png            the input beside the samples
summary.json              written last of all: how the run ended
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from jaxtyping import Float
from PIL import Image
from torch import Tensor

from mti.files import DamagedFile, clean, write_bytes, write_json
from mti.outputs.batch_record import BatchRecord, read_batch, write_batch
from mti.outputs.checkpoints import Checkpoint, Checkpoints
from mti.outputs.locks import locked
from mti.outputs.metrics_table import Curve, Rows, curves, read_rows, write_rows
from mti.outputs.pictures import (
    named_pictures,
    numbered_folders,
    numbered_pictures,
    prompted_pictures,
    read_picture,
    save_picture,
    save_pictures,
    save_prompted,
)
from mti.outputs.plain_data import LEVELS, TEXT, read_shaped, read_yaml
from mti.outputs.tokens_file import load_tokens, save_tokens
from mti.types import InitialText


class RunFolder:
    """One run's results. Row `s` of the metrics holds what is true after `s` updates.

    So `eval/mse` in row `s` is measured after `s` updates, and `train/mse` in row `s` is the loss of the
    batch drawn at step `s`, from which update `s + 1` is made.

    Whatever is read is plain data of the types that are said here, or else a `DamagedFile`. Whatever is written
    is whole or not there, and a `UserError` where the file system refuses it.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self._rows: Rows | None = {}  # None once the run is closed: metrics.csv has them
        self._checkpoints = Checkpoints(self.path / "checkpoints")
        self._anew = f"delete {self.path} to begin this run anew"
        self._end_anew = f"delete {self.path / 'summary.json'}, and the same command writes it again"

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep every other process out of the folder, and clean it of what a killed one left half written.

        The lock ends with the block, or with the process.

        Raises:
            UserError: another process holds the folder, or it cannot be made.
        """
        with locked(self.path) as writable:
            if writable:
                clean(self.path)
            yield

    # ------------------------------------------------------------------------------ what it is about

    def write_config(self, text: str) -> None:
        """Keep the configuration, as YAML."""
        write_bytes(self.path / "config.yaml", text.encode("utf-8", "backslashreplace"))

    @property
    def has_config(self) -> bool:
        """Whether a run has begun here."""
        return os.path.lexists(self.path / "config.yaml")

    def read_config(self) -> dict[str, Any]:
        """The configuration as plain data: nothing in it is resolved, imported or built."""
        return read_yaml(self._existing("config.yaml"), self._anew)

    def write_record(self, record: Mapping[str, Any]) -> None:
        """Keep what else tells which run this is."""
        write_json(self.path / "record.json", record)

    def read_record(self) -> dict[str, Any] | None:
        """What else tells which run this is; None if none is kept."""
        return self._json("record.json", self._anew)

    def write_text(self, initial: InitialText, tokens: Sequence[str]) -> None:
        """Keep the initial text, the names of its tokens, and the pictures that belong to it."""
        if initial.pictures:
            save_pictures(self.path / "text", initial.pictures)
        record = {"text": initial.text, "tokens": list(tokens), "source": initial.source, "raw": initial.raw}
        write_json(self.path / "text.json", {**record, "details": dict(initial.details)})

    def read_text(self) -> tuple[InitialText, list[str]]:
        """The initial text, with its pictures, and the names of its tokens."""
        record = read_shaped(self._existing("text.json"), self._anew, TEXT)
        pictures = named_pictures(self.path / "text", f"delete {self.path / 'text'}")
        initial = InitialText(record["text"], record["source"], record["raw"], record["details"], pictures)
        return initial, record["tokens"]

    # ---------------------------------------------------------------------------------- measurements

    def record(self, step: int, values: Mapping[str, float]) -> None:
        """Add measured values to the row of a step. They reach the file with the next `flush`."""
        self._recorded.setdefault(step, {}).update((name, float(value)) for name, value in values.items())

    def flush(self) -> None:
        """Write metrics.csv: the step, then a column per value, empty where it was not measured."""
        write_rows(self.path / "metrics.csv", self._recorded)

    def metrics(self) -> dict[str, Curve]:
        """The curves of metrics.csv, so that `metrics()["eval/mse"][100]` is a number; empty without the file."""
        return curves(self._read_rows())

    @property
    def _recorded(self) -> Rows:
        if self._rows is None:
            self._rows = self._read_rows()
        return self._rows

    def _read_rows(self) -> Rows:
        path = self.path / "metrics.csv"
        return read_rows(path, self._anew) if os.path.lexists(path) else {}

    # ---------------------------------------------------------------------------------- going on later

    def save_state(self, step: int, tensors: Mapping[str, Tensor]) -> None:
        """Keep all that training needs to go on after `step` updates, beside what was kept last. Metrics come first."""
        self.flush()
        rows = sum(row < step for row in self._recorded)
        self._checkpoints.save(Checkpoint(step, dict(tensors), rows))

    def checkpoints(self) -> list[int]:
        """The steps that `load_state` can give, in order."""
        return [one.step for one in self._checkpoints.all()]

    def load_state(self, step: int | None = None) -> tuple[int, dict[str, Tensor]] | None:
        """The step and the tensors of a checkpoint, on the CPU: of that step, or of the newest; None without it.

        A damaged checkpoint is left out, with a line in the log. `resume` has to follow.

        Raises:
            DamagedFile: there are checkpoints, and none can be read.
        """
        found = self._checkpoints.load(step)
        return (found.step, found.tensors) if found else None

    def write_batch(self, record: BatchRecord) -> None:
        """Keep with which runs this one is trained together."""
        write_batch(self.path / "batch.json", record)

    def read_batch(self) -> BatchRecord | None:
        """With which runs this one was trained together last; None if nothing is kept of it."""
        return read_batch(self.path / "batch.json", self._anew)

    def curve(self, name: str) -> Curve:
        """What has been recorded of a value, whether or not it is in the file yet."""
        return curves(self._recorded).get(name, {})

    def resume(self, step: int) -> None:
        """Go on after `step` updates: take up what metrics.csv says of the steps up to there, and forget later ones.

        The training values of row `step` itself are left out: that step's batch will be drawn again. So are
        later checkpoints.

        Raises:
            DamagedFile: metrics.csv is damaged, or lacks rows that were there when the checkpoint was saved.
        """
        kept = {row: values for row, values in (self._read_rows() if step else {}).items() if row <= step}
        checkpoint = self._checkpoints.load(step)
        rows = sum(row < step for row in kept)
        if checkpoint and rows < checkpoint.rows:
            fault = f"has {rows} rows before step {step}, and had {checkpoint.rows}"
            raise DamagedFile(self.path / "metrics.csv", fault, self._anew)
        for name in [name for name in kept.get(step, {}) if name.startswith("train/")]:
            del kept[step][name]
        self._checkpoints.drop_after(step)
        self._rows = kept

    # ---------------------------------------------------------------------------------------- results

    def save_pictures(self, step: int, pictures: Sequence[Image.Image]) -> None:
        """Keep what the model draws after `step` updates, in place of what was kept for that step."""
        save_pictures(self._samples(step), {f"{i}": picture for i, picture in enumerate(pictures)})

    def pictures(self, step: int) -> list[Image.Image]:
        """What the model drew after `step` updates; empty if nothing is kept of that step."""
        return numbered_pictures(self._samples(step), f"delete {self._samples(step)}")

    def sampled_steps(self) -> list[int]:
        """The steps of which pictures are kept, in their order."""
        return numbered_folders(self.path / "samples", self._anew)

    def _samples(self, step: int) -> Path:
        return self.path / "samples" / f"{step:05d}"

    def save_personalization(self, step: int, pictures: Mapping[str, Sequence[Image.Image]]) -> None:
        """Keep what the model draws for each personalization prompt after `step` updates."""
        save_prompted(self._personalization(step), pictures)

    def personalization(self, step: int) -> dict[str, list[Image.Image]]:
        """What the model drew for each personalization prompt after `step` updates; empty if nothing is kept."""
        return prompted_pictures(self._personalization(step), f"delete {self._personalization(step)}")

    def personalized_steps(self) -> list[int]:
        """The steps of which personalization pictures are kept, in their order."""
        return numbered_folders(self.path / "personalization", self._anew)

    def _personalization(self, step: int) -> Path:
        return self.path / "personalization" / f"{step:05d}"

    def save_input(self, picture: Image.Image) -> None:
        """Keep the concept's picture, at most 512 pixels wide and high."""
        save_picture(self.path / "input.png", picture, largest=512)

    def input(self) -> Image.Image | None:
        """The concept's picture; None if none is kept."""
        path = self.path / "input.png"
        return read_picture(path, self._end_anew) if os.path.lexists(path) else None

    def save_comparison(self, picture: Image.Image) -> None:
        """Keep the picture that shows the whole run."""
        save_picture(self.path / "comparison.png", picture)

    def write_calibration(self, levels: Mapping[str, Mapping[str, float]]) -> None:
        """Keep the levels of `mti.calibration`."""
        write_json(self.path / "calibration.json", levels)

    def calibration(self) -> dict[str, dict[str, float]]:
        """The levels of `mti.calibration`, nan for one that is not finite; empty if none are kept."""
        levels = self._json("calibration.json", f"delete {self.path / 'calibration.json'}", LEVELS) or {}
        return {
            group: {name: math.nan if value is None else float(value) for name, value in one.items()}
            for group, one in levels.items()
        }

    def write_tokens(
        self, embeddings: Float[Tensor, "num_vectors width"], placeholder: str, step: int | None = None
    ) -> Path:
        """Keep the learned embeddings, after so many updates or at the end; the file, see `mti.outputs.tokens_file`."""
        path = self.path / self.tokens_name(step)
        save_tokens(path, embeddings, placeholder)
        return path

    def read_tokens(self, step: int | None = None) -> tuple[Float[Tensor, "num_vectors width"], str]:
        """The learned embeddings, after so many updates or at the end, and their placeholder."""
        return load_tokens(self._existing(self.tokens_name(step)))

    @staticmethod
    def tokens_name(step: int | None) -> str:
        """The file of the embeddings after so many updates, or at the end, within the folder."""
        return "tokens.safetensors" if step is None else f"tokens/{step:05d}.safetensors"

    # ---------------------------------------------------------------------------------------- the end

    def write_summary(self, summary: Mapping[str, Any]) -> None:
        """Close the run: `status` is "finished" (`stopped`: by a rule), or "failed" with a `reason`. Comes last."""
        write_json(self.path / "summary.json", summary)
        self._rows = None

    def summary(self) -> dict[str, Any] | None:
        """How the run ended; None while it has not."""
        return self._json("summary.json", self._end_anew)

    @property
    def finished(self) -> bool:
        """Whether the run came to its end. A killed or failed run has not."""
        return (self.summary() or {}).get("status") == "finished"

    def _json(self, name: str, remedy: str, shape: Any = dict) -> dict[str, Any] | None:
        path = self.path / name
        return read_shaped(path, remedy, shape) if os.path.lexists(path) else None

    def _existing(self, name: str) -> Path:
        path = self.path / name
        if not os.path.lexists(path):
            remedy = f"give the folder of a run that has come that far, or {self._anew}"
            raise DamagedFile(path, "does not exist", remedy)
        return path
