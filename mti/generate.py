"""Pictures from learned tokens: `python -m mti.generate run=outputs/… prompt="a photo of {} on the beach"`."""

from __future__ import annotations

import logging
import re
import sys
from pathlib import Path
from typing import Any

import hydra
from omegaconf import DictConfig, OmegaConf

log = logging.getLogger("mti")


@hydra.main(version_base="1.3", config_path="../conf", config_name="generate")
def main(config: DictConfig) -> None:
    """Generate, write every picture and a grid of them, and say where they are."""
    from mti.types import UserError

    try:
        log.info("%s", generate(config))
    except UserError as mistake:
        print(f"mti: {mistake}", file=sys.stderr)
        sys.exit(2)


def generate(config: DictConfig) -> Path:
    """Draw the pictures; the file of their grid, beside which the single pictures lie.

    Raises `UserError` for a folder without learned tokens, and for a prompt that is too long.
    """
    import torch  # here, as --help need not wait for it

    from mti.config import build
    from mti.evaluation import draw_pictures, ids_of
    from mti.figures import grid
    from mti.images import to_pil
    from mti.noise import initial_latents
    from mti.outputs import RunFolder

    folder = RunFolder(Path(config.run))
    run: Any = OmegaConf.create(folder.read_config())
    embeddings, placeholder = folder.read_tokens()
    device = torch.device(config.device or ("cuda" if torch.cuda.is_available() else "cpu"))
    model = build(run.model).load().to(device)
    placeholders = range(len(model.embedding), len(model.embedding) + len(embeddings))
    pictures = draw_pictures(
        model,
        initial_latents(config.seed, placeholder, config.pictures, model.latent_shape),
        ids_of(model, [config.prompt], placeholders, config.pictures),
        embeddings.to(device),
        num_inference_steps=config.num_inference_steps,
        guidance_scale=config.guidance_scale,
        batch_size=config.batch_size,
    )
    name = re.sub(r"\W+", "_", config.prompt.replace("{}", placeholder)).strip("_")
    output = Path(config.output or folder.path / "generated" / f"{name[:80]}_s{config.seed}")
    output.mkdir(parents=True, exist_ok=True)
    images = [to_pil(picture) for picture in pictures]
    for i, image in enumerate(images):
        image.save(output / f"{i}.png")
    grid(images, columns=4).save(output / "grid.png")
    return output / "grid.png"


def quoted(argument: str) -> str:
    """A command-line override, a prompt in quotes: Hydra's grammar takes a bare {} for a dictionary."""
    key, _, value = argument.partition("=")
    if key != "prompt" or value[:1] in ("'", '"'):
        return argument
    escaped = value.replace("'", r"\'")
    return f"prompt='{escaped}'"


if __name__ == "__main__":
    sys.argv[1:] = [quoted(argument) for argument in sys.argv[1:]]
    main()
