"""What the pocket suite can do, in numbers: `python -m mti.pocket.build measure`, some minutes.

How well the model follows its language over combinations that it has never seen, with the judges' own
accuracy on drawings beside; how sharp its pictures are; and what a click on the concepts finds.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import DPMSolverMultistepScheduler, StableDiffusionPipeline
from jaxtyping import Bool, Float
from PIL import Image
from segment_anything import SamPredictor
from torch import Tensor

from mti.figures import grid
from mti.images import to_pil, to_tensor
from mti.metrics.features.small_vgg import SmallVGGFeatures
from mti.metrics.features.vit import Vit
from mti.metrics.individual import SameIndividual, kind_folder
from mti.metrics.sifid import frechet_distance
from mti.perception.segmenter import load as load_segmenter
from mti.pocket import judges, language
from mti.pocket.concepts import SIZE as CONCEPT_SIZE
from mti.pocket.concepts import click_in
from mti.pocket.cutouts import MARGIN, square_around
from mti.pocket.drawing import draw
from mti.pocket.drawings import Drawings, scene
from mti.pocket.held_out import CONCEPTS, individuals
from mti.pocket.segmenter import iou
from mti.pocket.stage import DEVICE, Options, to_model
from mti.pocket.world import COLORS, KINDS, PATTERNS, PLACES, STICKERS, Scene

STEPS = 12  # of the sampler
GUIDANCE = 4.0
FOLLOWED = 500  # unseen combinations
FRECHET = 2_000  # samples and drawings
OTHERS = 3  # individuals of each kind
BATCH = 100
BORDER = 4  # pixels
SHEET = 96
AUTOCAST = torch.bfloat16

# What `followed_pocket` calls the aspects.
NAMES = {"kind": "thing", "color": "colour", "pattern_color": "pattern_colour", "sticker_color": "sticker_colour"}


def unseen(count: int) -> tuple[list[int], list[Scene]]:
    """Test scenes, each of another individual, of a named colour: no training picture has their combination."""
    indices, index = [], 0
    while len(indices) < count:
        if scene("test", index).thing.color:
            indices.append(index)
        index += 2
    return indices, [scene("test", index) for index in indices]


def pipeline(folder: Path) -> Any:
    """The pipeline of diffusers, in fp32, with DPM-Solver++ (Lu et al. 2022, arXiv:2211.01095)."""
    pipe: Any = StableDiffusionPipeline.from_pretrained(folder, torch_dtype=torch.float32, safety_checker=None)
    pipe.scheduler = DPMSolverMultistepScheduler.from_config(pipe.scheduler.config, use_karras_sigmas=True)
    pipe.set_progress_bar_config(disable=True)
    return pipe.to(DEVICE)


def sampled(pipe: Any, prompts: list[str], steps: int, seed: int) -> Float[Tensor, "pictures 3 64 64"]:
    """A picture in [-1, 1] for each prompt."""
    parts = []
    for start in range(0, len(prompts), BATCH):
        draws = torch.Generator().manual_seed(seed + start)
        with torch.autocast(DEVICE.type, AUTOCAST):
            found = pipe(
                prompts[start : start + BATCH],
                num_inference_steps=steps,
                guidance_scale=GUIDANCE,
                generator=draws,
                output_type="pt",
            )
        parts.append(found.images.float().cpu() * 2 - 1)
    return torch.cat(parts)


def mottling(pictures: Float[Tensor, "pictures 3 64 64"], plain: Bool[Tensor, " pictures"]) -> float:
    """How much plain backgrounds vary: their border's standard deviation around a plane; of the median picture."""
    size = pictures.shape[-1]
    edge = torch.ones(size, size, dtype=torch.bool)
    edge[BORDER:-BORDER, BORDER:-BORDER] = False
    y, x = edge.nonzero().float().div(size).unbind(1)
    plane = torch.stack([torch.ones_like(x), x, y], 1)
    border = pictures[plain][:, :, edge].flatten(0, 1).mT
    rest = border - plane @ torch.linalg.lstsq(plane, border).solution
    return rest.std(0).view(-1, 3).mean(1).median().item()


def detail(pictures: Float[Tensor, "pictures 3 64 64"]) -> float:
    """The mean gradient of luminance."""
    weights = torch.tensor([0.299, 0.587, 0.114])
    luminance = torch.einsum("bchw,c->bhw", pictures, weights)
    return (luminance.diff(dim=1).abs().mean() + luminance.diff(dim=2).abs().mean()).item()


def frechet(network: SmallVGGFeatures, first: Tensor, second: Tensor) -> float:
    """FID through the pocket's perceptual network: its last map's means."""
    features = [
        torch.cat([network(some)["relu5"].mean((2, 3)) for some in each.split(200)]) for each in (first, second)
    ]
    return frechet_distance(*(each.double() for each in features)).item()


def sharpness(pipe: Any, samples: Tensor, drawn: Tensor, scenes: list[Scene]) -> dict[str, float]:
    """Samples against drawings of the same scenes, and against those encoded and decoded."""
    with torch.no_grad():
        means = [pipe.vae.encode(some.to(DEVICE)).latent_dist.mean for some in drawn.split(BATCH)]
        decoded = torch.cat([pipe.vae.decode(mean).sample.clamp(-1, 1).cpu() for mean in means])
    plain = torch.tensor([one.background in COLORS for one in scenes])
    return {
        "background_variation": round(mottling(samples, plain), 5),
        "background_variation_decoded": round(mottling(decoded, plain), 5),
        "detail_to_drawings": round(detail(samples) / detail(drawn), 4),
        "detail_decoded_to_drawings": round(detail(decoded) / detail(drawn), 4),
    }


def clicks(judge: judges.Judges, weights: Path) -> dict[str, Any]:
    """What is found of the twelve concepts: in the whole picture, and by a click on the thing, cut out on white."""
    predictor = SamPredictor(load_segmenter(str(weights / "segmenter"), None))
    whole, cut, overlaps, scenes = [], [], [], list(CONCEPTS.values())
    for one in scenes:
        picture, mask = draw(one, CONCEPT_SIZE)
        predictor.set_image(np.asarray(picture))
        found, quality, _ = predictor.predict(np.array([click_in(one, CONCEPT_SIZE)], np.float32), np.array([1]))
        best = np.asarray(found)[int(np.asarray(quality).argmax())]
        overlaps.append(iou(torch.from_numpy(best), torch.from_numpy(mask)).item())
        white = Image.composite(picture, Image.new("RGB", picture.size, "white"), Image.fromarray(best))
        whole.append(picture)
        cut.append(white.crop(square_around(torch.from_numpy(best), MARGIN)))
    report: dict[str, Any] = {"iou_mean": round(float(np.mean(overlaps)), 4), "iou_least": round(min(overlaps), 4)}
    for name, images in (("whole", whole), ("clicked", cut)):
        small = [np.asarray(image.resize((64, 64), Image.Resampling.BICUBIC)) for image in images]
        pictures = to_model(torch.from_numpy(np.stack(small)))
        told, kinds = judge.captions(pictures), judge.kinds(pictures)
        report[name] = {
            "classifier": sum(kind == one.thing.kind for kind, one in zip(kinds, scenes, strict=True)),
            "captioner": sum(
                language.understood(text).get("kind") == one.thing.kind for text, one in zip(told, scenes, strict=True)
            ),
            "captions": told,
        }
    return report


def draw_others(folder: Path) -> None:
    """For each kind of thing a folder of pictures, each of another held-out individual."""
    wanted, index = dict.fromkeys(KINDS, OTHERS), 0
    while any(wanted.values()):
        one = scene("test", index)
        kind = one.thing.kind
        if wanted[kind]:
            wanted[kind] -= 1
            path = folder / kind_folder(KINDS[kind][1][0]) / f"{wanted[kind]}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            draw(one, 64)[0].save(path, optimize=True)
        index += 2


def recognition(weights: Path) -> float:
    """How often a held-out individual's other pictures are told from `draw_others`' by its first one."""
    same = SameIndividual(Vit(str(weights / "dino"), 64, 64, [0.5] * 3, [0.5] * 3), str(weights / "others"))
    found = []
    for scenes in individuals().values():
        pictures = torch.stack([to_tensor(draw(one, 64)[0], 64) for one in scenes])
        there = same.there(pictures[1:], pictures[:1], KINDS[scenes[0].thing.kind][1][0])
        assert there is not None
        found += there.tolist()
    return round(float(np.mean(found)), 4)


def vocabulary(accuracy: dict[str, float], able: dict[str, list[str]]) -> dict[str, Any]:
    """What texts of the world can say, which judges can tell, and how often they are right, for `followed_pocket`."""
    aspects = {
        "thing": {names[0]: list(names) for _, names in KINDS.values()},
        "colour": {color: [color] for color in COLORS},
        "pattern": {pattern: [pattern] for pattern in PATTERNS},
        "sticker": {sticker: [sticker, plural] for sticker, (_, plural) in STICKERS.items()},
        "place": {place: [phrase] for place, phrase in PLACES.items()},
    }
    return {
        "aspects": aspects,
        "judges": {NAMES.get(name, name): own for name, own in able.items()} | {"place": able["background"]},
        "accuracy": {NAMES.get(name, name): share for name, share in accuracy.items()},
    }


def run(options: Options) -> None:
    """Measure, and write the numbers beside the weights."""
    weights, judge = options.weights, judges.Judges(options.weights)
    indices, scenes = unseen(FOLLOWED)
    test, there = Drawings("test", options.work), judges.asked(scenes)
    drawn = to_model(test.pictures(torch.tensor(indices))).cpu()
    texts = judge.alternatives(scenes)
    seen = judge.see(drawn, scenes, texts)
    able = judges.trusted(judges.shares(seen, there))
    accuracy = judges.shares({**seen, "judges": judges.together(seen, able)}, there)
    draw_others(weights / "others")
    accuracy["judges"]["individual"] = recognition(weights)
    print(f"judges on drawings: {json.dumps(accuracy)}", flush=True)
    kept = vocabulary(accuracy["judges"], able)
    (weights / "vocabulary.json").write_text(json.dumps(kept, indent=2) + "\n")
    found: dict[str, Any] = {"unseen_combinations": FOLLOWED, "judges_on_drawings": accuracy}
    found["concepts"] = clicks(judge, weights)
    print(f"concepts: {json.dumps(found['concepts'])}", flush=True)

    pipe = pipeline(weights / "ldm")
    samples = sampled(pipe, [f"a photo of {language.scene_caption(one)}" for one in scenes], options.steps, seed=0)
    grid([to_pil(picture) for picture in samples[:SHEET]], columns=12).save(options.work / "measured.png")
    seen = judge.see(samples, scenes, texts)
    found["followed"] = judges.shares({**seen, "judges": judges.together(seen, able)}, there)
    found["sharpness"] = sharpness(pipe, samples, drawn, scenes)
    print(f"samples: {json.dumps({name: found[name] for name in ('followed', 'sharpness')})}", flush=True)

    places = torch.arange(FRECHET) * 2
    more = [f"a photo of {language.scene_caption(one)}" for one in test.scenes(places)]
    many = sampled(pipe, more, options.steps, seed=1)
    network = SmallVGGFeatures(str(weights / "perceptual"))
    found["frechet_distance"] = round(frechet(network, many, to_model(test.pictures(places)).cpu()), 3)
    (weights / "measured.json").write_text(json.dumps({"sampler_steps": options.steps, **found}, indent=2) + "\n")
    print(json.dumps(found, indent=2))
