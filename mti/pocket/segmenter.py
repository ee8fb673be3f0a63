"""The pocket segmenter, a small Sam of segment-anything's own classes on 64 × 64 pictures.

Trained as Segment Anything's paper says (section 3 and appendix A), without its interactive rounds:
clicks inside the thing, clicks outside it, and loose boxes; the best of three masks is taught most.

A third of the pictures have two things in them, and one prompt in eight asks for the background, so
that the answer hangs on the click and not on the picture alone.
"""

from __future__ import annotations

import json
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
from mti.pocket.drawings import SIZE, Drawings
from mti.pocket.stage import DEVICE, Losses, Options, Stage, generator, keep_numbers

STEPS = 5_400
BATCH = 24
PROMPTS = 2  # of each picture in a batch, since encoding it is what costs
BACKGROUND = 1 / 8  # of the prompts ask for what is behind the things
OTHERS = 0.3  # what the masks that are not the best count
PADDED = 0.2  # of the batches are cut to another aspect ratio and padded, as SamPredictor does
EVALUATED = 500  # held-out drawings
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


# ------------------------------------------------------------------------------------------ pictures


def pairs(first: Tensor, masks: Tensor, others: Tensor, other_masks: Tensor, draws: torch.Generator) -> tuple:
    """Pictures with two things beside each other: [batch, 3, 64, 64] in 0 … 255, and what is where, [batch, 64, 64].

    0 is the background, 1 the thing of the first picture, 2 that of the other one, which may hide a little of it.
    """
    side = torch.where(torch.rand(len(first), generator=draws) < 0.5, -0.45, 0.45)

    def placed(pictures: Tensor, own: Tensor, side: Tensor) -> tuple[Tensor, Tensor]:
        size = 0.45 + 0.25 * torch.rand(len(pictures), generator=draws)
        way = 0.3 * (2 * torch.rand(len(pictures), 2, generator=draws) - 1)
        way[:, 0] = side + 0.4 * way[:, 0]
        affine = torch.cat([torch.eye(2).expand(len(pictures), 2, 2), -way[:, :, None]], 2) / size[:, None, None]
        grid = F.affine_grid(affine, list(pictures.shape), align_corners=False)
        moved = F.grid_sample(pictures, grid, "bilinear", "border", align_corners=False)
        return moved, F.grid_sample(own[:, None].float(), grid, "bilinear", "zeros", align_corners=False)[:, 0] > 0.5

    back, back_mask = placed(first.float(), masks, side)
    front, front_mask = placed(others.float(), other_masks, -side)
    things = back_mask.to(torch.uint8).masked_fill(front_mask, 2)
    return torch.where(front_mask[:, None], front, back), things


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


def answers(sam: Sam, pictures: Tensor, asked: Prompts, each: int = PROMPTS) -> tuple[Tensor, Tensor]:
    """Mask logits, [prompts, 4, 64, 64], and their expected IoU, [prompts, 4]; `each` in a row are of one picture."""
    features = sam.image_encoder(sam.preprocess(pictures.to(DEVICE).float()))
    features = features.repeat_interleave(each, 0)
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


def loss_of(sam: Sam, pictures: Tensor, masks: Bool[Tensor, "b h w"], asked: Prompts) -> Losses:
    """The single mask, the three, the best of them most, and how good each is said to be."""
    logits, quality = answers(sam, pictures, asked)
    logits, quality, masks = logits.float(), quality.float(), masks.to(DEVICE)
    losses = mask_losses(logits, masks)
    actual = iou(logits > 0, masks[:, None].expand_as(logits))
    chosen = actual.gather(1, 1 + quality[:, 1:].argmax(1, keepdim=True)).mean()
    best = losses[:, 1:].amin(1).mean() + OTHERS * losses[:, 1:].mean()
    loss = losses[:, 0].mean() + best + F.mse_loss(quality, actual)
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


def batch_of(split: Drawings, chosen: Tensor, pair: bool, draws: torch.Generator) -> tuple[Tensor, Tensor]:
    """Drawings, [batch, 3, 64, 64] in 0 … 255, and what is where in them, uint8 [batch, 64, 64]."""
    pictures, masks = split.pictures(chosen).permute(0, 3, 1, 2).float(), split.masks(chosen)
    if not pair:
        return pictures, masks.to(torch.uint8)
    others = torch.randint(len(split), chosen.shape, generator=draws)
    return pairs(pictures, masks, split.pictures(others).permute(0, 3, 1, 2), split.masks(others), draws)


def measure(sam: Sam, test: Drawings, form: Form, pair: bool) -> float:
    """Mean IoU on held-out drawings, of the mask that the model itself thinks best, through SamPredictor."""
    predictor, draws, scores = SamPredictor(sam), torch.Generator().manual_seed(0), []
    pictures, things = batch_of(test, torch.arange(EVALUATED), pair, draws)
    for index, (picture, where) in enumerate(zip(pictures, things, strict=True)):
        masks = (where == 1 + index % max(int(where.max()), 1))[None]
        asked = prompts(masks, form, draws)
        points, labels, boxes = (part if part is None else part[0].numpy() for part in asked)
        predictor.set_image(picture.permute(1, 2, 0).byte().numpy())
        found, quality, _ = predictor.predict(points, labels, boxes)
        scores.append(iou(torch.from_numpy(found[quality.argmax()]), masks[0]).item())
    return round(float(np.mean(scores)), 4)


@torch.no_grad()
def clicked(sam: Sam, pictures: Tensor, masks: Bool[Tensor, "batch 64 64"], draws: torch.Generator) -> Tensor:
    """The masks that the segmenter gives for a random click on each thing: bool, [batch, 64, 64].

    Args:
        sam: a segmenter, as `build_sam` makes it.
        pictures: [batch, 3, 64, 64] in 0 … 255.
        masks: where the things are.
        draws: gives the clicks.
    """
    logits, quality = answers(sam, pictures, prompts(masks, FORMS[0], draws), each=1)
    best = 1 + quality[:, 1:].argmax(1)
    return (logits[torch.arange(len(best)), best] > 0).cpu()


def run(options: Options) -> None:
    """Train, measure on the held-out drawings, and write the weights."""
    train, test = Drawings("train", options.work), Drawings("test", options.work)
    weights = torch.tensor([form.weight for form in FORMS])

    def loss(sam: Any, step: int) -> Losses:
        draws = generator(step)
        chosen = torch.randint(len(train), (BATCH,), generator=draws)
        form = FORMS[int(torch.multinomial(weights, 1, generator=draws))]
        batch = batch_of(train, chosen, step % 3 == 2, draws)
        if torch.rand((), generator=draws) < PADDED:
            batch = padded(*batch, draws)
        masks = targets(batch[1].repeat_interleave(PROMPTS, 0), draws)
        return loss_of(sam, batch[0], masks, prompts(masks, form, draws))

    torch.manual_seed(0)
    stage = Stage("segmenter", build_sam(ARCHITECTURE), loss, options.steps, 1e-3, options.work, decay_share=0.6)
    sam = stage.run().half().float()  # what is shipped is what is measured
    click = Form(1, 0, False, 1)
    summary = {
        "held_out_drawings": EVALUATED,
        "iou_one_click": measure(sam, test, click, pair=False),
        "iou_one_click_of_two_things": measure(sam, test, click, pair=True),
        "iou_click_and_other_of_two_things": measure(sam, test, Form(1, 1, False, 1), pair=True),
        "iou_box_of_two_things": measure(sam, test, Form(0, 0, True, 1), pair=True),
    }
    folder = options.weights / "segmenter"
    folder.mkdir(parents=True, exist_ok=True)
    state = {name: tensor.cpu().half().contiguous() for name, tensor in sam.state_dict().items()}
    save_file(state, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(ARCHITECTURE, indent=2) + "\n")
    keep_numbers(stage, folder, summary)
