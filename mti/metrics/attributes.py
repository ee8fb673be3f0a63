"""What a text of a small, known world says: which thing, in which colour, with what on it, and where."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

Vocabulary = Mapping[str, Mapping[str, Sequence[str]]]
"""Of each aspect the values, and of each value the words that texts use for it, the usual ones first.

Aspects are "thing", "colour", "pattern", "sticker" and "place", such as
{"thing": {"coffee mug": ["coffee mug", "mug"]}, "sticker": {"leaf": ["leaf", "leaves"]}, …}.
"""

SLOT, BACKGROUND = "{}", "background"

COLOUR_OF = {
    "thing": "colour",
    SLOT: "colour",
    "pattern": "pattern_colour",
    "sticker": "sticker_colour",
    BACKGROUND: "background",
}
"""Which aspect a colour is, by the noun that it stands before."""


class Mention(NamedTuple):
    """A value of an aspect, which of its words the text uses, and where."""

    aspect: str
    value: str
    word: int
    start: int
    end: int


def mentions(text: str, vocabulary: Vocabulary) -> dict[str, Mention]:
    """What a text says: the first mention of each aspect of the vocabulary, and of each that a colour can be.

    A colour belongs to the noun right behind it, where the placeholders' slot `{}` is a thing; one that stands
    before nothing is left out. Patterns and stickers are only what comes "with" a thing.
    """
    found = [mention for aspect, values in vocabulary.items() for mention in _all(text, aspect, values)]
    found += [mention for noun in (SLOT, BACKGROUND) for mention in _all(text, noun, {"": [noun]})]
    found = _without_parts(found)
    nouns = {mention.start: mention.aspect for mention in found}
    accompanied = re.search(r"\bwith\b", text, re.IGNORECASE)
    named: dict[str, Mention] = {}
    for mention in found:
        noun = nouns.get(mention.end + 1, "") if mention.aspect == "colour" else mention.aspect
        aspect = COLOUR_OF.get(noun, "") if mention.aspect == "colour" else mention.aspect
        alone = noun in ("pattern", "sticker") and not (accompanied and accompanied.start() < mention.start)
        if aspect and mention.value and not alone:
            named.setdefault(aspect, mention._replace(aspect=aspect))
    return named


def alternatives(text: str, mention: Mention, vocabulary: Vocabulary) -> dict[str, str]:
    """The text as it is, and as it would be with each other value of what is mentioned, by value.

    The words for another value are those at the same place of its list: of "leaves" in ["leaf", "leaves"], "stars".
    """
    values = vocabulary["colour" if mention.aspect in COLOUR_OF.values() else mention.aspect]
    before, behind = text[: mention.start], text[mention.end :]
    others = {value: names[min(mention.word, len(names) - 1)] for value, names in values.items()}
    written = {value: with_articles(before + name + behind) for value, name in others.items()}
    return {mention.value: text} | {value: other for value, other in written.items() if value != mention.value}


def with_articles(text: str) -> str:
    """ "a orange cup" to "an orange cup", and "an red cup" to "a red cup"."""
    return re.sub(r"\ban? (?=(\w))", lambda found: "an " if found[1] in "aeiou" else "a ", text)


def _all(text: str, aspect: str, values: Mapping[str, Sequence[str]]) -> list[Mention]:
    return [
        Mention(aspect, value, word, *match.span())
        for value, names in values.items()
        for word, name in enumerate(names)
        for match in re.finditer(rf"(?<!\w){re.escape(name)}(?!\w)", text, re.IGNORECASE)
    ]


def _without_parts(found: Sequence[Mention]) -> list[Mention]:
    """In the text's order, without what is part of a longer one: of "coffee mug" no "mug"."""
    kept: list[Mention] = []
    for mention in sorted(found, key=lambda mention: (mention.start, -mention.end)):
        if not kept or mention.start >= kept[-1].end:
            kept.append(mention)
    return kept
