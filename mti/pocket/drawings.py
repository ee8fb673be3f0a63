"""The drawn data sets of the pocket world: `python -m mti.pocket.drawings`.

Pictures are drawn once, in parallel, into arrays on disk; their scenes need no file, since
`world.scene_at(seed, index)` gives them back.
"""

from __future__ import annotations

import argparse
import multiprocessing
from pathlib import Path

import numpy as np

from mti.pocket import world

WORK = Path("outputs/pocket")
SIZE = 64
TRAIN_SEED, TEST_SEED = 1, 2
TRAIN_COUNT, TEST_COUNT = 160_000, 4_000
CHUNK = 2_000


def pictures(split: str, work: Path = WORK) -> np.ndarray:
    """The pictures of "train" or "test": uint8, [count, 64, 64, 3], read from disk as needed."""
    return np.load(work / f"{split}.npy", mmap_mode="r")


def scene(split: str, index: int) -> world.Scene:
    """The scene behind a picture. All test scenes are combinations that the training set lacks."""
    seed = TRAIN_SEED if split == "train" else TEST_SEED
    return world.scene_at(seed, index, held_out=split == "test")


def _draw_chunk(job: tuple[str, int, Path]) -> None:
    split, start, path = job
    array = np.load(path, mmap_mode="r+")
    for index in range(start, min(start + CHUNK, len(array))):
        array[index] = np.asarray(world.draw(scene(split, index), SIZE)[0])
    array.flush()


def draw_all(work: Path, processes: int) -> None:
    """Draw both splits; a finished one is left alone, an interrupted one is drawn again."""
    work.mkdir(parents=True, exist_ok=True)
    for split, count in (("train", TRAIN_COUNT), ("test", TEST_COUNT)):
        target, partial = work / f"{split}.npy", work / f"{split}.partial.npy"
        if target.exists():
            print(f"{target}: already drawn")
            continue
        np.lib.format.open_memmap(partial, "w+", np.uint8, (count, SIZE, SIZE, 3)).flush()
        with multiprocessing.Pool(processes) as pool:
            jobs = [(split, start, partial) for start in range(0, count, CHUNK)]
            for done, _ in enumerate(pool.imap_unordered(_draw_chunk, jobs), 1):
                print(f"\r{split}: {done}/{len(jobs)} chunks", end="", flush=True)
        partial.rename(target)
        print(f"\n{target}: {count} pictures")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, default=WORK)
    parser.add_argument("--processes", type=int, default=multiprocessing.cpu_count())
    arguments = parser.parse_args()
    draw_all(arguments.work, arguments.processes)
