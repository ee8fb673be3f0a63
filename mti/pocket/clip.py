"""The pocket CLIP, a transformers `CLIPModel`: pictures and captions in one space.

Trained contrastively (Radford et al. 2021, arXiv:2103.00020) on the world's pictures and captions; each
picture's caption is also told from one that differs in one word. The picture's tower learns beside that
to say what language names of a picture, through heads that are then thrown away: so it needs few pictures.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel, CLIPProcessor, CLIPTokenizer

from mti.pocket import language
from mti.pocket.drawings import LABELS, SIZE, Drawings
from mti.pocket.stage import (
    DEVICE,
    QUICK_ATTENTION,
    Losses,
    Options,
    Stage,
    forget_origin,
    generator,
    keep_numbers,
    to_model,
)
from mti.pocket.tokenizer import BEGIN, CONTEXT, END, encoded, make_tokenizer
from mti.pocket.world import Scene
from mti.templates import OBJECT

STEPS = 4_000
BATCH = 128
WIDTH = 192
NOISE = 0.1  # of a picture in [-1, 1]: so that generated pictures are seen as drawn ones are
HEADS_WEIGHT = 0.5
MEASURED = 2_000  # held-out drawings
CROWD = 100  # captions among which the right one is to be found


def build(tokenizer: CLIPTokenizer) -> CLIPModel:
    """The untrained model."""
    vocabulary = tokenizer.get_vocab()
    size = {"hidden_size": WIDTH, "intermediate_size": 4 * WIDTH, "num_attention_heads": 6, "projection_dim": WIDTH}
    text = {
        **size,
        "num_hidden_layers": 4,
        "vocab_size": len(tokenizer),
        "max_position_embeddings": CONTEXT,
        "bos_token_id": vocabulary[BEGIN],
        "eos_token_id": vocabulary[END],
        "pad_token_id": vocabulary[END],
    }
    vision = {**size, "num_hidden_layers": 5, "image_size": SIZE, "patch_size": 8}
    return CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=WIDTH))


class WithHeads(nn.Module):
    """CLIP, and a linear head for each label of `LABELS` on the picture's tower: on its class token and mean patch."""

    def __init__(self, clip: CLIPModel) -> None:
        super().__init__()
        self.clip = clip
        self.heads = nn.ModuleDict({name: nn.Linear(2 * WIDTH, len(values)) for name, values in LABELS.items()})

    def forward(self, pictures: Tensor, ids: Tensor) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        """Unit vectors of pictures and of texts, and the labels' logits."""
        seen: Any = self.clip.vision_model(pixel_values=pictures)
        read: Any = self.clip.text_model(input_ids=ids)
        both = torch.cat([seen.pooler_output, seen.last_hidden_state[:, 1:].mean(1)], 1)
        images = F.normalize(self.clip.visual_projection(seen.pooler_output).float(), dim=-1)
        texts = F.normalize(self.clip.text_projection(read.pooler_output).float(), dim=-1)
        return images, texts, {name: head(both).float() for name, head in self.heads.items()}


def one_word_off(scene: Scene, rng: np.random.Generator) -> Scene:
    """A scene that differs from this one in one of the things that language names of it."""
    there = [name for name in LABELS if language.differing(scene, name, rng) != scene]
    return language.differing(scene, there[int(rng.integers(len(there)))], rng)


def said(scenes: list[Scene], rng: np.random.Generator) -> tuple[list[str], list[str]]:
    """Captions of scenes, and of others that differ in one word, in the same words otherwise."""
    right, wrong = [], []
    for scene in scenes:
        seed = int(rng.integers(2**31))
        other = one_word_off(scene, rng)
        for found, own in ((right, scene), (wrong, other)):
            found.append(language.caption(own, np.random.default_rng(seed), OBJECT))
    return right, wrong


def losses(
    model: Any, tokenizer: CLIPTokenizer, pictures: Tensor, scenes: list[Scene], labels: dict, step: int
) -> Losses:
    """The contrastive loss both ways, each picture's wrong caption among the texts, and the heads' cross-entropy."""
    right, wrong = said(scenes, np.random.default_rng([1, step]))
    ids = encoded(tokenizer, right + wrong, longest=True).to(DEVICE)
    images, texts, logits = model(pictures, ids)
    with torch.autocast(DEVICE.type, enabled=False):
        scale = model.clip.logit_scale.float().exp().clamp(max=100)
        found = scale * images @ texts[: len(images)].mT
        off = scale * (images * texts[len(images) :]).sum(-1, keepdim=True)
        same = torch.tensor([a == b for a, b in zip(right, wrong, strict=True)], device=DEVICE)
        off = off.masked_fill(same[:, None], -1e4)  # the caption does not say what differs
        target = torch.arange(len(images), device=DEVICE)
        contrast = F.cross_entropy(torch.cat([found, off], 1), target) + F.cross_entropy(found.mT, target)
        named = torch.stack([F.cross_entropy(logits[name], labels[name].to(DEVICE)) for name in LABELS]).mean()
    retrieved = (found.argmax(1) == target).float().mean()
    told = (found.diagonal() > off[:, 0])[~same].float().mean()
    return {"loss": contrast / 2 + HEADS_WEIGHT * named, "named": named, "retrieved": retrieved, "told": told}


@torch.no_grad()
def measure(clip: Any, tokenizer: CLIPTokenizer, test: Drawings) -> dict[str, Any]:
    """Retrieval among a hundred captions of held-out scenes, and between two that differ in one word."""
    places = torch.arange(MEASURED) * 2  # of each pair with the same individual the first
    scenes = test.scenes(places)
    images = torch.cat([
        F.normalize(clip.get_image_features(to_model(test.pictures(some))).pooler_output, dim=-1)
        for some in places.split(100)
    ])  # fmt: skip

    def vectors(texts: list[str]) -> Tensor:
        ids = encoded(tokenizer, texts).to(DEVICE)
        parts = [clip.get_text_features(some).pooler_output for some in ids.split(200)]
        return F.normalize(torch.cat(parts), dim=-1)

    texts = vectors([language.scene_caption(scene) for scene in scenes])
    ranks = [
        (some @ own.mT).argmax(1) == torch.arange(len(some), device=DEVICE)
        for some, own in zip(images.split(CROWD), texts.split(CROWD), strict=True)
    ]
    summary: dict[str, Any] = {"right_of_100": round(torch.cat(ranks).float().mean().item(), 4)}
    rng = np.random.default_rng(0)
    for name in LABELS:
        others = [language.differing(scene, name, rng) for scene in scenes]
        there = torch.tensor([a != b for a, b in zip(scenes, others, strict=True)])
        wrong = vectors([language.scene_caption(scene) for scene in others])
        better = (images * texts).sum(-1) > (images * wrong).sum(-1)
        summary[f"right_of_2_other_{name}"] = round(better.cpu()[there].float().mean().item(), 4)
    return {"held_out_drawings": MEASURED, **summary}


def processor(tokenizer: CLIPTokenizer) -> CLIPProcessor:
    """Any picture to 64 × 64 in [-1, 1], as `to_model` gives it; any text to ids."""
    size = {"height": SIZE, "width": SIZE}
    images = CLIPImageProcessor(size={"shortest_edge": SIZE}, crop_size=size, image_mean=[0.5] * 3, image_std=[0.5] * 3)
    return CLIPProcessor(images, tokenizer)


def load(folder: Path) -> tuple[Any, CLIPTokenizer]:
    """The trained model in fp32 and its tokenizer."""
    return CLIPModel.from_pretrained(folder, dtype=torch.float32), CLIPTokenizer.from_pretrained(folder)


def run(options: Options) -> None:
    """Train, measure on the held-out drawings, and write the weights."""
    tokenizer = make_tokenizer(options.work / "tokenizer")
    train = Drawings("train", options.work)

    def loss(model: Any, step: int) -> Losses:
        draws = generator(step)
        chosen = torch.randint(len(train), (BATCH,), generator=draws)
        pictures = to_model(train.pictures(chosen))
        pictures = pictures + NOISE * torch.rand(BATCH, 1, 1, 1, generator=draws).to(DEVICE) * torch.randn(
            pictures.shape, generator=draws
        ).to(DEVICE)
        labels = {name: train.label(name, chosen) for name in LABELS}
        return losses(model, tokenizer, pictures, train.scenes(chosen), labels, step)

    torch.manual_seed(0)
    model = WithHeads(build(tokenizer))
    model.clip.set_attn_implementation(QUICK_ATTENTION)
    stage = Stage("clip", model, loss, options.steps, 1e-3, options.work, decay_share=0.6)
    clip = stage.run().clip
    summary = measure(clip, tokenizer, Drawings("test", options.work))
    folder = options.weights / "clip"
    clip.half().save_pretrained(folder)
    forget_origin(folder)
    processor(tokenizer).save_pretrained(folder)
    keep_numbers(stage, folder, summary)
