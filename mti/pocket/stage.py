"""The training loop that all pocket models share: bf16 where it wins, EMA, checkpoints that resume."""

from __future__ import annotations

import argparse
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

from mti.pocket.drawings import WORK

WEIGHTS = Path(__file__).parent / "weights"
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")


@dataclass
class Stage:
    """One model's training: constant learning rate after a warm-up, linear decay over the last fifth.

    `loss(step)` must draw its batch from the step number alone; then an interrupted stage resumes as
    if nothing had happened, up to `SAVE_SECONDS` of lost work.
    """

    name: str
    model: nn.Module
    loss: Callable[
        [Any, int], dict[str, Tensor]
    ]  # of the model and the step; the entry "loss" is minimised, all are logged
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
        checkpoint = self.work / f"{self.name}.checkpoint.pt"
        model = self.model.to(DEVICE).train()
        ema = deepcopy(model).eval().requires_grad_(False)
        optimizer = torch.optim.AdamW(
            model.parameters(), self.learning_rate, betas=(0.9, 0.99), weight_decay=self.weight_decay, fused=True
        )
        start = 0
        if checkpoint.exists():
            state = torch.load(checkpoint, map_location=DEVICE, weights_only=True)
            model.load_state_dict(state["model"])
            ema.load_state_dict(state["ema"])
            optimizer.load_state_dict(state["optimizer"])
            start = state["step"]
            print(f"{self.name}: resuming at step {start} of {self.steps}")

        def save(step: int) -> None:
            state = {"model": model.state_dict(), "ema": ema.state_dict(), "optimizer": optimizer.state_dict()}
            partial = checkpoint.with_suffix(".partial")
            torch.save({**state, "step": step}, partial)
            os.replace(partial, checkpoint)

        sums: dict[str, float] = {}
        saved = logged = time.monotonic()
        for step in range(start, self.steps):
            for group in optimizer.param_groups:
                group["lr"] = self.learning_rate * self._schedule(step)
            with torch.autocast(DEVICE.type, torch.bfloat16):
                losses = self.loss(model, step)
            losses["loss"].backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
            self._average(ema, model, step)
            for key, value in losses.items():
                sums[key] = sums.get(key, 0.0) + float(value.detach()) / self.LOG_EVERY
            if (step + 1) % self.LOG_EVERY == 0:
                now = time.monotonic()
                row = {"step": step + 1, **{k: round(v, 5) for k, v in sums.items()}}
                row["steps_per_second"] = round(self.LOG_EVERY / (now - logged), 2)
                self._log(row)
                sums, logged = {}, now
                if now - saved > self.SAVE_SECONDS:
                    save(step + 1)
                    saved = now
        save(self.steps)
        return ema

    def _schedule(self, step: int) -> float:
        decay = (self.steps - step) / (self.decay_share * self.steps)
        return min(1.0, (step + 1) / self.warmup, decay)

    def _average(self, ema: nn.Module, model: nn.Module, step: int) -> None:
        decay = min(self.ema_decay, (step + 1) / (step + 10))
        with torch.no_grad():
            torch._foreach_lerp_(list(ema.parameters()), list(model.parameters()), 1 - decay)
            for old, new in zip(ema.buffers(), model.buffers(), strict=True):
                old.copy_(new)

    def _log(self, row: dict[str, float]) -> None:
        path = self.work / f"{self.name}.csv"
        new = not path.exists()
        with path.open("a", newline="") as file:
            writer = csv.DictWriter(file, row)
            if new:
                writer.writeheader()
            writer.writerow(row)
        print(" ".join(f"{key} {value}" for key, value in row.items()), flush=True)


def keep_log(name: str, work: Path, folder: Path) -> None:
    """A stage's log, beside the weights that it led to; of steps done twice, the later line."""
    with (work / f"{name}.csv").open(newline="") as file:
        rows = {int(row["step"]): row for row in csv.DictReader(file)}
    with (folder / f"{name}.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, next(iter(rows.values())))
        writer.writeheader()
        writer.writerows(rows[step] for step in sorted(rows))


def forget_origin(folder: Path) -> None:
    """Leave out of a saved model's config.json the folder that it was loaded from."""
    path = folder / "config.json"
    config = json.loads(path.read_text())
    config.pop("_name_or_path", None)
    path.write_text(json.dumps(config, indent=2) + "\n")


def to_model(pictures: Tensor) -> Tensor:
    """uint8 pictures [batch, height, width, 3] as floats in [-1, 1], [batch, 3, height, width]."""
    return pictures.permute(0, 3, 1, 2).to(DEVICE).float().div(127.5).sub(1)


def arguments(description: str | None, steps: int) -> argparse.Namespace:
    """The command line of a stage: where its files lie and for how many steps it trains."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--work", type=Path, default=WORK, help="drawings, checkpoints and logs")
    parser.add_argument("--steps", type=int, default=steps)
    parser.add_argument("--weights", type=Path, default=WEIGHTS, help="where the finished models go")
    return parser.parse_args()
