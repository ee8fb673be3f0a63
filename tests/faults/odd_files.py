"""The files that the inputs of `faults.odd` name."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from faults.odd_texts import NAMES, SENT

TEAPOT = Path(__file__).parents[2] / "mti" / "pocket" / "concepts" / "teapot.png"


def make(place: Path) -> None:
    """Make all the files that the inputs name."""
    place.mkdir(parents=True, exist_ok=True)
    for name in (*(f"names/{one}" for one in NAMES), "home/photos/my_mug.jpg", "pictures/cup.png", "pictures/mug.png"):
        _put(place / name)
    _put(place / os.fsdecode(b"names/t\xe9.png"))
    _make_bad(place / "bad")
    _make_runs(place)


def _put(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(TEAPOT, path)


def _make_bad(bad: Path) -> None:
    for folder in ("nothing", "notes", "deep/inner", "fifos", "mixed", "broken"):
        (bad / folder).mkdir(parents=True)
    whole = TEAPOT.read_bytes()
    for name, content in {
        "empty.png": b"",
        "text.png": b"no picture",
        "truncated.png": whole[: len(whole) // 2],
        "bomb.png": whole[:16] + (10**5).to_bytes(4, "big") * 2 + whole[24:],
        "notes/a.txt": b"words",
        "broken/a.png": whole[:20],
        "mixed/b.png": b"",
        "mixed/c.heic": bytes(24),
    }.items():
        (bad / name).write_bytes(content)
    _put(bad / "mixed" / "a.png")
    _put(bad / "deep" / "inner" / "a.png")
    os.mkfifo(bad / "fifo.png")
    os.mkfifo(bad / "fifos" / "a.png")
    for name, target in {"loop.png": "loop.png", "dangling.png": "/nowhere.png", "link": "mixed/a.png"}.items():
        (bad / name).symlink_to(target)


def _make_runs(place: Path) -> None:
    """A run as `mti.run` leaves it, as far as other entries read it, and copies of it that say something odd."""
    import torch
    import yaml
    from tiny import tiny_pipeline

    from mti.outputs import RunFolder

    model = {"_target_": "mti.models.sd.StableDiffusion", "name": "tiny", "path": str(tiny_pipeline(place / "tiny"))}
    evaluation = {"prompts": ["a {}"], "pictures": 1, "num_inference_steps": 1, "steps": [0, 1], "samples": 1}
    begun = {"image": "teapot", "init": {"name": "star"}, "seed": 0, "model": model, "evaluation": evaluation}
    more = {"trainer": {"max_steps": 1}, "experiment": {"name": "default"}, "choices": {"model": "pocket"}}
    text = yaml.safe_dump(begun | more)
    for folder in (place / "run", *(place / "sent" / str(number) for number in range(len(SENT)))):
        run = RunFolder(folder)
        run.write_config(text)
        for step in (0, 1):
            run.record(step, {"eval/mse": 1.0 - step / 2})
            run.write_tokens(torch.zeros(1, 32), "<teapot>", step)
        run.flush()
        run.write_tokens(torch.zeros(1, 32), "<teapot>")
        run.write_summary({"status": "finished", "image": "teapot", "init": "star", "seed": 0, "steps": 1})
    for number, (line, key) in enumerate(SENT.items()):
        others = yaml.safe_dump({name: one for name, one in (begun | more).items() if name != key})
        (place / "sent" / str(number) / "config.yaml").write_text(f"{others}{line}\n", encoding="utf-8")
