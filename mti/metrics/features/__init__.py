"""The networks that metrics look through, each with the same face."""

from __future__ import annotations

import functools
import hashlib
import weakref
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Generic, Protocol, TypeVar, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

Maps = dict[str, Float[Tensor, "_ _ _ _"]]
"""A network's activations by the name of the layer, in the network's order: [batch, channels, height, width]."""

Heads = dict[str, Float[Tensor, " _"]]
"""What a channel's difference weighs in LPIPS, by the name of the layer: [channels]."""

OWN_SIZE = "at the pictures' own size"
"""How `record` says that pictures are not resized."""


@runtime_checkable
class Features(Protocol):
    """A frozen convolutional network. Building one costs nothing; weights are read from disk at the first call."""

    def record(self) -> dict[str, Any]:
        """Which network it is, and how pictures are preprocessed for it."""
        ...

    def check(self, layer: str | None = None) -> None:
        """Raise a `UserError` if there is no such layer, or if weights are missing; reads none."""
        ...

    def __call__(self, pictures: Float[Tensor, "batch 3 height width"]) -> Maps:
        """The maps of pictures in [-1, 1], at the size that they have, on the CPU."""
        ...


@runtime_checkable
class WeightedFeatures(Features, Protocol):
    """A network whose channels have weights for LPIPS."""

    def heads(self) -> Heads:
        """The weights, none below 0, of the layers that count."""
        ...


@dataclass(frozen=True)
class WithHeads:
    """A network and what its channels weigh in LPIPS."""

    network: Any
    heads: Heads


Loaded = TypeVar("Loaded")


class FrozenNetwork(ABC, Generic[Loaded]):
    """A network whose weights are read from its files at first use, and kept until `release`.

    Several that read the same files on the same device share the weights; the last release frees them.
    """

    _in_use: ClassVar[weakref.WeakValueDictionary[Any, Any]] = weakref.WeakValueDictionary()

    def __init__(self) -> None:
        self.device = torch.device("cpu")
        self._loaded: Loaded | None = None

    def to(self, device: torch.device) -> None:
        """Say where it computes."""
        if device != self.device:
            self.release()
        self.device = device

    def release(self) -> None:
        """Free the memory; the next use reads the weights again."""
        self._loaded = None

    @property
    def loaded(self) -> Loaded:
        """What `_load` made of the files."""
        if self._loaded is not None:
            return self._loaded
        files = self._files()
        key = (type(self), files, self.device)
        loaded = self._in_use.get(key)
        if loaded is None:
            loaded = self._in_use[key] = self._load(*files)
        self._loaded = loaded
        return loaded

    @abstractmethod
    def _files(self) -> tuple[Path, ...]:
        """The files or the folder that are read. Raises a `UserError` if they are not there."""

    @abstractmethod
    def _load(self, *files: Path) -> Loaded:
        """The network with its weights in fp32, on `self.device`, and what belongs to it."""


def origin(folder: Path) -> dict[str, str]:
    """Which weights a folder has: the commit if the hub's client made it, otherwise the hash of what is in it."""
    if folder.parent.name == "snapshots":
        return {"commit": folder.name}
    files = sorted(path for pattern in ("*.safetensors", "*.bin") for path in folder.glob(pattern))
    return {"sha256": _sha256(tuple((file, file.stat().st_mtime_ns) for file in files))}


@functools.lru_cache(maxsize=16)
def _sha256(files: tuple[tuple[Path, int], ...]) -> str:
    """Of all files together, its first 12 digits; a file that was written anew is read anew."""
    digest = hashlib.sha256()
    for file, _ in files:
        with file.open("rb") as content:
            digest.update(hashlib.file_digest(content, "sha256").digest())
    return digest.hexdigest()[:12]
