"""The only reader and writer of a run folder.

    config.yaml               the run's whole configuration
    text.json                 the initial text, its tokens and where it came from
    text/<name>.png           what was clicked: the mask, the crop that was looked at, an overlay
    metrics.csv               a row per step, a column per measured value
    tokens.safetensors        the learned embeddings
    samples/<step>/<i>.png    what the model draws after that many steps
    personalization/<step>/   the same of the personalization prompts: <prompt>-<i>.png, and prompts.json
    calibration.json          what the curves are to be seen beside
    checkpoints/last.safetensors   all that is needed to go on: embeddings, optimizer state, step; previous.safetensors
                                   is the one before it
    input.png                 the concept's picture, small
    comparison.png            the input beside the samples
    summary.json              written last of all: how the run ended

Whatever is written is written beside its place and then renamed, so that a reader finds the old file
or the new one, never half of one, at whatever moment a process dies.
"""

from __future__ import annotations

import csv
import fcntl
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from PIL import Image
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from mti.exports import load_tokens, save_tokens
from mti.types import InitialText, UserError

INPUT_SIZE = 512  # pixels

Curve = dict[int, float]
"""A measured value at each step where it was measured, in the order of the steps."""


def run_folders(root: Path) -> list[RunFolder]:
    """All run folders at or below a folder, in the order of their paths."""
    found = []
    for place, inner, files in os.walk(root):
        inner.sort()
        if "config.yaml" in files:
            found.append(RunFolder(Path(place)))
            inner.clear()  # loggers keep files of the same name further in
    return found


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """A place to write a file or a folder to, which becomes `path` when the block has ended well."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}")
    if draft.is_dir():
        shutil.rmtree(draft)
    yield draft
    if path.is_dir():
        shutil.rmtree(path)
    os.replace(draft, path)


class RunFolder:
    """One run's results. Row `s` of the metrics holds what is true after `s` updates.

    So `eval/mse` in row `s` is measured after `s` updates, and `train/mse` in row `s` is the loss of the
    batch drawn at step `s`, from which update `s + 1` is made.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self._rows: dict[int, dict[str, float]] = {}

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep every other process out of the folder. The lock ends with the block, or with the process.

        Raises:
            UserError: another process holds the folder.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        with (self.path / ".lock").open("a+") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                file.seek(0)
                raise UserError(
                    f"{self.path} is in use by process {file.read() or 'of unknown number'}: "
                    "wait until it has ended, or give this run another folder"
                ) from None
            file.truncate(0)
            file.write(str(os.getpid()))
            file.flush()
            yield

    # ------------------------------------------------------------------------------ what it is about

    def write_config(self, text: str) -> None:
        """Keep the configuration, as YAML."""
        self._write("config.yaml", text)

    @property
    def has_config(self) -> bool:
        """Whether a run has begun here."""
        return (self.path / "config.yaml").exists()

    def read_config(self) -> str:
        """The configuration, as YAML."""
        return self._existing("config.yaml").read_text()

    def write_text(self, initial: InitialText, tokens: Sequence[str]) -> None:
        """Keep the initial text, the names of its tokens, and the pictures that belong to it."""
        if initial.pictures:
            with atomic(self.path / "text") as draft:
                draft.mkdir()
                for name, picture in initial.pictures.items():
                    picture.save(draft / f"{name}.png")
        record = {"text": initial.text, "tokens": list(tokens), "source": initial.source, "raw": initial.raw}
        self._write_json("text.json", {**record, "details": dict(initial.details)})

    def read_text(self) -> tuple[InitialText, list[str]]:
        """The initial text, with its pictures, and the names of its tokens."""
        record = json.loads(self._existing("text.json").read_text())
        tokens = record.pop("tokens")
        pictures = {path.stem: _load(path) for path in sorted((self.path / "text").glob("*.png"))}
        return InitialText(**record, pictures=pictures), tokens

    # ---------------------------------------------------------------------------------- measurements

    def record(self, step: int, values: Mapping[str, float]) -> None:
        """Add measured values to the row of a step. They reach the file with the next `flush`."""
        self._rows.setdefault(step, {}).update((name, float(value)) for name, value in values.items())

    def flush(self) -> None:
        """Write metrics.csv: the step, then a column per value, empty where it was not measured."""
        names = sorted({name for values in self._rows.values() for name in values})
        with atomic(self.path / "metrics.csv") as draft, draft.open("w", newline="") as file:
            table = csv.DictWriter(file, ["step", *names])
            table.writeheader()
            table.writerows({"step": step, **self._rows[step]} for step in sorted(self._rows))

    def metrics(self) -> dict[str, Curve]:
        """The curves of metrics.csv, so that `metrics()["eval/mse"][100]` is a number; empty without the file."""
        curves: dict[str, Curve] = {}
        for step, values in self._read_rows().items():
            for name, value in values.items():
                curves.setdefault(name, {})[step] = value
        return curves

    def resume(self, step: int) -> None:
        """Go on after `step` updates: take up what metrics.csv says of the steps up to there.

        The training values of row `step` itself are left out: that step's batch will be drawn again.
        """
        self._rows = {row: values for row, values in self._read_rows().items() if row <= step}
        for name in [name for name in self._rows.get(step, {}) if name.startswith("train/")]:
            del self._rows[step][name]

    def _read_rows(self) -> dict[int, dict[str, float]]:
        path = self.path / "metrics.csv"
        if not path.exists():
            return {}
        with path.open(newline="") as file:
            return {
                int(row.pop("step")): {name: float(value) for name, value in row.items() if value}
                for row in csv.DictReader(file)
            }

    # ---------------------------------------------------------------------------------- going on later

    def save_state(self, step: int, tensors: Mapping[str, Tensor]) -> None:
        """Keep all that training needs to go on after `step` updates, and what was kept before. Metrics come first."""
        self.flush()
        if self._state().exists():
            with atomic(self._state(previous=True)) as draft:
                shutil.copyfile(self._state(), draft)
        copies = {
            name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format) for name, tensor in tensors.items()
        }
        with atomic(self._state()) as draft:
            save_file(copies, draft, metadata={"step": str(step)})

    def load_state(self, previous: bool = False) -> tuple[int, dict[str, Tensor]] | None:
        """The step and the tensors of the last `save_state`, or of the one before, on the CPU; None without one."""
        path = self._state(previous)
        if not path.exists():
            return None
        with safe_open(path, framework="pt") as file:
            return int(file.metadata()["step"]), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118

    def _state(self, previous: bool = False) -> Path:
        return self.path / "checkpoints" / f"{'previous' if previous else 'last'}.safetensors"

    # ---------------------------------------------------------------------------------------- results

    def save_pictures(self, step: int, pictures: Sequence[Image.Image]) -> None:
        """Keep what the model draws after `step` updates, in place of what was kept for that step."""
        with atomic(self._samples(step)) as draft:
            draft.mkdir()
            for i, picture in enumerate(pictures):
                picture.save(draft / f"{i}.png")

    def pictures(self, step: int) -> list[Image.Image]:
        """What the model drew after `step` updates; empty if nothing is kept of that step."""
        return _numbered(self._samples(step))

    def sampled_steps(self) -> list[int]:
        """The steps of which pictures are kept, in their order."""
        return self._steps("samples")

    def _steps(self, kind: str) -> list[int]:
        return sorted(int(path.name) for path in (self.path / kind).glob("*") if path.name.isdigit())

    def _samples(self, step: int) -> Path:
        return self.path / "samples" / f"{step:05d}"

    def save_input(self, picture: Image.Image) -> None:
        """Keep the concept's picture, at most 512 pixels wide and high."""
        small = picture.convert("RGB")
        small.thumbnail((INPUT_SIZE, INPUT_SIZE))
        with atomic(self.path / "input.png") as draft:
            small.save(draft, "PNG")

    def input(self) -> Image.Image | None:
        """The concept's picture; None if none is kept."""
        path = self.path / "input.png"
        return _load(path) if path.exists() else None

    def save_personalization(self, step: int, pictures: Mapping[str, Sequence[Image.Image]]) -> None:
        """Keep what the model draws for each personalization prompt after `step` updates."""
        with atomic(self.path / "personalization" / f"{step:05d}") as draft:
            draft.mkdir()
            (draft / "prompts.json").write_text(json.dumps(list(pictures), ensure_ascii=False), encoding="utf-8")
            for number, many in enumerate(pictures.values()):
                for i, picture in enumerate(many):
                    picture.save(draft / f"{number}-{i}.png")

    def personalization(self, step: int) -> dict[str, list[Image.Image]]:
        """What the model drew for each personalization prompt after `step` updates; empty if nothing is kept."""
        folder = self.path / "personalization" / f"{step:05d}"
        if not folder.exists():
            return {}
        prompts = json.loads((folder / "prompts.json").read_text(encoding="utf-8"))
        return {prompt: _numbered(folder, f"{number}-") for number, prompt in enumerate(prompts)}

    def personalized_steps(self) -> list[int]:
        """The steps of which personalization pictures are kept, in their order."""
        return self._steps("personalization")

    def write_calibration(self, levels: Mapping[str, Mapping[str, float]]) -> None:
        """Keep the levels of `mti.calibration`."""
        self._write_json("calibration.json", levels)

    def calibration(self) -> dict[str, dict[str, float]]:
        """The levels of `mti.calibration`; empty if none are kept."""
        path = self.path / "calibration.json"
        return json.loads(path.read_text()) if path.exists() else {}

    def save_comparison(self, picture: Image.Image) -> None:
        """Keep the picture that shows the whole run."""
        with atomic(self.path / "comparison.png") as draft:
            picture.save(draft)

    def write_tokens(self, embeddings: Float[Tensor, "num_vectors width"], placeholder: str) -> None:
        """Keep the learned embeddings, in the form of `mti.exports`."""
        save_tokens(self.path / "tokens.safetensors", embeddings, placeholder)

    def read_tokens(self) -> tuple[Float[Tensor, "num_vectors width"], str]:
        """The learned embeddings and their placeholder."""
        return load_tokens(self._existing("tokens.safetensors"))

    # ---------------------------------------------------------------------------------------- the end

    def write_summary(self, summary: Mapping[str, Any]) -> None:
        """Close the run: `status` is "finished", or "failed" with a `reason`. To be called last of all."""
        self._write_json("summary.json", summary)

    def summary(self) -> dict[str, Any] | None:
        """How the run ended; None while it has not."""
        path = self.path / "summary.json"
        return json.loads(path.read_text()) if path.exists() else None

    @property
    def finished(self) -> bool:
        """Whether the run came to its end. A killed or failed run has not."""
        return (self.summary() or {}).get("status") == "finished"

    # ------------------------------------------------------------------------------------------ files

    def _write(self, name: str, text: str) -> None:
        with atomic(self.path / name) as draft:
            draft.write_text(text, encoding="utf-8")

    def _write_json(self, name: str, record: Mapping[str, Any]) -> None:
        self._write(name, json.dumps(record, indent=2, ensure_ascii=False) + "\n")

    def _existing(self, name: str) -> Path:
        path = self.path / name
        if not path.exists():
            raise UserError(f"{path} does not exist: give the folder of a run that has come that far")
        return path


def _numbered(folder: Path, prefix: str = "") -> list[Image.Image]:
    """The pictures `<prefix><number>.png` of a folder, in the order of their numbers."""
    paths = sorted(folder.glob(f"{prefix}*.png"), key=lambda path: int(path.stem.removeprefix(prefix)))
    return [_load(path) for path in paths]


def _load(path: Path) -> Image.Image:
    with Image.open(path) as picture:
        return picture.convert("RGB")
