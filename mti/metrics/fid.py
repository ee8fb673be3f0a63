"""Fréchet inception distance between a set of generated pictures and a concept's pictures, through torch-fidelity."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor
from torch.utils.data import Dataset

from mti.metrics.base import BaseMetric
from mti.types import UserError
from mti.weights import Need, checkpoint, file_need

URL = "https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/weights-inception-2015-12-05-6726825d.pth"
EXTRACTOR = "inception-v3-compat"


class FID(BaseMetric):
    """FID of all generated pictures together, for concepts of several pictures; 0 is the same set.

    Heusel et al., 2017, as torch-fidelity computes it: pictures resized to 299 × 299, pooled features of
    the TensorFlow Inception-v3. Covariances of few pictures have a low rank, so that scores compare only
    between equally large sets. Fewer than two pictures on either side have no covariance, and no score.

    Args:
        layer: torch-fidelity's name of the features; "2048" is the usual.
        weights: the file of the network's weights; None is where torch-fidelity keeps its own.
        extractor: torch-fidelity's name of the network.
        name: what its value is called.
        label: what figures and tables call it.
    """

    measures = "FID"
    better = "lower"
    about = "fidelity"

    def __init__(
        self,
        layer: Literal["2048", "768", "192", "64"] = "2048",
        weights: str | None = None,
        extractor: str = EXTRACTOR,
        name: str = "fid",
        label: str | None = "FID",
    ) -> None:
        super().__init__(name, label)
        self.layer = layer
        self.weights = weights
        self.extractor = extractor

    def settings(self) -> dict[str, Any]:
        """The network, its layer and who computes."""
        fidelity = version("torch-fidelity") if importlib.util.find_spec("torch_fidelity") else None
        return {
            "network": self.extractor,
            "layer": self.layer,
            "weights": self.weights or URL.rpartition("/")[2],
            "preprocessing": "resized to 299 × 299",
            "torch-fidelity": fidelity,
        }

    def check(self) -> None:
        """Raise a `UserError` if torch-fidelity or the network's weights are missing."""
        if importlib.util.find_spec("torch_fidelity") is None:
            raise UserError(
                "FID needs the package torch-fidelity, which is not installed: `pip install torch-fidelity`"
            )
        self._options()

    def wanted(self) -> list[Need]:
        """The files that can be downloaded."""
        return file_need("torch-fidelity's Inception-v3", URL, self.weights) if self.extractor == EXTRACTOR else []

    def __call__(
        self,
        generated: Float[Tensor, "generated 3 height width"],
        reference: Float[Tensor, "reference 3 height width"],
        prompts: Sequence[str],
    ) -> dict[str, float]:
        """One distance for the set; nothing where a side has fewer than two pictures, and one warning."""
        if min(len(generated), len(reference)) < 2:
            sets = f"{len(generated)} generated pictures and {len(reference)} of the concept"
            return self._left_out(f"{sets}, it takes two of each at least")
        from torch_fidelity import calculate_metrics

        found = calculate_metrics(
            input1=_Pictures(generated),
            input2=_Pictures(reference),
            fid=True,
            cuda=self.device.type == "cuda",
            batch_size=16,
            cache=False,
            save_cpu_ram=True,
            verbose=False,
            feature_extractor=self.extractor,
            feature_layer_fid=self.layer,
            **self._options(),
        )
        return {self.name: float(found["frechet_inception_distance"])}

    def _options(self) -> dict[str, str]:
        if self.extractor != EXTRACTOR:
            return {}
        file = checkpoint(URL, "FID needs torch-fidelity's Inception-v3 (91 MB)", self.weights)
        return {"feature_extractor_weights_path": str(file)}


class _Pictures(Dataset):
    """Pictures in [-1, 1] as torch-fidelity takes them: uint8, [3, height, width]."""

    def __init__(self, pictures: Tensor) -> None:
        self.pixels = ((pictures.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, index: int) -> Tensor:
        return self.pixels[index]
