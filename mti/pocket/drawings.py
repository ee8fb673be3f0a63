"""The drawn data sets of the pocket world: pictures, masks and what language names, on disk.

All are functions of `(split, index)`; the files keep what takes long, so that a batch is a look-up.
"""

from __future__ import annotations

import multiprocessing
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Int, Integer, UInt8
from torch import Tensor

from mti.pocket.drawing import draw
from mti.pocket.held_out import scene_at
from mti.pocket.stage import WORK, Options
from mti.pocket.world import BACKGROUNDS, COLORS, KINDS, PATTERNS, STICKERS, Individual, Scene

STEPS = 0
SIZE = 64
COUNTS = {"train": 160_000, "test": 8_000}
SEEDS = {"train": 1, "test": 2}
CHUNK = 2_000

# What language names of a picture; a drawing's label is the index of its value.
LABELS: dict[str, tuple] = {
    "kind": tuple(KINDS),
    "color": (None, *COLORS),
    "background": BACKGROUNDS,
    "pattern": (None, *PATTERNS),
    "pattern_color": (None, *COLORS),
    "sticker": (None, *STICKERS),
    "sticker_color": (None, *COLORS),
    "number": (0, 1, 2, 3),
}


def scene(split: str, index: int) -> Scene:
    """The scene behind a picture. All test scenes are combinations that the training set lacks."""
    return scene_at(SEEDS[split], index, held_out=split == "test")


def labels_of(scene: Scene) -> list[int]:
    """A scene's labels, in the order of `LABELS`."""
    return [
        values.index(scene.background if name == "background" else getattr(scene.thing, name))
        for name, values in LABELS.items()
    ]


def named(row: Integer[np.ndarray, " labels"]) -> Scene:
    """What language knows of the scene with these labels: all that `language` needs, nothing of pose or decorations."""
    values = {name: known[int(label)] for (name, known), label in zip(LABELS.items(), row, strict=True)}
    background = values.pop("background")
    return Scene(Individual(**values), background)


class Drawings:
    """One split, read from disk as needed."""

    def __init__(self, split: str, work: Path = WORK) -> None:
        self.split = split
        self._pictures = np.load(work / f"{split}.pictures.npy", mmap_mode="r")
        self._masks = np.load(work / f"{split}.masks.npy", mmap_mode="r")
        self.labels = np.load(work / f"{split}.labels.npy")

    def __len__(self) -> int:
        return len(self.labels)

    def pictures(self, indices: Tensor | slice) -> UInt8[Tensor, "batch 64 64 3"]:
        """Pictures, RGB."""
        return torch.from_numpy(self._pictures[_places(indices)].copy())

    def masks(self, indices: Tensor | slice) -> Bool[Tensor, "batch 64 64"]:
        """Where the things are."""
        bits = np.unpackbits(self._masks[_places(indices)], axis=-1)
        return torch.from_numpy(bits.reshape(-1, SIZE, SIZE).astype(bool))

    def label(self, name: str, indices: Tensor | slice) -> Int[Tensor, " batch"]:
        """The labels of one name of `LABELS`."""
        return torch.from_numpy(self.labels[_places(indices), list(LABELS).index(name)].astype(np.int64))

    def scenes(self, indices: Tensor | slice) -> list[Scene]:
        """What language knows of the scenes."""
        return [named(row) for row in self.labels[_places(indices)]]


def _places(indices: Tensor | slice) -> np.ndarray | slice:
    return indices if isinstance(indices, slice) else indices.numpy()


def _files(split: str, work: Path, suffix: str) -> dict[str, Path]:
    return {name: work / f"{split}.{name}.{suffix}" for name in ("pictures", "masks", "labels")}


def _draw_chunk(job: tuple[str, int, Path]) -> None:
    split, start, work = job
    arrays = {name: np.load(path, mmap_mode="r+") for name, path in _files(split, work, "partial.npy").items()}
    for index in range(start, min(start + CHUNK, len(arrays["labels"]))):
        own = scene(split, index)
        picture, mask = draw(own, SIZE)
        arrays["pictures"][index] = np.asarray(picture)
        arrays["masks"][index] = np.packbits(mask)
        arrays["labels"][index] = labels_of(own)
    for array in arrays.values():
        array.flush()


def draw_all(work: Path, processes: int, counts: dict[str, int] = COUNTS) -> None:
    """Draw both splits; a finished one is left alone, an interrupted one is drawn again."""
    work.mkdir(parents=True, exist_ok=True)
    shapes = {"pictures": (SIZE, SIZE, 3), "masks": (SIZE * SIZE // 8,), "labels": (len(LABELS),)}
    for split, count in counts.items():
        targets, partial = _files(split, work, "npy"), _files(split, work, "partial.npy")
        if all(path.exists() for path in targets.values()):
            print(f"{split}: already drawn")
            continue
        for name, path in partial.items():
            np.lib.format.open_memmap(path, "w+", np.uint8, (count, *shapes[name])).flush()
        with multiprocessing.Pool(processes) as pool:
            jobs = [(split, start, work) for start in range(0, count, CHUNK)]
            for done, _ in enumerate(pool.imap_unordered(_draw_chunk, jobs), 1):
                print(f"{split}: {done} of {len(jobs)} chunks", flush=True)
        for name, path in partial.items():
            path.rename(targets[name])


def run(options: Options) -> None:
    """Draw both splits."""
    draw_all(options.work, multiprocessing.cpu_count())
