"""The pocket captioner: `python -m mti.pocket.train_captioner`.

A small BLIP on 64x64 pictures. Its captions always name colour, pattern, sticker and background:
"a red teapot with a gold leaf on it on a blue background".
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from transformers import (
    BertTokenizer,
    BlipConfig,
    BlipForConditionalGeneration,
    BlipImageProcessor,
    BlipProcessor,
    BlipTextConfig,
    BlipVisionConfig,
)

from mti.pocket import drawings, world
from mti.pocket.stage import DEVICE, Stage, arguments, keep_log, to_model

BATCH = 64
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[DEC]"]  # [DEC] begins a caption, [SEP] ends it
PAD, END, BEGIN = (SPECIAL.index(token) for token in ("[PAD]", "[SEP]", "[DEC]"))
EVALUATED = 2_000  # held-out drawings


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


def tokenizer() -> BertTokenizer:
    """One token for each word of the world's language."""
    names = [name for _, names in world.KINDS.values() for name in names]
    phrases = [*names, *world.COLORS, *world.PATTERNS, *world.STICKERS, *world.TEXTURES.values()]
    words = sorted({word for phrase in phrases for word in phrase.replace("-", " - ").split()})
    frame = [word for word in ("a", "an", "with", "on", "it", "background") if word not in words]
    vocabulary = {word: index for index, word in enumerate(SPECIAL + frame + words)}
    return BertTokenizer(vocab=vocabulary, bos_token="[DEC]", model_max_length=32)


def build(words: BertTokenizer) -> BlipForConditionalGeneration:
    """The untrained captioner."""
    size = {"hidden_size": 128, "intermediate_size": 512, "num_attention_heads": 4, "initializer_range": 0.02}
    vision = BlipVisionConfig(**size, num_hidden_layers=4, image_size=drawings.SIZE, patch_size=8)
    text = BlipTextConfig(
        **size,
        num_hidden_layers=2,
        vocab_size=len(words),
        max_position_embeddings=32,
        bos_token_id=BEGIN,
        eos_token_id=END,
        sep_token_id=END,
        pad_token_id=PAD,
    )
    return BlipForConditionalGeneration(BlipConfig(text_config=text.to_dict(), vision_config=vision.to_dict()))


def encoded(words: BertTokenizer, captions: list[str]) -> dict[str, Tensor]:
    """Captions to the decoder's input, its mask and its labels, [batch, longest] each."""
    batch = words(captions, padding=True, return_tensors="pt")
    ids, mask = batch["input_ids"], batch["attention_mask"]
    ids[:, 0] = BEGIN
    labels = ids.masked_fill(mask == 0, -100)
    return {"input_ids": ids.to(DEVICE), "attention_mask": mask.to(DEVICE), "labels": labels.to(DEVICE)}


def preprocessing() -> BlipImageProcessor:
    """Any picture to 64x64 in [-1, 1], as `to_model` gives it."""
    size = {"height": drawings.SIZE, "width": drawings.SIZE}
    return BlipImageProcessor(size=size, image_mean=[0.5] * 3, image_std=[0.5] * 3)


def scores(captions: list[str], scenes: list[world.Scene]) -> dict[str, float]:
    """The shares of captions that name the right object, the right colour where there is one, and everything."""
    pairs = list(zip(captions, scenes, strict=True))
    colored = [(caption, scene.color) for caption, scene in pairs if scene.color]
    named = sum(f" {world.KINDS[scene.kind][1][0]} " in caption for caption, scene in pairs)
    colors = sum(caption.split()[1:2] == [color] for caption, color in colored)
    everything = sum(caption == full_caption(scene) for caption, scene in pairs)
    return {
        "right_object": round(named / len(pairs), 4),
        "right_color": round(colors / len(colored), 4),
        "whole_caption": round(everything / len(pairs), 4),
    }


def main() -> None:
    """Train, measure on the held-out drawings, and write the weights."""
    options = arguments(__doc__, steps=3_400)
    train = torch.from_numpy(np.load(options.work / "train.npy", mmap_mode="c"))
    words = tokenizer()

    def loss(model: nn.Module, step: int) -> dict[str, Tensor]:
        indices = torch.randint(len(train), (BATCH,), generator=torch.Generator().manual_seed(step))
        captions = [full_caption(drawings.scene("train", index)) for index in indices.tolist()]
        return {"loss": model(pixel_values=to_model(train[indices]), **encoded(words, captions)).loss}

    model: Any = Stage("captioner", build(words), loss, options.steps, 1e-3, options.work).run()
    test = to_model(torch.from_numpy(drawings.pictures("test", options.work)[:EVALUATED].copy()))
    ids = [row for batch in test.split(100) for row in model.generate(batch, max_new_tokens=24).tolist()]
    captions = [text.replace(" - ", "-") for text in words.batch_decode(ids, skip_special_tokens=True)]
    summary = scores(captions, [drawings.scene("test", index) for index in range(len(test))])
    print(f"held-out drawings: {summary}")

    folder = options.weights / "captioner"
    model.half().save_pretrained(folder)
    BlipProcessor(preprocessing(), words).save_pretrained(folder)
    summary = {"held_out_drawings": len(test), **summary, "steps": options.steps}
    (folder / "summary.json").write_text(json.dumps(summary, indent=2) + "\n")
    keep_log("captioner", options.work, folder)


if __name__ == "__main__":
    main()
