"""How well the pocket model follows its language: `python -m mti.pocket.measure`.

Generates combinations of object, colour and background that no training picture shows, and asks the
pocket classifier and captioner what they see. Their own accuracy on drawings is the upper bound.
"""

from __future__ import annotations

import json

import numpy as np
import torch

from mti.evaluation import draw_pictures, ids_of
from mti.figures import grid
from mti.images import to_pil
from mti.models.sd import StableDiffusion
from mti.noise import initial_latents
from mti.perception.captioner import TransformersCaptioner
from mti.perception.classifier import TimmClassifier
from mti.pocket import world
from mti.pocket.drawings import TEST_SEED
from mti.pocket.stage import DEVICE, arguments
from mti.schema import Evaluation

COUNT = 500
SHEET = 60


def unseen_scenes(count: int) -> list[world.Scene]:
    """Scenes with a colour and a plain background that no training picture has together."""
    scenes, index = [], 0
    while len(scenes) < count:
        scene = world.scene_at(TEST_SEED, index, held_out=True)
        if scene.color and scene.background in world.COLORS and world.is_unseen_combination(scene):
            scenes.append(scene)
        index += 1
    return scenes


def main() -> None:
    """Measure, and write the numbers beside the model's weights."""
    options = arguments(__doc__, steps=25)
    model = StableDiffusion(str(options.weights / "ldm"), name="pocket").to(DEVICE)
    scenes = unseen_scenes(COUNT)
    names = [world.KINDS[scene.kind][1][0] for scene in scenes]
    prompts = [
        f"a photo of a {scene.color} {name} {world.background_phrase(scene)}"
        for scene, name in zip(scenes, names, strict=True)
    ]
    pictures = draw_pictures(
        model,
        initial_latents(0, "measure", COUNT, model.latent_shape),
        ids_of(model, prompts, [], COUNT),
        torch.zeros(0, model.embedding.shape[1], device=DEVICE),
        Evaluation(num_inference_steps=options.steps, batch_size=100),
    )
    images = [to_pil(picture) for picture in pictures]
    classifier = TimmClassifier(str(options.weights / "classifier"), top=1)
    captioner = TransformersCaptioner(str(options.weights / "captioner"), num_beams=2)
    labels = [classifier(image)[0].text for image in images]
    captions = [captioner(image)[0].text for image in images]
    summary = {
        "pictures": COUNT,
        "object": float(np.mean([label == name for label, name in zip(labels, names, strict=True)])),
        "object_color": float(
            np.mean([text.split()[1] == scene.color for text, scene in zip(captions, scenes, strict=True)])
        ),
        "background_color": float(
            np.mean([world.background_phrase(scene) in text for text, scene in zip(captions, scenes, strict=True)])
        ),
    }
    print(f"unseen combinations: {summary}")
    (options.weights / "ldm" / "measured.json").write_text(json.dumps(summary, indent=2) + "\n")
    grid(images[:SHEET], columns=12).save(options.work / "measured.png")


if __name__ == "__main__":
    main()
