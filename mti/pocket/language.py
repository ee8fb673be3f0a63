"""What the pocket world's language says of a scene: of all of it, or of the thing alone.

Of the scene: "a red teapot with two gold leaves on it on a blue background". Of the thing alone: "a red
teapot with two gold leaves on it". Pattern and stickers are named where they are; decorations, pose and
light have no words.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from mti.pocket.world import BACKGROUNDS, COLORS, KINDS, PATTERNS, PLACES, STICKERS, Individual, Scene

NUMBERS = {2: "two", 3: "three"}


def article(words: str) -> str:
    """The indefinite article that the first letter asks for."""
    return "an" if words[0] in "aeiou" else "a"


def details_phrase(thing: Individual) -> str:
    """Pattern and stickers: "with pink stripes and two gold leaves on it"; "" if there are none."""
    words = f"with {thing.pattern_color} {thing.pattern}" if thing.pattern else ""
    if thing.sticker:
        several = thing.number > 1
        name = f"{thing.sticker_color} {STICKERS[thing.sticker][1] if several else thing.sticker}"
        count = NUMBERS[thing.number] if several else article(name)
        words += f"{' and' if words else 'with'} {count} {name} on it"
    return words


def background_phrase(background: str) -> str:
    """Where the thing is, such as "on a blue background"."""
    return PLACES.get(background) or f"on {article(background)} {background} background"


def thing_phrase(thing: Individual, name: str | None = None, color: bool = True) -> str:
    """The thing alone without an article, such as "red teapot with gold dots", under one of its kind's names."""
    name = name or KINDS[thing.kind][1][0]
    words = f"{thing.color} {name}" if thing.color and color else name
    return f"{words} {details_phrase(thing)}".rstrip()


def thing_caption(thing: Individual, name: str | None = None) -> str:
    """The thing alone, all that can be said of it."""
    phrase = thing_phrase(thing, name)
    return f"{article(phrase)} {phrase}"


def scene_caption(scene: Scene, name: str | None = None) -> str:
    """All that can be said of the scene."""
    return f"{thing_caption(scene.thing, name)} {background_phrase(scene.background)}"


def caption(scene: Scene, rng: np.random.Generator, templates: tuple[str, ...] = ()) -> str:
    """One of the many true captions of a scene.

    Three in five are of the scene, most others of the thing alone, some give nothing but the kind, and
    some leave the colour out; two in five are put into a template ("a rendering of a {}"). A few have a
    meaningless `*` before them, so that `*` is a known, poor word.
    """
    names = KINDS[scene.thing.kind][1]
    name = names[int(rng.random() * len(names))]  # one draw, however many names
    if rng.random() < 0.05:
        phrase = name
    else:
        phrase = thing_phrase(scene.thing, name, color=rng.random() < 0.96)
        if rng.random() < 0.62:
            phrase += f" {background_phrase(scene.background)}"
    style = rng.random()
    if templates and style < 0.4:
        text = templates[int(rng.integers(len(templates)))].format(phrase)
    elif style < 0.9:
        text = f"{article(phrase)} {phrase}"
    else:
        text = phrase
    return f"* {text}" if rng.random() < 0.03 else text


def words() -> list[str]:
    """All words of scene and thing captions, sorted; "go-kart" is three."""
    names = [name for _, names in KINDS.values() for name in names]
    plurals = [plural for _, plural in STICKERS.values()]
    phrases = [*names, *COLORS, *PATTERNS, *STICKERS, *plurals, *NUMBERS.values()]
    phrases += [background_phrase(background) for background in BACKGROUNDS]
    frame = ["a", "an", "with", "and", "on", "it"]
    return sorted({word for phrase in phrases + frame for word in phrase.replace("-", " - ").split()})


def values(aspect: str) -> tuple:
    """All that a scene's kind, color, background, pattern, pattern_color … or number can be."""
    known: dict[str, tuple] = {
        "kind": tuple(KINDS),
        "background": BACKGROUNDS,
        "pattern": PATTERNS,
        "sticker": tuple(STICKERS),
        "number": (1, 2, 3),
    }
    return known.get(aspect, tuple(COLORS))


def named(scene: Scene, aspect: str) -> Any:
    """What is named of a scene: a word, a number, or nothing."""
    return scene.background if aspect == "background" else getattr(scene.thing, aspect)


def changed(scene: Scene, aspect: str, value: str | int | None) -> Scene:
    """The scene with another value of an aspect."""
    if aspect == "background":
        return replace(scene, background=str(value))
    return replace(scene, thing=replace(scene.thing, **{aspect: value}))


def differing(scene: Scene, aspect: str, rng: np.random.Generator) -> Scene:
    """A scene that differs in one aspect; the scene itself where it has none, such as the colour of no pattern."""
    old = named(scene, aspect)
    if not old:
        return scene
    others = [value for value in values(aspect) if value != old]
    return changed(scene, aspect, others[int(rng.integers(len(others)))])


def understood(caption: str) -> dict[str, str | int]:
    """What a caption names, by kind, color, background, pattern … and number; what it does not name is left out."""
    found: dict[str, str | int] = {}
    for kind, (_, names) in KINDS.items():
        if any(f" {name} " in f" {caption} " for name in names):
            found["kind"] = kind
    for name in BACKGROUNDS:
        if caption.endswith(background_phrase(name)):
            found["background"] = name
    stickers = {form: name for name, (_, plural) in STICKERS.items() for form in (name, plural)}
    numbers = {name: number for number, name in NUMBERS.items()}
    words = ["", "", *caption.split()]
    if len(words) > 3 and words[3] in COLORS:
        found["color"] = words[3]
    for two_before, before, word in zip(words, words[1:], words[2:], strict=False):
        if word in PATTERNS:
            found |= {"pattern": word, "pattern_color": before}
        if word in stickers:
            found |= {"sticker": stickers[word], "sticker_color": before, "number": numbers.get(two_before, 1)}
    return found
