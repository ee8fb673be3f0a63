"""Many texts, of which a race finds the one to go on with: see `mti.race`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import chain, zip_longest

from mti.perception.clean import clean, without_white_background
from mti.types import InitialText, Perception, PreparedConcept, Tokenize, UserError


class Ranked:
    """The captioner's sentences, the classifier's labels, one with the words of the other, what is recorded, and stars.

    They are distinct, and the likeliest come first.

    Args:
        captioner: gives the sentences: as many as its search has beams.
        classifier: gives the labels.
        candidates: how many texts are trained, at most.
        cuts: the updates after which the worse half of them leaves; the last leaves one.
    """

    def __init__(
        self,
        captioner: Perception,
        classifier: Perception,
        candidates: int,
        cuts: list[int],
    ) -> None:
        if not cuts or sorted(set(cuts)) != list(cuts):
            raise UserError(f"init.cuts={list(cuts)}: expected steps in their order, such as [10,25,50]")
        self.captioner, self.classifier = captioner, classifier
        self.candidates, self.cuts = candidates, list(cuts)

    def release(self) -> None:
        """Let go of the weights of both models."""
        self.captioner.release()
        self.classifier.release()

    def __call__(self, concept: PreparedConcept, tokenize: Tokenize) -> InitialText:
        """The candidates, with the first of them as the text until the race is over."""
        captions, labels = (list(_said(model, concept)) for model in (self.captioner, self.classifier))
        recorded = [
            InitialText(clean(raw), "recorded", raw)
            for name in ("caption", "class")
            if (raw := concept.recorded.get(name))
        ]
        both = [replace(one, text=under(one.text, label.text)) for one in captions[:1] for label in labels[:1]]
        stars = [replace(one, text=" ".join("*" * len(tokenize(one.text)))) for one in captions[:1]]
        rest = filter(None, chain.from_iterable(zip_longest(captions[1:], labels[1:])))
        distinct: dict[str, InitialText] = {}
        for one in (*captions[:1], *labels[:1], *both, *recorded, *stars, *rest):
            distinct.setdefault(one.text, one)
        found = list(distinct.values())[: self.candidates]
        if not found:
            raise UserError(f"neither captioner nor classifier has words for {concept.name}: choose another init")
        return replace(found[0], candidates=found, cuts=self.cuts)


def under(caption: str, label: str) -> str:
    """A caption whose noun gives way to a label: "a red kettle with dots" under "teapot" is "a red teapot with dots".

    The noun is the last word before "with", or of all; a caption that has the label in it stays as it is.
    """
    if f" {label} " in f" {caption} ":
        return caption
    named, mark, attributes = caption.partition(" with ")
    return " ".join([*named.split()[:-1], label]) + mark + attributes


def _said(model: Perception, concept: PreparedConcept) -> Iterator[InitialText]:
    """All guesses of a model that have words in them, cleaned."""
    for guess in model(concept.described):
        try:
            text = clean(guess.text)
        except UserError:
            continue
        yield InitialText(
            without_white_background(text) if concept.on_white else text,
            model.name,
            guess.text,
            {"guesses": [guess._asdict()]},
        )
