"""Captioners from transformers: a picture to a sentence."""

from __future__ import annotations

from typing import Annotated, Any, NamedTuple

import torch
from PIL import Image
from transformers import AutoModelForImageTextToText, AutoProcessor

from mti.library_logging import quiet_transformers
from mti.perception.loaded import LoadedOnce
from mti.ranges import AtLeast
from mti.types import Guess
from mti.weights import NETWORK, Need, hub_need, model_folder


class Network(NamedTuple):
    """A captioner in fp32 with its processor."""

    model: Any
    processor: Any


class TransformersCaptioner(LoadedOnce[Network]):
    """A transformers captioner (BLIP, BLIP-2, GIT, Florence-2 …): its hub name, `pocket:NAME`, or a folder.

    Captions are found by beam search, without sampling, and scored by their mean log-probability per
    token. `prompt` is what the model is asked, or how its sentence begins; it is not part of the caption.
    The weights are loaded when the first picture is shown, and kept until `release`.
    """

    def __init__(
        self,
        path: str,
        prompt: str | None = None,
        max_new_tokens: Annotated[int, AtLeast(1)] = 30,
        num_beams: Annotated[int, AtLeast(2)] = 3,
    ) -> None:
        self.name = path
        self.prompt = prompt
        self.max_new_tokens = max_new_tokens
        self.num_beams = num_beams

    def __call__(self, picture: Image.Image) -> list[Guess]:
        """The captions of an RGB picture of any size."""
        with torch.no_grad():
            found = self.loaded.model.generate(
                **self.inputs(picture),
                max_new_tokens=self.max_new_tokens,
                num_beams=self.num_beams,
                num_return_sequences=self.num_beams,
                do_sample=False,
                output_scores=True,
                return_dict_in_generate=True,
            )
        captions = self.loaded.processor.batch_decode(found.sequences, skip_special_tokens=True)
        return [
            Guess(self._without_prompt(caption), score)
            for caption, score in zip(captions, found.sequences_scores.tolist(), strict=True)
        ]

    def inputs(self, picture: Image.Image) -> dict[str, Any]:
        """What the model is shown: the picture's pixels, and the prompt's token ids if there is one."""
        model, processor = self.loaded
        text = {} if self.prompt is None else {"text": self.prompt}
        inputs = dict(processor(images=picture.convert("RGB"), return_tensors="pt", **text))
        if text and model.config.model_type == "git":  # it continues its prompt: a [SEP] there would end the sentence
            inputs |= {name: inputs[name][:, :-1] for name in ("input_ids", "attention_mask")}
        return inputs

    def wanted(self) -> list[Need]:
        """The files that can be downloaded."""
        return hub_need("the captioner", self.name, NETWORK)

    def load(self) -> Network:
        """The captioner. `UserError` if it cannot be had."""
        folder = model_folder(self.name, NETWORK)
        with quiet_transformers():
            model = AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.float32)
            return Network(model.eval(), AutoProcessor.from_pretrained(folder))

    def _without_prompt(self, caption: str) -> str:
        """Decoder-only models repeat their prompt."""
        prompt = self.prompt or ""
        return caption[len(prompt) :] if caption.lower().startswith(prompt.lower()) else caption
