"""Classifiers from timm: a picture to class labels."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any, NamedTuple

import timm
import torch
from PIL import Image
from timm.data import create_transform, resolve_data_config
from timm.data.imagenet_info import ImageNetInfo, infer_imagenet_subset
from torch import Tensor, nn

from mti.library_logging import quiet_timm
from mti.perception.loaded import LoadedOnce
from mti.ranges import AtLeast
from mti.types import Guess, UserError
from mti.weights import NETWORK, Need, hub_need, model_folder


class Network(NamedTuple):
    """A classifier with its preprocessing and the names of its classes."""

    model: nn.Module
    transform: Callable[[Image.Image], Tensor]
    labels: list[str]


class TimmClassifier(LoadedOnce[Network]):
    """A timm classifier: its name, `pocket:NAME`, or a folder with `config.json` and weights.

    Gives the `top` most probable labels with their softmax probabilities. The weights are loaded when
    the first picture is shown, and kept until `release`.
    """

    def __init__(self, path: str, top: Annotated[int, AtLeast(1)] = 5) -> None:
        self.name = path
        self.top = top

    def __call__(self, picture: Image.Image) -> list[Guess]:
        """The best labels of an RGB picture of any size."""
        model, transform, labels = self.loaded
        with torch.no_grad():
            probabilities = model(transform(picture.convert("RGB"))[None])[0].softmax(-1)
        best = probabilities.topk(min(self.top, len(labels)))
        return [
            Guess(labels[index], score)
            for index, score in zip(best.indices.tolist(), best.values.tolist(), strict=True)
        ]

    def wanted(self) -> list[Need]:
        """The files that can be downloaded."""
        return hub_need("the classifier", self._path, NETWORK)

    @property
    def _path(self) -> str:
        """The hub's name of one of timm's, or what was given."""
        known = timm.get_pretrained_cfg(self.name, allow_unregistered=True)
        return (known and known.hf_hub_id) or self.name

    def load(self) -> Network:
        """The classifier. `UserError` if it cannot be had."""
        folder = model_folder(self._path, NETWORK)
        with quiet_timm():
            model = timm.create_model(f"local-dir:{folder}", pretrained=True).eval()
        transform: Any = create_transform(**resolve_data_config(model=model), is_training=False)
        config: Any = model.pretrained_cfg
        return Network(model, transform, label_names(config))


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
