"""The pocket segmenter: `python -m mti.pocket.train_segmenter`.

A small Sam of segment-anything's own classes on 64x64 pictures, trained as Segment Anything's paper
says (section 3 and appendix A), without its interactive rounds: clicks inside the object, clicks
outside it, and loose boxes; the best of three masks is taught where a prompt may be ambiguous.

A third of the drawings have two things in them, and one prompt in eight asks for the background, so
that the answer hangs on the click and not on the picture alone.
"""

from __future__ import annotations

import dataclasses
import json
import multiprocessing
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from safetensors.torch import save_file
from segment_anything import SamPredictor
from segment_anything.modeling import MaskDecoder, Sam
from torch import Tensor

from mti.perception.segmenter import build_sam
from mti.pocket import drawings, world
from mti.pocket.stage import DEVICE, Stage, arguments, keep_log

SIZE = drawings.SIZE
DRAWN = 24_000
BATCH = 24
PROMPTS = 2  # of each picture in a batch, since encoding it is what costs
BACKGROUND = 1 / 8  # of the prompts ask for what is behind the things
PADDED = 0.2  # of the batches are cut to another aspect ratio and padded, as SamPredictor does
EVALUATED = 1_000  # held-out drawings
ARCHITECTURE: dict[str, Any] = {
    "image_size": SIZE,
    "patch_size": 4,
    "encoder_width": 128,
    "encoder_depth": 4,
    "encoder_heads": 4,
    "encoder_global_blocks": [1, 3],
    "encoder_window": 8,
    "decoder_width": 128,
    "decoder_depth": 2,
    "decoder_heads": 4,
    "decoder_mlp_width": 256,
    "pixel_mean": [127.5, 127.5, 127.5],
    "pixel_std": [127.5, 127.5, 127.5],
}


class Form(NamedTuple):
    """What the prompts of a batch are made of, and how often such a batch comes."""

    inside: int
    outside: int
    box: bool
    weight: float


FORMS = (
    Form(1, 0, False, 5),
    Form(2, 0, False, 1),
    Form(3, 0, False, 1),
    Form(1, 1, False, 1),
    Form(2, 1, False, 1),
    Form(0, 0, True, 1),
    Form(1, 0, True, 1),
    Form(1, 1, True, 0.5),
)


class Prompts(NamedTuple):
    """Clicks and boxes in pixels, as PromptEncoder takes them: points [b, n, 2], labels [b, n], boxes [b, 4]."""

    points: Tensor | None
    labels: Tensor | None
    boxes: Tensor | None


# ------------------------------------------------------------------------------------------ drawings


def drawing(split: str, index: int, pair: bool) -> tuple[np.ndarray, np.ndarray]:
    """A picture, [64, 64, 3], and what is where, [64, 64]: 0 the background, 1 a thing, 2 another before it."""
    scene = drawings.scene(split, index)
    if not pair:
        picture, mask = world.draw(scene, SIZE)
        return np.asarray(picture), mask.astype(np.uint8)
    rng = np.random.default_rng([index, 2])
    numbers = range(10**6 + 100 * index, 10**6 + 100 * index + 100)  # beyond those of the pictures themselves
    others = (drawings.scene(split, number) for number in numbers)
    other = next(s for s in others if scene.background not in (s.color, s.pattern_color))
    left = dataclasses.replace(scene, **_half(rng, 0.27))
    right = dataclasses.replace(other, **_half(rng, 0.73), background=scene.background, texture_seed=scene.texture_seed)
    behind = np.asarray(world.background_picture(scene.background, scene.texture_seed, SIZE))
    things = np.zeros((SIZE, SIZE), np.uint8)
    picture = behind
    for number, one in enumerate((left, right), 1):
        drawn, mask = world.draw(one, SIZE)
        pixels = np.asarray(drawn)
        picture = np.where((pixels != behind).any(-1, keepdims=True), pixels, picture)
        things[mask] = number
    return picture, things


def _half(rng: np.random.Generator, x: float) -> dict[str, float]:
    """A thing's place beside another."""
    place = {"scale": rng.uniform(0.38, 0.56), "x": x + rng.uniform(-0.06, 0.06), "y": rng.uniform(0.35, 0.65)}
    return {key: float(value) for key, value in place.items()}


def _training_drawing(index: int) -> tuple[np.ndarray, np.ndarray]:
    return drawing("train", index, pair=index % 3 == 2)


def training_set(work: Path) -> tuple[Tensor, Tensor]:
    """Pictures, uint8 [count, 3, 64, 64], and what is where in them, uint8 [count, 64, 64]; drawn once."""
    path = work / "segmenter.npz"
    if not path.exists():
        with multiprocessing.Pool() as pool:
            drawn = pool.map(_training_drawing, range(DRAWN), chunksize=200)
        pictures, things = (np.stack(column) for column in zip(*drawn, strict=True))
        partial = path.with_suffix(".partial.npz")
        np.savez(partial, pictures=pictures, things=things)
        partial.rename(path)
    arrays = np.load(path)
    return torch.from_numpy(arrays["pictures"]).permute(0, 3, 1, 2), torch.from_numpy(arrays["things"])


# ------------------------------------------------------------------------------------------- prompts


def targets(things: Tensor, generator: torch.Generator) -> Bool[Tensor, "batch 64 64"]:
    """A thing of each picture, or now and then its background."""
    pick = 1 + (torch.rand(len(things), generator=generator) * things.flatten(1).amax(1)).long()
    pick[torch.rand(len(things), generator=generator) < BACKGROUND] = 0
    masks = things == pick[:, None, None]
    hidden = ~masks.flatten(1).any(1)
    masks[hidden] = things[hidden] == 0
    return masks


def prompts(masks: Bool[Tensor, "batch h w"], form: Form, generator: torch.Generator) -> Prompts:
    """Random clicks inside and outside the masks, and a box with each side off by up to a tenth."""
    clicks = [_points(masks, form.inside, generator), _points(~masks, form.outside, generator)]
    points = torch.cat(clicks, 1)
    labels = torch.tensor([1] * form.inside + [0] * form.outside).expand(len(masks), -1)
    boxes = _boxes(masks, generator) if form.box else None
    return Prompts(points, labels, boxes) if points.shape[1] else Prompts(None, None, boxes)


def _points(masks: Tensor, count: int, generator: torch.Generator) -> Float[Tensor, "batch count 2"]:
    if not count:
        return torch.zeros(len(masks), 0, 2)
    weights = masks.flatten(1).float() + 1e-9  # a mask may leave nothing outside
    where = torch.multinomial(weights, count, replacement=True, generator=generator)
    return torch.stack([where % masks.shape[2], where // masks.shape[2]], -1).float()


def _boxes(masks: Tensor, generator: torch.Generator) -> Float[Tensor, "batch 4"]:
    corners = []
    for axis in (1, 2):  # over rows: the columns' extent; over columns: the rows'
        spans = masks.any(axis).float()
        corners.append((spans.argmax(1), spans.shape[1] - 1 - spans.flip(1).argmax(1)))
    (left, right), (top, bottom) = corners
    boxes = torch.stack([left, top, right, bottom], 1).float()
    sides = (boxes[:, 2:] - boxes[:, :2]).repeat(1, 2)
    noise = 0.2 * torch.rand(boxes.shape, generator=generator) - 0.1
    return (boxes + noise * sides).clamp(0, masks.shape[1] - 1)


# ---------------------------------------------------------------------------------------------- loss


def decoded(decoder: MaskDecoder, features: Tensor, positions: Tensor, sparse: Tensor, dense: Tensor) -> tuple:
    """MaskDecoder.predict_masks for prompts of which each has a picture of its own; the original takes one picture."""
    tokens = torch.cat([decoder.iou_token.weight, decoder.mask_tokens.weight])
    tokens = torch.cat([tokens.expand(len(sparse), -1, -1), sparse], 1)
    states, pixels = decoder.transformer(features + dense, positions.expand(len(sparse), -1, -1, -1), tokens)
    upscaled = decoder.output_upscaling(pixels.transpose(1, 2).unflatten(2, features.shape[2:]))
    mlps = enumerate(decoder.output_hypernetworks_mlps, 1)
    weights = torch.stack([mlp(states[:, i]) for i, mlp in mlps], 1)
    return torch.einsum("bmc,bchw->bmhw", weights, upscaled), decoder.iou_prediction_head(states[:, 0])


def answers(sam: Sam, pictures: Tensor, asked: Prompts) -> tuple[Tensor, Tensor]:
    """Mask logits, [prompts, 4, 64, 64], and their expected IoU, [prompts, 4]; `PROMPTS` in a row for each picture."""
    features = sam.image_encoder(sam.preprocess(pictures.to(DEVICE).float()))
    features = features.repeat_interleave(PROMPTS, 0)
    points, labels, boxes = (part if part is None else part.to(DEVICE) for part in asked)
    sparse, dense = sam.prompt_encoder(None if points is None else (points, labels), boxes, None)
    return decoded(sam.mask_decoder, features, sam.prompt_encoder.get_dense_pe(), sparse, dense)


def mask_losses(logits: Float[Tensor, "b masks h w"], masks: Bool[Tensor, "b h w"]) -> Float[Tensor, "b masks"]:
    """Focal loss (γ = 2) twenty times, and dice loss once, as in Segment Anything."""
    target = masks[:, None].float().expand_as(logits)
    likelihood = -F.binary_cross_entropy_with_logits(logits, target, reduction="none")
    focal = (-((1 - likelihood.exp()) ** 2) * likelihood).mean((2, 3))
    chance = logits.sigmoid()
    overlap = (chance * target).sum((2, 3))
    dice = 1 - (2 * overlap + 1) / (chance.sum((2, 3)) + target.sum((2, 3)) + 1)
    return 20 * focal + dice


def iou(found: Bool[Tensor, "*batch h w"], masks: Bool[Tensor, "*batch h w"]) -> Float[Tensor, " *batch"]:
    """Intersection over union."""
    return (found & masks).sum((-2, -1)) / (found | masks).sum((-2, -1)).clamp_min(1)


def loss_of(sam: Sam, pictures: Tensor, masks: Bool[Tensor, "b h w"], asked: Prompts) -> dict[str, Tensor]:
    """The single mask, the best of the three, and how good each is said to be."""
    logits, quality = answers(sam, pictures, asked)
    logits, quality, masks = logits.float(), quality.float(), masks.to(DEVICE)
    losses = mask_losses(logits, masks)
    actual = iou(logits > 0, masks[:, None].expand_as(logits))
    chosen = actual.gather(1, 1 + quality[:, 1:].argmax(1, keepdim=True)).mean()
    loss = losses[:, 0].mean() + losses[:, 1:].amin(1).mean() + F.mse_loss(quality, actual)
    return {"loss": loss, "iou": chosen}


def padded(pictures: Tensor, things: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """The batch cut at the right or at the bottom, the rest in the colour that becomes 0."""
    side = int(torch.randint(SIZE // 2, SIZE, (), generator=generator))
    pictures, things = pictures.clone(), things.clone()
    if torch.rand((), generator=generator) < 0.5:
        pictures[..., side:], things[..., side:] = 127, 0
    else:
        pictures[..., side:, :], things[..., side:, :] = 127, 0
    return pictures, things


# ------------------------------------------------------------------------------------------ training


def measure(sam: Sam, form: Form, pair: bool) -> float:
    """Mean IoU on held-out drawings, of the mask that the model itself thinks best, through SamPredictor."""
    predictor, generator, scores = SamPredictor(sam), torch.Generator().manual_seed(0), []
    for index in range(EVALUATED):
        picture, things = drawing("test", index, pair)
        masks = torch.from_numpy(things == 1 + index % int(things.max()))[None]
        asked = prompts(masks, form, generator)
        points, labels, boxes = (part if part is None else part[0].numpy() for part in asked)
        predictor.set_image(picture)
        found, quality, _ = predictor.predict(points, labels, boxes)
        scores.append(iou(torch.from_numpy(found[quality.argmax()]), masks[0]).item())
    return round(float(np.mean(scores)), 4)


def main() -> None:
    """Train, measure on the held-out drawings, and write the weights."""
    options = arguments(__doc__, steps=1_500)
    options.work.mkdir(parents=True, exist_ok=True)
    pictures, things = training_set(options.work)
    weights = torch.tensor([form.weight for form in FORMS])

    def loss(sam: Any, step: int) -> dict[str, Tensor]:
        generator = torch.Generator().manual_seed(step)
        indices = torch.randint(len(pictures), (BATCH,), generator=generator)
        form = FORMS[int(torch.multinomial(weights, 1, generator=generator))]
        batch = pictures[indices], things[indices]
        if torch.rand((), generator=generator) < PADDED:
            batch = padded(*batch, generator)
        masks = targets(batch[1].repeat_interleave(PROMPTS, 0), generator)
        return loss_of(sam, batch[0], masks, prompts(masks, form, generator))

    torch.manual_seed(0)
    sam = Stage("segmenter", build_sam(ARCHITECTURE), loss, options.steps, 1e-3, options.work).run()
    sam = sam.half().float()  # what is shipped is what is measured
    summary = {
        "held_out_drawings": EVALUATED,
        "iou_one_click": measure(sam, Form(1, 0, False, 1), pair=False),
        "iou_one_click_of_two_things": measure(sam, Form(1, 0, False, 1), pair=True),
        "iou_click_and_other_of_two_things": measure(sam, Form(1, 1, False, 1), pair=True),
        "iou_box_of_two_things": measure(sam, Form(0, 0, True, 1), pair=True),
        "steps": options.steps,
    }
    print(f"held-out drawings: {summary}")

    folder = options.weights / "segmenter"
    folder.mkdir(parents=True, exist_ok=True)
    save_file(
        {name: tensor.cpu().half().contiguous() for name, tensor in sam.state_dict().items()},
        folder / "model.safetensors",
    )
    (folder / "config.json").write_text(json.dumps(ARCHITECTURE, indent=2) + "\n")
    (folder / "summary.json").write_text(json.dumps(summary, indent=2) + "\n")
    keep_log("segmenter", options.work, folder)


if __name__ == "__main__":
    main()
