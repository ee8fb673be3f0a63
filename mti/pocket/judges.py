"""What the pocket's own judges see in pictures: classifier, captioner and CLIP, asked for what a scene names."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import timm
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from mti.pocket import captioner, clip, language
from mti.pocket.language import named
from mti.pocket.stage import DEVICE
from mti.pocket.tokenizer import encoded
from mti.pocket.world import KINDS, Scene

ABLE = 0.85  # of the drawings that a judge must be right on to be asked

ASPECTS = ("kind", "color", "background", "pattern", "pattern_color", "sticker", "sticker_color", "number")

Seen = dict[str, Bool[Tensor, " pictures"]]
"""By aspect, in which pictures it is seen."""


def asked(scenes: Sequence[Scene]) -> Seen:
    """For each aspect the scenes that have it."""
    return {aspect: torch.tensor([bool(named(scene, aspect)) for scene in scenes]) for aspect in ASPECTS}


class Judges:
    """The three models, in fp32, from the suite's weights. Pictures are [-1, 1], 64 × 64."""

    def __init__(self, weights: Path) -> None:
        self.classifier: Any = timm.create_model(f"local-dir:{weights / 'classifier'}", pretrained=True)
        self.captioner, self.words = captioner.load(weights / "captioner")
        self.clip, self.tokenizer = clip.load(weights / "clip")
        models: list[Any] = [self.classifier, self.captioner, self.clip]
        for model in models:
            model.float().eval().requires_grad_(False).to(DEVICE)

    @torch.no_grad()
    def kinds(self, pictures: Float[Tensor, "pictures 3 64 64"]) -> list[str]:
        """What the classifier sees."""
        found = torch.cat([self.classifier(some.to(DEVICE)).argmax(-1).cpu() for some in pictures.split(200)])
        return [list(KINDS)[index] for index in found.tolist()]

    @torch.no_grad()
    def captions(self, pictures: Float[Tensor, "pictures 3 64 64"]) -> list[str]:
        """What the captioner says."""
        return captioner.captions_of(self.captioner, self.words, pictures.to(DEVICE))

    @torch.no_grad()
    def vectors(self, pictures: Float[Tensor, "pictures 3 64 64"]) -> Float[Tensor, "pictures width"]:
        """CLIP's unit vectors of pictures."""
        parts = [self.clip.get_image_features(some.to(DEVICE)).pooler_output for some in pictures.split(200)]
        return F.normalize(torch.cat(parts), dim=-1)

    @torch.no_grad()
    def texts(self, texts: Sequence[str]) -> Float[Tensor, "texts width"]:
        """CLIP's unit vectors of texts; each different text is read once."""
        distinct = sorted(set(texts), key=len)
        parts = []
        for start in range(0, len(distinct), 400):
            ids = encoded(self.tokenizer, distinct[start : start + 400], longest=True).to(DEVICE)
            parts.append(self.clip.get_text_features(ids).pooler_output)
        places = {text: place for place, text in enumerate(distinct)}
        return F.normalize(torch.cat(parts), dim=-1)[[places[text] for text in texts]]

    def alternatives(self, scenes: Sequence[Scene]) -> dict[str, Float[Tensor, "pictures values width"]]:
        """For each aspect CLIP's vectors of a scene's caption, the first, and of those with another value there.

        Scenes without the aspect get their own caption everywhere.
        """
        found = {}
        for aspect in ASPECTS:
            values = language.values(aspect)
            texts = []
            for scene in scenes:
                own = named(scene, aspect)
                every = [own, *(value for value in values if value != own)] if own else [own] * len(values)
                texts += [language.scene_caption(language.changed(scene, aspect, value)) for value in every]
            found[aspect] = self.texts(texts).unflatten(0, (len(scenes), len(values)))
        return found

    def see(
        self,
        pictures: Float[Tensor, "pictures 3 64 64"],
        scenes: Sequence[Scene],
        alternatives: dict[str, Float[Tensor, "pictures values width"]],
    ) -> dict[str, Seen]:
        """By judge, where each aspect of the scenes is seen."""
        told = [language.understood(caption) for caption in self.captions(pictures)]
        vectors = self.vectors(pictures)
        by_words = {
            aspect: torch.tensor(
                [one.get(aspect) == named(scene, aspect) for one, scene in zip(told, scenes, strict=True)]
            )
            for aspect in ASPECTS
        }
        by_clip = {
            aspect: (texts @ vectors[:, :, None])[..., 0].argmax(1).cpu() == 0 for aspect, texts in alternatives.items()
        }
        kinds = zip(self.kinds(pictures), scenes, strict=True)
        by_kind = torch.tensor([kind == scene.thing.kind for kind, scene in kinds])
        return {"captioner": by_words, "clip": by_clip, "classifier": {"kind": by_kind}}


def trusted(accuracy: dict[str, dict[str, float]]) -> dict[str, list[str]]:
    """For each aspect the judges that can tell: right on so many drawings that have it, or else the best one."""
    found = {}
    for aspect in ASPECTS:
        right = {judge: own[aspect] for judge, own in accuracy.items() if aspect in own}
        able = [judge for judge, share in right.items() if share >= ABLE]
        found[aspect] = able or [max(right, key=lambda judge: right[judge])]
    return found


def together(seen: dict[str, Seen], trusted: dict[str, list[str]]) -> Seen:
    """Where more than half of the judges that can tell see each aspect: of two, both."""
    votes = {aspect: torch.stack([seen[judge][aspect] for judge in own]) for aspect, own in trusted.items()}
    return {aspect: 2 * own.sum(0) > len(own) for aspect, own in votes.items()}


def shares(seen: dict[str, Seen], there: Seen) -> dict[str, dict[str, float]]:
    """By judge and aspect, the share of the pictures with the aspect in which it is seen; "all" of them together."""
    found: dict[str, dict[str, float]] = {}
    for judge, own in seen.items():
        found[judge] = {
            aspect: round(yes[there[aspect]].float().mean().item(), 4)
            for aspect, yes in own.items()
            if there[aspect].any()
        }
        if set(own) == set(ASPECTS):
            every = torch.stack([own[aspect] | ~there[aspect] for aspect in ASPECTS]).all(0)
            found[judge]["all"] = round(every.float().mean().item(), 4)
    return found
