"""How few sampling steps are enough: pictures of quick samplers against those of 200 DDIM steps. See README.md."""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import torch

from mti.evaluation import draw_pictures, ids_of
from mti.metrics.features.small_vgg import SmallVGGFeatures
from mti.metrics.lpips import LPIPS
from mti.models.sd import StableDiffusion
from mti.pocket.held_out import CONCEPTS
from mti.pocket.language import scene_caption
from mti.schema import Evaluation

REFERENCE = ("ddim", 200)
TRIED = [("ddim", steps) for steps in (10, 12, 16, 25, 50)] + [("dpm++", steps) for steps in (8, 10, 12, 16, 25)]


def main() -> None:
    """Draw, compare, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="pocket:ldm", help="a pipeline's folder")
    parser.add_argument("--pictures", type=int, default=48, help="of the twelve concepts' captions")
    parser.add_argument("--guidance-scale", type=float, default=4.0)
    parser.add_argument("--output", type=Path, help="a JSON file for the numbers")
    options = parser.parse_args()
    model = StableDiffusion(options.model, "pocket")
    prompts = [f"a photo of {scene_caption(scene)}" for scene in CONCEPTS.values()]
    ids = ids_of(model, prompts, [], options.pictures)
    noise = torch.randn(options.pictures, *model.latent_shape, generator=torch.Generator().manual_seed(0))
    lpips = LPIPS(SmallVGGFeatures("pocket:perceptual"))

    def drawn(sampler: str, steps: int) -> tuple[torch.Tensor, float]:
        how = Evaluation(num_inference_steps=steps, guidance_scale=options.guidance_scale, sampler=sampler)  # type: ignore[arg-type]
        began = time.perf_counter()
        return draw_pictures(model, noise, ids, model.embedding[:0].float(), how), time.perf_counter() - began

    reference, _ = drawn(*REFERENCE)
    found = []
    print("| sampler | steps | LPIPS to 200 DDIM steps | seconds a picture |\n| --- | --- | --- | --- |")
    for sampler, steps in TRIED:
        pictures, seconds = drawn(sampler, steps)
        apart = [
            lpips(one[None], other[None], [""])["lpips"].mean().item()
            for one, other in zip(pictures, reference, strict=True)
        ]
        row = {"sampler": sampler, "steps": steps, "lpips": sum(apart) / len(apart), "seconds": seconds / len(apart)}
        found.append(row)
        print(f"| {sampler} | {steps} | {row['lpips']:.4f} | {row['seconds']:.3f} |", flush=True)
    if options.output:
        options.output.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
