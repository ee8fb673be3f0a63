"""The pocket captioner: `python -m mti.pocket.train_captioner`.

A small BLIP on 64x64 pictures. Its captions always name colour, pattern, sticker and background:
"a red teapot with a gold leaf on it on a blue background".
"""

from __future__ import annotations

import json

import numpy as np
import torch
from torch import Tensor, nn
from transformers import (
    BertTokenizerFast,
    BlipConfig,
    BlipForConditionalGeneration,
    BlipImageProcessor,
    BlipProcessor,
    BlipTextConfig,
    BlipVisionConfig,
)

from mti.pocket import drawings, world
from mti.pocket.concepts import concept_picture
from mti.pocket.stage import DEVICE, Stage, arguments, to_model

BATCH = 64
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[DEC]"]  # [DEC] begins a caption, [SEP] ends it
COLORLESS = "colorless"


def full_caption(scene: world.Scene) -> str:
    """The caption that leaves nothing out, with the kind's first name."""
    name = world.KINDS[scene.kind][1][0]
    thing = f"{scene.color} {name}" if scene.color else name
    words = f"{world.article(thing)} {thing}"
    if scene.pattern:
        words += f" with {scene.pattern_color} {scene.pattern}"
    if scene.sticker:
        sticker = f"{scene.sticker_color} {scene.sticker}"
        words += f" with {world.article(sticker)} {sticker} on it"
    return f"{words} {world.background_phrase(scene)}"


def tokenizer() -> BertTokenizerFast:
    """One token for each word of the world's language."""
    names = [name for _, names in world.KINDS.values() for name in names]
    phrases = [*names, *world.COLORS, *world.PATTERNS, *world.STICKERS, *world.TEXTURES.values()]
    words = sorted({word for phrase in phrases for word in phrase.replace("-", " - ").split()})
    frame = [word for word in ("a", "an", "with", "on", "it", "background") if word not in words]
    vocabulary = {word: index for index, word in enumerate(SPECIAL + frame + words)}
    return BertTokenizerFast(vocab=vocabulary, bos_token="[DEC]", model_max_length=32)


def build(words: BertTokenizerFast) -> BlipForConditionalGeneration:
    """The untrained captioner."""
    size = {"hidden_size": 128, "intermediate_size": 512, "num_attention_heads": 4, "initializer_range": 0.02}
    vision = BlipVisionConfig(**size, num_hidden_layers=4, image_size=drawings.SIZE, patch_size=8)
    text = BlipTextConfig(
        **size,
        num_hidden_layers=2,
        vocab_size=len(words),
        max_position_embeddings=32,
        bos_token_id=words.bos_token_id,
        eos_token_id=words.sep_token_id,
        sep_token_id=words.sep_token_id,
        pad_token_id=words.pad_token_id,
    )
    return BlipForConditionalGeneration(BlipConfig(text_config=text.to_dict(), vision_config=vision.to_dict()))


def encoded(words: BertTokenizerFast, captions: list[str]) -> dict[str, Tensor]:
    """Captions to the decoder's input, its mask and its labels, [batch, longest] each."""
    batch = words(captions, padding=True, return_tensors="pt")
    ids, mask = batch["input_ids"], batch["attention_mask"]
    ids[:, 0] = words.bos_token_id
    labels = ids.masked_fill(mask == 0, -100)
    return {"input_ids": ids.to(DEVICE), "attention_mask": mask.to(DEVICE), "labels": labels.to(DEVICE)}
