"""The pocket suite's one recipe: `python -m mti.pocket.build [STAGE …]`; without a name, all stages in their order.

Each stage goes on where it stopped, and leaves its models in `mti/pocket/weights`, its numbers beside
them. What it needs on the way (drawings, latents, checkpoints, logs) lies in `~/.cache/mti-pocket`.
"""

from __future__ import annotations

import argparse
import importlib
from pathlib import Path

from mti.pocket.stage import WEIGHTS, WORK, Options

# Stage -> what it makes; each is a module of that name with `run(options)` and its number of `STEPS`.
STAGES = {
    "drawings": "pictures of the world, for training and for tests",
    "concepts": "the pictures of the individuals that are held out",
    "vae": "the autoencoder",
    "clip": "the pocket CLIP, whose text encoder speaks to the U-Net",
    "classifier": "a picture to its kind",
    "segmenter": "clicks to masks",
    "captioner": "a picture, or a thing cut out of it, to words",
    "perceptual": "a small VGG for LPIPS, SIFID and FID",
    "dino": "a small self-supervised ViT that tells individuals apart",
    "ldm": "the U-Net, and the pipeline of it all",
    "measure": "what the suite can do",
}


def main() -> None:
    """Run the stages that the command line names."""
    stages = "\n".join(f"  {name:<11} {what}" for name, what in STAGES.items())
    parser = argparse.ArgumentParser(
        description=f"{__doc__}\nstages:\n{stages}", formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("stages", nargs="*", choices=[*STAGES, []], metavar="STAGE", help="one of the above")
    parser.add_argument("--steps", type=int, help="instead of each stage's own number of steps")
    parser.add_argument("--work", type=Path, default=WORK, help="drawings, latents, checkpoints and logs")
    parser.add_argument("--weights", type=Path, default=WEIGHTS, help="where the finished models go")
    arguments = parser.parse_args()
    for name in arguments.stages or STAGES:
        module = importlib.import_module(f"mti.pocket.{name}")
        steps = module.STEPS if arguments.steps is None else arguments.steps
        print(f"{name}: {STAGES[name]}", flush=True)
        module.run(Options(steps, arguments.work, arguments.weights))


if __name__ == "__main__":
    main()
