"""The training loop that all pocket models share: bf16 where it wins, EMA, checkpoints that resume."""

from __future__ import annotations

import csv
import json
import os
import time
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

WORK = Path("~/.cache/mti-pocket").expanduser()
WEIGHTS = Path(__file__).parent / "weights"
QUICK_ATTENTION = "eager"  # a CPU's fused attention is slow to differentiate in bf16: steps are 1.3 to 1.6 × as fast
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")

Losses = dict[str, Tensor]  # the entry "loss" is minimised, all are logged


@dataclass(frozen=True)
class Options:
    """What a stage is told: for how many steps it trains, where its files lie, and where finished models go."""

    steps: int
    work: Path = WORK
    weights: Path = WEIGHTS


@dataclass
class Stage:
    """One model's training: constant learning rate after a warm-up, linear decay over the last part.

    `loss(model, step)` must draw its batch from the step number alone; then an interrupted stage goes on
    as if nothing had happened, up to `SAVE_SECONDS` of lost work. A stage with more steps than its
    checkpoint goes on from there; one with fewer gives the checkpoint's averaged model.
    """

    name: str
    model: nn.Module
    loss: Callable[[Any, int], Losses]
    steps: int
    learning_rate: float
    work: Path
    weight_decay: float = 0.01
    ema_decay: float = 0.999
    warmup: int = 200
    decay_share: float = 0.2

    SAVE_SECONDS = 120
    LOG_EVERY = 50

    def run(self) -> Any:
        """Train to the end, and return the averaged (EMA) model in evaluation mode."""
        self.work.mkdir(parents=True, exist_ok=True)
        model = self.model.to(DEVICE).train()
        ema = deepcopy(model).eval().requires_grad_(False)
        trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
        optimizer = torch.optim.AdamW(
            trained, self.learning_rate, betas=(0.9, 0.99), weight_decay=self.weight_decay, fused=True
        )
        parts = {"model": model, "ema": ema, "optimizer": optimizer}
        start, since = self._resume(parts), 0
        sums: dict[str, float] = {}
        saved = logged = time.monotonic()
        for step in range(start, self.steps):
            for group in optimizer.param_groups:
                group["lr"] = self.learning_rate * self.schedule(step)
            with torch.autocast(DEVICE.type, torch.bfloat16):
                losses = self.loss(model, step)
            losses["loss"].backward()
            losses["gradient"] = nn.utils.clip_grad_norm_(trained, 1.0)
            optimizer.step()
            optimizer.zero_grad()
            self._average(ema, model, step)
            since += 1
            for key, value in losses.items():
                sums[key] = sums.get(key, 0.0) + float(value.detach())
            now = time.monotonic()
            if (step + 1) % self.LOG_EVERY == 0:
                row = {"step": step + 1, **{name: round(total / since, 5) for name, total in sums.items()}}
                self._log({**row, "steps_per_second": round(since / (now - logged), 2)})
                sums, since, logged = {}, 0, now
            if now - saved > self.SAVE_SECONDS:
                self._save(parts, step + 1)
                saved = now
        if start < self.steps:
            self._save(parts, self.steps)
        return ema

    def schedule(self, step: int) -> float:
        """The learning rate's factor at a step."""
        decay = (self.steps - step) / (self.decay_share * self.steps)
        return min(1.0, (step + 1) / self.warmup, decay)

    @property
    def checkpoint(self) -> Path:
        """The file that the stage resumes from."""
        return self.work / f"{self.name}.checkpoint.pt"

    def trained(self) -> int:
        """How many steps the checkpoint has behind it."""
        if not self.checkpoint.exists():
            return 0
        return torch.load(self.checkpoint, map_location="cpu", weights_only=True, mmap=True)["step"]

    def _resume(self, parts: dict[str, Any]) -> int:
        if not self.checkpoint.exists():
            return 0
        state = torch.load(self.checkpoint, map_location=DEVICE, weights_only=True)
        for name, part in parts.items():
            part.load_state_dict(state[name])
        print(f"{self.name}: resuming at step {state['step']} of {self.steps}", flush=True)
        return state["step"]

    def _save(self, parts: dict[str, Any], step: int) -> None:
        partial = self.checkpoint.with_suffix(".partial")
        torch.save({**{name: part.state_dict() for name, part in parts.items()}, "step": step}, partial)
        os.replace(partial, self.checkpoint)

    def _average(self, ema: nn.Module, model: nn.Module, step: int) -> None:
        decay = min(self.ema_decay, (step + 1) / (step + 10))
        with torch.no_grad():
            torch._foreach_lerp_(list(ema.parameters()), list(model.parameters()), 1 - decay)
            for old, new in zip(ema.buffers(), model.buffers(), strict=True):
                old.copy_(new)

    def _log(self, row: dict[str, float | int]) -> None:
        path = self.work / f"{self.name}.csv"
        new = not path.exists()
        with path.open("a", newline="") as file:
            writer = csv.DictWriter(file, row)
            if new:
                writer.writeheader()
            writer.writerow(row)
        print(" ".join(f"{key} {value}" for key, value in row.items()), flush=True)


def keep_numbers(stage: Stage, folder: Path, summary: dict[str, Any], every: int = 1) -> None:
    """A stage's summary and log beside the weights that they led to; of steps done twice, the later line.

    Of a long log, every so manyth line is kept.
    """
    folder.mkdir(parents=True, exist_ok=True)
    steps = max(stage.trained(), stage.steps)
    (folder / f"{stage.name}.json").write_text(json.dumps({"steps": steps, **summary}, indent=2) + "\n")
    print(f"{stage.name}: {json.dumps(summary)}", flush=True)
    log = stage.work / f"{stage.name}.csv"
    if not log.exists():
        return
    with log.open(newline="") as file:
        rows = {int(row["step"]): row for row in csv.DictReader(file)}
    with (folder / f"{stage.name}.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, next(iter(rows.values())))
        writer.writeheader()
        writer.writerows(rows[step] for step in sorted(rows)[every - 1 :: every])


def forget_origin(folder: Path) -> None:
    """Leave out of a saved model's config.json the folder that it was loaded from."""
    path = folder / "config.json"
    config = json.loads(path.read_text())
    config.pop("_name_or_path", None)
    path.write_text(json.dumps(config, indent=2) + "\n")


def generator(step: int) -> torch.Generator:
    """The source of a step's draws."""
    return torch.Generator().manual_seed(step)


def to_model(pictures: Tensor) -> Tensor:
    """uint8 pictures [batch, height, width, 3] as floats in [-1, 1], [batch, 3, height, width]."""
    return pictures.permute(0, 3, 1, 2).to(DEVICE).float().div(127.5).sub(1)
