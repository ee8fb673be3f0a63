"""The pocket classifier: `python -m mti.pocket.train_classifier`.

A narrow ConvNeXt of timm's on 64x64 pictures; its labels are the world's kinds.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import timm
import torch
import torch.nn.functional as F
from timm.models import save_for_hf
from torch import Tensor, nn

from mti.pocket import drawings, world
from mti.pocket.stage import Stage, arguments, keep_log, to_model

BATCH = 128
NOISE = 0.1  # of a picture in [-1, 1]: so that generated pictures are recognised as well as drawn ones
KINDS = list(world.KINDS)
LABELS = [names[0] for _, names in world.KINDS.values()]
ARCHITECTURE = "convnext_atto"
MODEL_ARGS: dict[str, Any] = {"depths": (1, 1, 3, 1), "dims": (32, 64, 128, 256)}
PREPROCESSING = {
    "input_size": (3, drawings.SIZE, drawings.SIZE),
    "mean": (0.5, 0.5, 0.5),
    "std": (0.5, 0.5, 0.5),
    "crop_pct": 1.0,
    "interpolation": "bicubic",
}


def build() -> nn.Module:
    """The untrained classifier."""
    return timm.create_model(ARCHITECTURE, num_classes=len(KINDS), pretrained_cfg_overlay=PREPROCESSING, **MODEL_ARGS)


def labels(split: str, indices: list[int]) -> Tensor:
    """The classes of drawings, [batch]."""
    return torch.tensor([KINDS.index(drawings.scene(split, index).kind) for index in indices])


def main() -> None:
    """Train, measure on the held-out drawings, and write the weights."""
    options = arguments(__doc__, steps=1_600)
    train = torch.from_numpy(np.load(options.work / "train.npy", mmap_mode="c"))

    def loss(model: nn.Module, step: int) -> dict[str, Tensor]:
        generator = torch.Generator().manual_seed(step)
        indices = torch.randint(len(train), (BATCH,), generator=generator)
        batch = to_model(train[indices])
        batch = batch + NOISE * torch.randn(batch.shape, generator=generator).to(batch)
        target = labels("train", indices.tolist()).to(batch.device)
        logits = model(batch).float()
        accuracy = (logits.argmax(-1) == target).float().mean()
        return {"loss": F.cross_entropy(logits, target, label_smoothing=0.05), "accuracy": accuracy}

    model = Stage("classifier", build(), loss, options.steps, 3e-3, options.work, weight_decay=0.05).run()
    test = to_model(torch.from_numpy(drawings.pictures("test", options.work).copy()))
    with torch.no_grad():
        predicted = torch.cat([model(batch).argmax(-1).cpu() for batch in test.split(500)])
    accuracy = (predicted == labels("test", list(range(len(test))))).float().mean().item()
    print(f"held-out drawings: top-1 accuracy {accuracy:.4f}")

    folder = options.weights / "classifier"
    save_for_hf(model.half(), folder, {"label_names": LABELS}, model_args=MODEL_ARGS, safe_serialization=True)
    summary = {"held_out_drawings": len(test), "top1_accuracy": round(accuracy, 4), "steps": options.steps}
    (folder / "summary.json").write_text(json.dumps(summary, indent=2) + "\n")
    keep_log("classifier", options.work, folder)


if __name__ == "__main__":
    main()
