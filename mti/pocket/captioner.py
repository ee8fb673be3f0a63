"""The pocket captioner, a small BLIP on 64 × 64 pictures.

Of a whole picture it names all that language can: "a red teapot with a gold leaf on it on a blue
background". Of a thing that is cut out (on white, or with what is behind it; with a segmenter's own
masks) it names the thing alone.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from tokenizers import decoders
from torch import Tensor, nn
from transformers import (
    BertTokenizer,
    BlipConfig,
    BlipForConditionalGeneration,
    BlipImageProcessor,
    BlipProcessor,
    BlipTextConfig,
    BlipVisionConfig,
    PreTrainedTokenizerFast,
)

from mti.perception.segmenter import load as load_segmenter
from mti.pocket import language, segmenter
from mti.pocket.cutouts import MARGIN, shown
from mti.pocket.drawings import LABELS, SIZE, Drawings
from mti.pocket.stage import DEVICE, QUICK_ATTENTION, Losses, Options, Stage, generator, keep_numbers, to_model
from mti.pocket.world import Scene

STEPS = 16_000
BATCH = 64
NOISE = 0.05  # of a picture in [-1, 1]
HEADS_WEIGHT = 0.5
CLICKED = 12_000  # of the training drawings: those with a segmenter's mask
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[DEC]"]  # [DEC] begins a caption, [SEP] ends it
PAD, END, BEGIN = (SPECIAL.index(token) for token in ("[PAD]", "[SEP]", "[DEC]"))
WIDTH = 128
LONGEST = 32  # tokens
MEASURED = 1_000  # held-out drawings


def tokenizer() -> PreTrainedTokenizerFast:
    """BERT's, with one token for each word of the world's language; "go-kart" is three, and one again when read."""
    vocabulary = {word: index for index, word in enumerate(SPECIAL + language.words())}
    words: Any = BertTokenizer(vocab=vocabulary).backend_tokenizer
    words.decoder = decoders.Sequence([decoders.WordPiece(), decoders.Fuse(), decoders.Replace(" - ", "-")])
    names = ("pad", "unk", "cls", "sep", "mask", "bos")
    special = {f"{name}_token": token for name, token in zip(names, SPECIAL, strict=True)}
    return PreTrainedTokenizerFast(tokenizer_object=words, model_max_length=LONGEST, **special)


def build(words: PreTrainedTokenizerFast) -> BlipForConditionalGeneration:
    """The untrained captioner."""
    size = {"hidden_size": WIDTH, "intermediate_size": 4 * WIDTH, "num_attention_heads": 4, "initializer_range": 0.02}
    vision = BlipVisionConfig(**size, num_hidden_layers=5, image_size=SIZE, patch_size=8)
    text = BlipTextConfig(
        **size,
        num_hidden_layers=2,
        vocab_size=len(words),
        max_position_embeddings=LONGEST,
        bos_token_id=BEGIN,
        eos_token_id=END,
        sep_token_id=END,
        pad_token_id=PAD,
    )
    return BlipForConditionalGeneration(BlipConfig(text_config=text.to_dict(), vision_config=vision.to_dict()))


class WithHeads(nn.Module):
    """The captioner, and a linear head for each label of `LABELS` on its picture's mean patch; they teach it to see."""

    def __init__(self, blip: BlipForConditionalGeneration) -> None:
        super().__init__()
        self.blip = blip
        self.heads = nn.ModuleDict({name: nn.Linear(WIDTH, len(values)) for name, values in LABELS.items()})

    def forward(self, pictures: Tensor, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """The captions' loss and the labels' logits."""
        seen = self.blip.vision_model(pictures).last_hidden_state
        told: Any = self.blip.text_decoder(**batch, encoder_hidden_states=seen, reduction="mean")
        return told.loss, {name: head(seen[:, 1:].mean(1)).float() for name, head in self.heads.items()}


def encoded(words: PreTrainedTokenizerFast, captions: list[str]) -> dict[str, Tensor]:
    """Captions to the decoder's input, its mask and its labels, [batch, longest] each."""
    batch = words(captions, padding=True, return_tensors="pt")
    ids, mask = batch["input_ids"], batch["attention_mask"]
    ids[:, 0] = BEGIN
    labels = ids.masked_fill(mask == 0, -100)
    return {"input_ids": ids.to(DEVICE), "attention_mask": mask.to(DEVICE), "labels": labels.to(DEVICE)}


def expected(scene: Scene, way: str) -> str:
    """What is to be said of a scene that is seen in one of the `cutouts.WAYS`."""
    return language.scene_caption(scene) if way == "whole" else language.thing_caption(scene.thing)


def clicked_masks(train: Drawings, options: Options) -> Tensor:
    """The segmenter's masks of the first training drawings, each for a random click; kept on disk, as bits."""
    path = options.work / "clicked.npy"
    if not path.exists():
        sam, parts = load_segmenter(str(options.weights / "segmenter"), None), []
        for start in range(0, CLICKED, 100):
            some = slice(start, start + 100)
            pictures = train.pictures(some).permute(0, 3, 1, 2)
            parts.append(segmenter.clicked(sam, pictures, train.masks(some), generator(start)).flatten(1).numpy())
        np.save(path, np.packbits(np.concatenate(parts), axis=1))
    return torch.from_numpy(np.load(path))


def unpacked(bits: Tensor) -> Tensor:
    """Masks, bool [batch, 64, 64]."""
    return torch.from_numpy(np.unpackbits(bits.numpy(), axis=1).reshape(-1, SIZE, SIZE).astype(bool))


def preprocessing() -> BlipImageProcessor:
    """Any picture to 64 × 64 in [-1, 1], as `to_model` gives it."""
    size = {"height": SIZE, "width": SIZE}
    return BlipImageProcessor(size=size, image_mean=[0.5] * 3, image_std=[0.5] * 3)


def captions_of(model: Any, words: PreTrainedTokenizerFast, pictures: Tensor) -> list[str]:
    """What the captioner says of pictures in [-1, 1], [batch, 3, 64, 64]; found greedily."""
    ids = [row for batch in pictures.split(100) for row in model.generate(batch, max_new_tokens=LONGEST - 4).tolist()]
    return words.batch_decode(ids, skip_special_tokens=True)


def scores(captions: list[str], scenes: list[Scene], way: str) -> dict[str, float]:
    """The shares of captions that name each thing rightly where there is one, and that say everything."""
    hits: dict[str, list[bool]] = {name: [] for name in LABELS}
    for caption, scene in zip(captions, scenes, strict=True):
        told = language.understood(caption)
        for name in LABELS:
            true = scene.background if name == "background" else getattr(scene.thing, name)
            if true and not (name == "background" and way != "whole"):
                hits[name].append(told.get(name) == true)
    whole = [caption == expected(scene, way) for caption, scene in zip(captions, scenes, strict=True)]
    return {name: round(float(np.mean(own)), 4) for name, own in {**hits, "all": whole}.items() if own}


@torch.no_grad()
def measure(model: Any, words: PreTrainedTokenizerFast, test: Drawings, sam: Any) -> dict[str, Any]:
    """How well held-out drawings with stickers or patterns are told: whole, and cut out by a random click."""
    wanted = (test.label("sticker", slice(None)) + test.label("pattern", slice(None))).nonzero().flatten()[:MEASURED]
    pictures, scenes = test.pictures(wanted), test.scenes(wanted)
    masks = torch.cat([
        segmenter.clicked(sam, test.pictures(some).permute(0, 3, 1, 2), test.masks(some), generator(0))
        for some in wanted.split(100)
    ])  # fmt: skip
    found: dict[str, Any] = {"held_out_drawings": len(wanted)}
    for way in ("whole", "white", "kept"):
        views = shown(to_model(pictures), masks, [way] * len(wanted))
        found[way] = scores(captions_of(model, words, views), scenes, way)
    return found


def run(options: Options) -> None:
    """Train, measure on the held-out drawings, and write the weights."""
    train, words = Drawings("train", options.work), tokenizer()
    clicked = clicked_masks(train, options)

    def loss(model: nn.Module, step: int) -> Losses:
        draws = generator(step)
        chosen = torch.randint(len(train), (BATCH,), generator=draws)
        chosen[: BATCH // 4] %= CLICKED
        masks = train.masks(chosen)
        masks[: BATCH // 4] = unpacked(clicked[chosen[: BATCH // 4]])
        odd = torch.randint(2, (BATCH,), generator=draws).tolist()
        ways = [("white", "kept")[o] if i < BATCH // 2 else "whole" for i, o in enumerate(odd)]
        margins = (MARGIN + 0.04 * (torch.rand(BATCH, generator=draws) - 0.5)).tolist()
        views = shown(to_model(train.pictures(chosen)), masks, ways, margins)
        views = views + NOISE * torch.randn(views.shape, generator=draws).to(views)
        captions = [expected(scene, way) for scene, way in zip(train.scenes(chosen), ways, strict=True)]
        told, logits = model(views, encoded(words, captions))
        named = [F.cross_entropy(logits[name], train.label(name, chosen).to(DEVICE)) for name in LABELS]
        named = torch.stack(named).mean()
        return {"loss": told + HEADS_WEIGHT * named, "told": told, "named": named}

    torch.manual_seed(0)
    model = WithHeads(build(words))
    model.blip.set_attn_implementation(QUICK_ATTENTION)
    stage = Stage("captioner", model, loss, options.steps, 1e-3, options.work, decay_share=0.6)
    blip = stage.run().blip
    sam = load_segmenter(str(options.weights / "segmenter"), None)
    summary = measure(blip, words, Drawings("test", options.work), sam)
    folder = options.weights / "captioner"
    blip.half().save_pretrained(folder)
    BlipProcessor(preprocessing(), words).save_pretrained(folder)
    keep_numbers(stage, folder, summary)


def load(folder: Path) -> tuple[Any, PreTrainedTokenizerFast]:
    """The trained captioner in fp32, and its words."""
    return BlipForConditionalGeneration.from_pretrained(folder, dtype=torch.float32).eval(), tokenizer()
