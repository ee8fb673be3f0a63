"""Whether pictures show what their prompts ask for, as the judges of a small, known world see it."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Annotated, Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from mti.images import to_pil
from mti.metrics.attributes import SLOT, Vocabulary, alternatives, mentions, with_articles
from mti.metrics.base import BaseMetric
from mti.metrics.individual import SameIndividual
from mti.metrics.text_similarity import TextEmbedding
from mti.ranges import INCIDENTAL, AtLeast
from mti.types import Perception, UserError
from mti.weights import weights_path

ASPECTS = {
    "thing": "thing",
    "colour": "colour",
    "pattern": "pattern",
    "pattern_colour": "pattern's colour",
    "sticker": "sticker",
    "sticker_colour": "sticker's colour",
    "place": "place",
    "background": "background",
    "individual": "individual kept",
}


class Asked(NamedTuple):
    """A value that a prompt asks for, and for CLIP all values with the prompts that would ask for them."""

    value: str
    values: list[str]
    texts: Float[Tensor, "values embedding"]


class Followed(BaseMetric):
    """The share of pictures that show all that their prompts ask for, and the shares for each aspect by itself.

    What a prompt asks for is read off its words (`mti.metrics.attributes`): a thing, its colour, a pattern, a sticker,
    their colours, a place, the background's colour. A prompt that names no thing asks for the concept's, which is what
    the classifier sees in its first picture. A prompt that asks for nothing else ("a photo of {}"), or only for what
    the vocabulary does not know, is not counted; where none is, there is no score.

    Three judges look at each picture: the classifier says the thing; the captioner's best caption says all aspects;
    CLIP sees an aspect where the prompt is nearer to the picture than every prompt with another value in its place.
    An aspect is there if more than half of the judges that can tell see it: of two, both. Which can tell, the
    vocabulary says: those that were right often enough on true drawings; else all are asked. With `individual`, a
    picture counts only if it also still shows the concept's own thing. So the metric is no better than its judges;
    `accuracy`, the same metric's values for true drawings and their captions, is kept beside it.

    Args:
        classifier: names the thing.
        captioner: describes the picture.
        embedding: a CLIP of that world.
        vocabulary: what texts can say, {"aspects": `mti.metrics.attributes.Vocabulary`, "judges": {aspect: names},
            "accuracy": {aspect: share}}, the latter two if they were measured, the names of "classifier", "captioner",
            "clip"; or the JSON file that says it, `pocket:NAME` among the shipped weights.
        individual: tells the concept's own thing from others of its kind; None: any of its kind will do.
        name: what the value is called; that of an aspect is `<name>/<aspect>`.
        label: what figures and tables call it.
    """

    measures = "share of pictures in which classifier, captioner and CLIP see what the prompt asks for"
    better = "higher"
    about = "editability"
    unit = "share"
    prompt_set = "personalization"

    def __init__(
        self,
        classifier: Perception,
        captioner: Perception,
        embedding: TextEmbedding,
        vocabulary: str | Mapping[str, Any],
        individual: SameIndividual | None = None,
        name: str = "followed",
        label: str | None = "Prompt followed",
        batch_size: Annotated[int, AtLeast(1), INCIDENTAL] = 32,
        required: Annotated[bool, INCIDENTAL] = True,
    ) -> None:
        networks = [classifier, captioner, embedding, *([individual] if individual else [])]
        super().__init__(name, label, *networks, required=required)
        self.classifier = classifier
        self.captioner = captioner
        self.embedding = embedding
        self.vocabulary = vocabulary
        self.individual = individual
        self.batch_size = batch_size

    def labels(self) -> dict[str, str]:
        """The label of the whole, and of each aspect."""
        return {self.name: self.label} | {f"{self.name}/{key}": f"{self.label}: {ASPECTS[key]}" for key in ASPECTS}

    def settings(self) -> dict[str, Any]:
        """Who judges, and how often they are right."""
        return {
            "classifier": self.classifier.name,
            "captioner": self.captioner.name,
            "clip": self.embedding.record(),
            **(self.individual.record() if self.individual else {}),
            "judges": self._world.get("judges"),
            "accuracy": self._world.get("accuracy"),
        }

    def check(self) -> None:
        """Raise a `UserError` if the vocabulary or weights are missing."""
        super().check()
        _ = self._world

    def __call__(
        self,
        generated: Float[Tensor, "generated 3 height width"],
        reference: Float[Tensor, "reference 3 height width"],
        prompts: Sequence[str],
    ) -> dict[str, float]:
        """Shares of pictures in [0, 1]; an aspect's are of those whose prompts ask for it."""
        own = self._thing(reference[0])
        asked = {prompt: self._asked(prompt, own) for prompt in dict.fromkeys(prompts)}
        vectors = torch.cat([self.embedding.pictures(part) for part in generated.split(self.batch_size)])
        kept = self.individual.there(generated, reference, own) if self.individual and own else None
        same = [{"individual": one} for one in kept.tolist()] if kept is not None else [{}] * len(generated)
        seen: dict[str, list[bool]] = defaultdict(list)
        for picture, vector, prompt, individual in zip(generated, vectors, prompts, same, strict=True):
            if not asked[prompt]:
                continue
            there = self._there(picture, vector, asked[prompt]) | individual
            seen[self.name].append(all(there.values()))
            for aspect, yes in there.items():
                seen[f"{self.name}/{aspect}"].append(yes)
        return {name: sum(votes) / len(votes) for name, votes in seen.items()}

    def _asked(self, prompt: str, own: str | None) -> dict[str, Asked]:
        """What a prompt asks for, by aspect. `own` is what a prompt that names no thing is about."""
        vocabulary = self._aspects
        named = mentions(prompt, vocabulary)
        if not named:
            return {}
        words = "" if "thing" in named or own is None else vocabulary["thing"][own][0]
        text = with_articles(" ".join(prompt.replace(SLOT, words).split()))
        asked = {}
        for aspect, mention in mentions(text, vocabulary).items():
            texts = alternatives(text, mention, vocabulary)
            asked[aspect] = Asked(mention.value, list(texts), self.embedding.texts(list(texts.values())))
        return asked

    def _there(self, picture: Tensor, vector: Tensor, asked: Mapping[str, Asked]) -> dict[str, bool]:
        """Of each aspect, whether more than half of its judges see it in a picture, whose CLIP vector is given."""
        described = mentions(self.captioner(to_pil(picture))[0].text, self._aspects)
        there = {}
        for aspect, (value, values, texts) in asked.items():
            sees = {
                "captioner": aspect in described and described[aspect].value == value,
                "clip": values[int((texts @ vector).argmax())] == value,
            }
            if aspect == "thing":
                sees["classifier"] = self._thing(picture) == value
            votes = [sees[judge] for judge in self._world.get("judges", {}).get(aspect, sees)]
            there[aspect] = 2 * sum(votes) > len(votes)
        return there

    def _thing(self, picture: Tensor) -> str | None:
        """What the classifier sees, in the vocabulary's words."""
        label = self.classifier(to_pil(picture))[0].text
        named = mentions(label, {"thing": self._aspects["thing"]})
        return named["thing"].value if named else None

    @property
    def _aspects(self) -> Vocabulary:
        return self._world["aspects"]

    @cached_property
    def _world(self) -> Mapping[str, Any]:
        if not isinstance(self.vocabulary, str):
            return self.vocabulary
        file = weights_path(self.vocabulary)
        if not file.is_file():
            raise UserError(f"{self.name} needs the words of its world: there is no file {file}")
        return json.loads(file.read_text())
