"""Captioners from transformers: a picture to a sentence."""

from __future__ import annotations

import functools
from typing import Any

import torch
from PIL import Image
from transformers import AutoModelForImageTextToText, AutoProcessor

from mti.library_logging import quiet_transformers
from mti.types import Guess, UserError
from mti.weights import NETWORK, model_folder


class TransformersCaptioner:
    """A transformers captioner (BLIP, BLIP-2, GIT, Florence-2 …): its hub name, `pocket:NAME`, or a folder.

    Captions are found by beam search, without sampling, and scored by their mean log-probability per
    token. `prompt` is what the model is asked, or how its sentence begins; it is not part of the caption.
    The weights are loaded, or downloaded, when the first picture is shown.
    """

    def __init__(self, path: str, prompt: str | None = None, max_new_tokens: int = 30, num_beams: int = 3) -> None:
        if num_beams < 2:
            raise UserError(f"captioner.num_beams is {num_beams}: captions are found by beam search, give 2 or more")
        self.name = path
        self.prompt = prompt
        self.max_new_tokens = max_new_tokens
        self.num_beams = num_beams

    def __call__(self, picture: Image.Image) -> list[Guess]:
        """The captions of an RGB picture of any size."""
        processor, model = load(self.name)
        text = {} if self.prompt is None else {"text": self.prompt}
        inputs = processor(images=picture.convert("RGB"), return_tensors="pt", **text)
        with torch.no_grad():
            found = model.generate(
                **inputs,
                max_new_tokens=self.max_new_tokens,
                num_beams=self.num_beams,
                num_return_sequences=self.num_beams,
                do_sample=False,
                output_scores=True,
                return_dict_in_generate=True,
            )
        captions = processor.batch_decode(found.sequences, skip_special_tokens=True)
        return [
            Guess(self._without_prompt(caption), score)
            for caption, score in zip(captions, found.sequences_scores.tolist(), strict=True)
        ]

    def _without_prompt(self, caption: str) -> str:
        """Decoder-only models repeat their prompt."""
        prompt = self.prompt or ""
        return caption[len(prompt) :] if caption.lower().startswith(prompt.lower()) else caption


@functools.lru_cache(maxsize=1)
def load(path: str) -> tuple[Any, Any]:
    """A captioner's processor and its model, in fp32. `UserError` if it cannot be had."""
    folder = model_folder(path, NETWORK, download=True)
    with quiet_transformers():
        model = AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.float32)
        return AutoProcessor.from_pretrained(folder), model.eval()
