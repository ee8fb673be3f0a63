"""Classifiers from timm: a picture to class labels."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import timm
import torch
from PIL import Image
from timm.data import create_transform, resolve_data_config
from timm.data.imagenet_info import ImageNetInfo, infer_imagenet_subset
from torch import Tensor, nn

from mti.pocket_weights import weights_path
from mti.types import Guess, UserError


class TimmClassifier:
    """A timm classifier: its hub name, `pocket:NAME`, or a folder with `config.json` and weights.

    Gives the `top` most probable labels with their softmax probabilities. The weights are loaded, or
    downloaded, when the first picture is shown.
    """

    def __init__(self, path: str, top: int = 5) -> None:
        self.name = path
        self.top = top

    def __call__(self, picture: Image.Image) -> list[Guess]:
        """The best labels of an RGB picture of any size."""
        model, transform, labels = load(weights_path(self.name))
        with torch.no_grad():
            probabilities = model(transform(picture.convert("RGB"))[None])[0].softmax(-1)
        best = probabilities.topk(min(self.top, len(labels)))
        return [
            Guess(labels[index], score)
            for index, score in zip(best.indices.tolist(), best.values.tolist(), strict=True)
        ]


@functools.lru_cache(maxsize=1)
def load(path: str) -> tuple[nn.Module, Callable[[Image.Image], Tensor], list[str]]:
    """A classifier with its preprocessing and its labels. `UserError` if it is unknown or cannot be had."""
    source = f"local-dir:{path}" if Path(path).is_dir() else path
    try:
        model = timm.create_model(source, pretrained=True).eval()
    except Exception as error:  # whatever timm, the hub and the network raise
        raise UserError(
            f"the classifier {path!r} cannot be loaded ({type(error).__name__}): it must be a timm model name or a "
            "folder; without a network, fetch it once on a machine that has one and copy its Hugging Face cache"
        ) from error
    transform = create_transform(**resolve_data_config(model=model), is_training=False)
    return model, transform, label_names(model.pretrained_cfg)  # pyright: ignore[reportArgumentType]


def label_names(config: Mapping[str, Any]) -> list[str]:
    """The labels of a timm model's `pretrained_cfg`: its own, or those of its ImageNet variant; first synonyms."""
    names = config.get("label_names")
    if not names:
        subset = infer_imagenet_subset(dict(config))
        if subset is None:
            raise UserError(
                f"the classifier {config.get('architecture')!r} has {config.get('num_classes')} classes without names: "
                'write them into its config.json as "label_names"'
            )
        names = ImageNetInfo(subset).label_descriptions()
    return [name.split(",")[0].strip() for name in names]
