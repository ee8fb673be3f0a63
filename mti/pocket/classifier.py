"""The pocket classifier, a narrow ConvNeXt of timm's on 64 × 64 pictures: its labels are the world's kinds.

It learns whole pictures, and things cut out of them as a click cuts them.
"""

from __future__ import annotations

from typing import Any

import timm
import torch
import torch.nn.functional as F
from timm.models import save_for_hf
from torch import Tensor, nn

from mti.pocket.cutouts import shown
from mti.pocket.drawings import SIZE, Drawings
from mti.pocket.stage import Losses, Options, Stage, generator, keep_numbers, to_model
from mti.pocket.world import KINDS

STEPS = 3_000
BATCH = 96
NOISE = 0.1  # of a picture in [-1, 1]: so that generated pictures are recognised as well as drawn ones
LABELS = [names[0] for _, names in KINDS.values()]
ARCHITECTURE = "convnext_atto"
MODEL_ARGS: dict[str, Any] = {"depths": (1, 1, 3, 1), "dims": (32, 64, 128, 256)}
PREPROCESSING = {
    "input_size": (3, SIZE, SIZE),
    "mean": (0.5, 0.5, 0.5),
    "std": (0.5, 0.5, 0.5),
    "crop_pct": 1.0,
    "interpolation": "bicubic",
}


def build() -> nn.Module:
    """The untrained classifier."""
    return timm.create_model(ARCHITECTURE, num_classes=len(KINDS), pretrained_cfg_overlay=PREPROCESSING, **MODEL_ARGS)


@torch.no_grad()
def measure(model: nn.Module, test: Drawings) -> dict[str, Any]:
    """Top-1 accuracy on held-out drawings: on whole pictures, and on things cut out of them."""
    everything = torch.arange(len(test))
    right: dict[str, list[Tensor]] = {"whole": [], "white": [], "kept": []}
    for some in everything.split(500):
        pictures, masks = to_model(test.pictures(some)), test.masks(some)
        for how, own in right.items():
            views = shown(pictures, masks, [how] * len(some))
            own.append(model(views).argmax(-1).cpu() == test.label("kind", some))
    shares = {f"top1_{how}": round(torch.cat(own).float().mean().item(), 4) for how, own in right.items()}
    return {"held_out_drawings": len(test), **shares}


def run(options: Options) -> None:
    """Train, measure on the held-out drawings, and write the weights."""
    train = Drawings("train", options.work)

    def loss(model: nn.Module, step: int) -> Losses:
        draws = generator(step)
        chosen = torch.randint(len(train), (BATCH,), generator=draws)
        how = [("whole", "whole", "white", "kept")[i] for i in torch.randint(4, (BATCH,), generator=draws).tolist()]
        batch = shown(to_model(train.pictures(chosen)), train.masks(chosen), how)
        batch = batch + NOISE * torch.randn(batch.shape, generator=draws).to(batch)
        target = train.label("kind", chosen).to(batch.device)
        logits = model(batch).float()
        accuracy = (logits.argmax(-1) == target).float().mean()
        return {"loss": F.cross_entropy(logits, target, label_smoothing=0.05), "accuracy": accuracy}

    torch.manual_seed(0)
    stage = Stage("classifier", build(), loss, options.steps, 3e-3, options.work, weight_decay=0.05, decay_share=0.6)
    model = stage.run()
    summary = measure(model, Drawings("test", options.work))
    folder = options.weights / "classifier"
    save_for_hf(model.half(), str(folder), {"label_names": LABELS}, model_args=MODEL_ARGS, safe_serialization=True)
    keep_numbers(stage, folder, summary)
