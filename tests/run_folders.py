"""Run folders with known results, without a run."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import yaml
from PIL import Image

from mti.outputs import RunFolder
from mti.types import InitialText

STEPS = (0, 25, 50, 100)
START = {"star": 1.0, "multistar": 1.0, "class": 0.95, "caption": 0.9}
FALL = {"star": 0.2, "multistar": 0.4, "class": 0.3, "caption": 0.5}


def curve(init: str, picture: int, step: int) -> float:
    """A loss that falls evenly: each picture has a level of its own, which all initializers share."""
    return START[init] - FALL[init] * step / 100 + picture


def begin(root: Path, image: str, init: str, seed: int = 0, name: str = "", came=None, settings=None, **config):
    """A run that has only its configuration and, as `came` says, its record.json."""
    folder = RunFolder(root / Path(image).name / init / f"s{seed}{name}")
    record = {
        "image": image,
        "seed": seed,
        "init": {"name": init},
        "experiment": {"name": "paper"},
        "model": {"name": "tiny"},
        "trainer": {"max_steps": STEPS[-1]},
        "evaluation": {"samples": 4, "pictures": 1, "prompts": ["a {}"]},
    }
    every = json.loads(json.dumps(record | config | (settings or {})))  # no object twice: YAML would use anchors
    folder.write_config(yaml.safe_dump(every))
    if came:
        (folder.path / "record.json").write_text(json.dumps(came))
    return folder


def finish(
    root: Path, image: str, init: str, seed: int = 0, picture: int = 0, pictures: bool = False, metrics=None, **more
) -> RunFolder:
    """A finished run, with the records of its metrics; `more` is for `begin`."""
    folder = begin(root, image, init, seed, **more)
    noise = np.random.default_rng(seed).normal(size=STEPS[-1])  # the same for all initializers
    for step in range(STEPS[-1]):
        folder.record(step, {"train/mse": curve(init, picture, step) + noise[step]})
    for step in STEPS:
        loss = curve(init, picture, step)
        folder.record(step, {"eval/mse": loss, "eval/lpips_pocket": loss / 2, "eval/lpips_pocket_std": 0.1})
        if pictures:
            folder.save_pictures(step, [Image.new("RGB", (8, 8), (step, 0, 0))])
    folder.flush()
    text = {"star": "*", "multistar": "* *", "class": image, "caption": f"a {image}"}[init]
    folder.write_text(InitialText(text, "fixed", text), text.split())
    folder.write_calibration(
        {"mse": {"initial_text": START[init], "empty_prompt": 1.5}, "floor": {"lpips_pocket": 0.1}}
    )
    if pictures:
        folder.save_input(Image.new("RGB", (8, 8), "blue"))
        folder.save_personalization(100, {"{} fedora": [Image.new("RGB", (8, 8), "red")]})
    told = {} if metrics is None else {"protocol": {"samples": 4, "metrics": metrics}}
    folder.write_summary({"status": "finished", "image": image, "init": init, "seed": seed} | told)
    return folder


def sweep(root: Path, images=("cup", "teapot"), inits=("star", "multistar", "class", "caption"), seeds=(0, 1), **more):
    """A finished run for each combination."""
    for i, image in enumerate(images):
        for init in inits:
            for seed in seeds:
                finish(root, image, init, seed, picture=i, **more)
