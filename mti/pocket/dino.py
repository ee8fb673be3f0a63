"""The pocket dino, a small ViT of transformers' that tells individuals apart; it reads no words.

Like DINO (Caron et al. 2021, arXiv:2104.14294) it learns from two views of one thing: here the same
individual in two poses and surroundings, against others of its own kind in the same batch (InfoNCE,
van den Oord et al. 2018, arXiv:1807.03748). Its class token is what is compared.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import ViTConfig, ViTImageProcessor, ViTModel

from mti.pocket.drawings import LABELS, SIZE, Drawings
from mti.pocket.stage import DEVICE, Losses, Options, Stage, forget_origin, generator, keep_numbers, to_model

STEPS = 2_000
KINDS_EACH, OF_A_KIND = 6, 12  # a batch: so many kinds, so many individuals of each, two pictures of each
TEMPERATURE = 0.1
NOISE = 0.1  # of a picture in [-1, 1]


def build() -> ViTModel:
    """The untrained network."""
    size: dict[str, Any] = {
        "hidden_size": 160,
        "intermediate_size": 640,
        "num_attention_heads": 5,
        "num_hidden_layers": 5,
    }
    return ViTModel(ViTConfig(**size, image_size=SIZE, patch_size=8), add_pooling_layer=False)


def embedded(model: Any, pictures: Tensor) -> Tensor:
    """Unit vectors of pictures in [-1, 1]: the class token of the last layer."""
    return F.normalize(model(pixel_values=pictures).last_hidden_state[:, 0].float(), dim=-1)


def contrast(first: Tensor, second: Tensor) -> Losses:
    """InfoNCE both ways between two views of each individual, [individuals, width], and how often it is found."""
    alike = first @ second.mT / TEMPERATURE
    target = torch.arange(len(first), device=first.device)
    loss = (F.cross_entropy(alike, target) + F.cross_entropy(alike.mT, target)) / 2
    return {"loss": loss, "found": (alike.argmax(1) == target).float().mean()}


@torch.no_grad()
def measure(model: Any, test: Drawings) -> dict[str, Any]:
    """How often the same individual in another scene is nearer than others of its kind, on held-out drawings.

    Once than one other of its kind, and once than one of its kind and colour.
    """
    vectors = torch.cat([embedded(model, to_model(test.pictures(i))) for i in torch.arange(len(test)).split(200)]).cpu()
    first, second = vectors[0::2], vectors[1::2]
    alike, own = first @ second.mT, (first * second).sum(-1)
    labels = {name: test.label(name, slice(None))[0::2] for name in ("kind", "color")}
    kind = labels["kind"][:, None] == labels["kind"][None]
    color = kind & (labels["color"][:, None] == labels["color"][None])
    found: dict[str, Any] = {"held_out_individuals": len(first)}
    draws = torch.Generator().manual_seed(0)
    for name, company in (("kind", kind), ("kind_and_color", color)):
        company = company.clone().fill_diagonal_(False)
        some = company.any(1)
        other = torch.multinomial(company[some].float(), 1, generator=draws)
        nearer = own[some] > alike[some].gather(1, other)[:, 0]
        found[f"nearer_than_other_of_{name}"] = round(nearer.float().mean().item(), 4)
    return found


def processor() -> ViTImageProcessor:
    """Any picture to 64 × 64 in [-1, 1], as `to_model` gives it."""
    return ViTImageProcessor(size={"height": SIZE, "width": SIZE}, image_mean=[0.5] * 3, image_std=[0.5] * 3)


def load(folder: Path) -> ViTModel:
    """The trained network in fp32."""
    return ViTModel.from_pretrained(folder, add_pooling_layer=False, dtype=torch.float32).eval()


def run(options: Options) -> None:
    """Train, measure on the held-out drawings, and write the weights."""
    train = Drawings("train", options.work)
    kinds = train.label("kind", slice(None))[0::2]
    members = [(kinds == kind).nonzero().flatten() for kind in range(len(LABELS["kind"]))]

    def loss(model: nn.Module, step: int) -> Losses:
        draws = generator(step)
        some = torch.randperm(len(members), generator=draws)[:KINDS_EACH].tolist()
        own = [members[kind][torch.randint(len(members[kind]), (OF_A_KIND,), generator=draws)] for kind in some]
        individuals = torch.cat(own)
        batch = to_model(train.pictures(torch.cat([2 * individuals, 2 * individuals + 1])))
        batch = batch + NOISE * torch.randn(batch.shape, generator=draws).to(batch)
        vectors = embedded(model, batch)
        with torch.autocast(DEVICE.type, enabled=False):
            return contrast(*vectors.chunk(2))

    torch.manual_seed(0)
    stage = Stage("dino", build(), loss, options.steps, 1e-3, options.work, decay_share=0.6)
    model = stage.run()
    summary = measure(model, Drawings("test", options.work))
    folder = options.weights / "dino"
    model.half().save_pretrained(folder)
    forget_origin(folder)
    processor().save_pretrained(folder)
    keep_numbers(stage, folder, summary)
