"""A short run as loggers see it."""

import logging

from PIL import Image

ABOUT = {
    "name": "teapot, star, seed 0",
    "group": "smoke",
    "job_type": "star",
    "config": {"seed": 0, "init": {"name": "star"}, "initial_text": "*", "initial_tokens": ["*</w>"]},
}
PICTURE = Image.new("RGB", (8, 8), "red")
MASK = Image.new("L", (8, 8), "white")


def log_run(run):
    """Two updates, an evaluation and the end."""
    run.pictures(0, "learned", [PICTURE, MASK], ["picture", "mask"])
    for step in range(3):
        run.log(step, {"train/mse": 0.5 / (step + 1)})
    run.log(3, {"eval/mse": 0.25})
    run.pictures(3, "samples", [PICTURE] * 3, ["a photo of {}", "a {}", "a photo of {}"])
    run.finish({"status": "finished", "text": "*"})


def messages(caplog):
    """What loggers have said, from warnings on."""
    return [
        record.getMessage()
        for record in caplog.records
        if record.name.startswith("mti.loggers") and record.levelno >= logging.WARNING
    ]
