"""The pocket world: individual things, and the scenes in which they are seen.

An individual is a kind of thing in a colour, perhaps with a pattern and with stickers, which language
names, and with decorations, which it cannot name. A scene is an individual in a pose on a background.
All is a pure function of `(seed, index)`, so a data set is two numbers; `language` says what is seen,
`drawing` draws it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

OCARINA = "ocarina"

COLORS: dict[str, tuple[int, int, int]] = {
    "red": (212, 28, 36),
    "yellow": (254, 228, 46),
    "green": (40, 154, 58),
    "turquoise": (48, 206, 200),
    "blue": (34, 78, 214),
    "purple": (132, 46, 180),
    "pink": (252, 140, 192),
    "brown": (108, 62, 28),
    "gold": (206, 148, 24),
    "black": (34, 34, 38),
    "white": (246, 246, 244),
    "gray": (142, 144, 148),
}

# Kind -> (glyph, the names that captions use; the first is the class label).
KINDS: dict[str, tuple[str, tuple[str, ...]]] = {
    "coffee_mug": ("☕", ("coffee mug", "mug")),
    "cup": ("🥤", ("cup",)),
    "sunglasses": ("🕶", ("sunglasses", "pair of sunglasses")),
    "backpack": ("🎒", ("backpack",)),
    "sneaker": ("👟", ("sneaker", "shoe")),
    "teddy_bear": ("🧸", ("teddy bear", "plush toy")),
    "bird": ("🐦", ("bird",)),
    "go_kart": ("🏎", ("go-kart", "toy car")),
    "maraca": ("🪇", ("maraca",)),
    "analog_clock": ("⏰", ("analog clock", "clock")),
    "teapot": ("🫖", ("teapot", "kettle")),
    "ocarina": (OCARINA, ("ocarina",)),
    "apple": ("🍎", ("apple",)),
    "banana": ("🍌", ("banana",)),
    "pineapple": ("🍍", ("pineapple",)),
    "carrot": ("🥕", ("carrot",)),
    "mushroom": ("🍄", ("mushroom",)),
    "cactus": ("🌵", ("cactus",)),
    "tree": ("🌳", ("tree",)),
    "cat": ("🐈", ("cat",)),
    "elephant": ("🐘", ("elephant",)),
    "fish": ("🐟", ("fish",)),
    "butterfly": ("🦋", ("butterfly",)),
    "snail": ("🐌", ("snail",)),
    "turtle": ("🐢", ("turtle",)),
    "crab": ("🦀", ("crab",)),
    "bus": ("🚌", ("bus",)),
    "bicycle": ("🚲", ("bicycle",)),
    "rocket": ("🚀", ("rocket",)),
    "sailboat": ("⛵", ("sailboat", "boat")),
    "umbrella": ("☂", ("umbrella",)),
    "key": ("🔑", ("key",)),
    "scissors": ("✂", ("scissors", "pair of scissors")),
    "hammer": ("🔨", ("hammer",)),
    "guitar": ("🎸", ("guitar",)),
    "trumpet": ("🎺", ("trumpet",)),
    "bell": ("🔔", ("bell",)),
    "book": ("📕", ("book",)),
    "camera": ("📷", ("camera",)),
    "light_bulb": ("💡", ("light bulb",)),
    "chair": ("🪑", ("chair",)),
    "hat": ("🎩", ("hat",)),
    "house": ("🏠", ("house",)),
    "balloon": ("🎈", ("balloon",)),
}

# Sticker -> (glyph, plural).
STICKERS: dict[str, tuple[str, str]] = {
    "heart": ("❤", "hearts"),
    "star": ("⭐", "stars"),
    "leaf": ("🍁", "leaves"),
    "skull": ("☠", "skulls"),
    "crown": ("👑", "crowns"),
    "flower": ("🌼", "flowers"),
    "bolt": ("⚡", "bolts"),
    "moon": ("🌙", "moons"),
}
PATTERNS = ("stripes", "dots", "checks")
PLACES: dict[str, str] = {
    "wood": "on a wooden table",
    "grass": "on the grass",
    "sand": "on the beach",
    "sky": "in the sky",
}
BACKGROUNDS = (*COLORS, *PLACES)

# What language has no word for: small glyphs, and shapes in colours without a name.
ORNAMENTS = tuple("🎀👀🍓⚓🍒🍋🐞🐙🎵💎🔥💧🍩🌈🐸🐼🎯🍕👄💩👦👽🤖🎃🧀🍇🥨🧿🍬")
FORMS = ("band", "half", "rim", "ring")
ACCENTS: dict[str, tuple[int, int, int]] = {
    "coral": (255, 112, 84),
    "lime": (176, 226, 44),
    "teal": (10, 112, 120),
    "navy": (18, 30, 92),
    "maroon": (112, 12, 40),
    "lavender": (190, 170, 246),
    "cream": (252, 236, 200),
    "mint": (168, 240, 200),
    "magenta": (226, 30, 150),
    "olive": (118, 118, 30),
}


@dataclass(frozen=True)
class Spot:
    """A place on a thing, in the thing's widths; what is stuck there goes to where the thing is broad nearby."""

    x: float
    y: float
    size: float
    angle: float = 0.0  # degrees


@dataclass(frozen=True)
class Decoration:
    """A detail without a name: an ornament (a glyph of `ORNAMENTS`) or a shape (of `FORMS`) at a spot."""

    form: str
    accent: str | None  # a colour of `ACCENTS`; None: the glyph's own colours
    spot: Spot


@dataclass(frozen=True)
class Individual:
    """One thing. Kind, colours, pattern, sticker and their number are what language names."""

    kind: str
    color: str | None = None  # None: the glyph's own colours
    pattern: str | None = None
    pattern_color: str | None = None
    sticker: str | None = None
    sticker_color: str | None = None
    number: int = 0  # of stickers
    pattern_scale: float = 1.0
    pattern_angle: float = 0.0  # degrees
    spots: tuple[Spot, ...] = ()  # of the stickers
    decorations: tuple[Decoration, ...] = ()

    @property
    def look(self) -> tuple[str | None, ...]:
        """What is held out of an individual: its kind, colour, pattern and sticker together."""
        return self.kind, self.color, self.pattern, self.sticker


@dataclass(frozen=True)
class Scene:
    """An individual in a pose, in its surroundings."""

    thing: Individual
    background: str  # one of `BACKGROUNDS`
    scale: float = 0.75  # the thing's size as a share of the picture's
    x: float = 0.5  # the thing's centre, in picture widths
    y: float = 0.5
    angle: float = 0.0  # degrees
    stretch: float = 1.0  # width to height
    mirror: bool = False
    texture_seed: int = 0


# ---------------------------------------------------------------------------------------- sampling


def random_individual(rng: np.random.Generator, kind: str | None = None, decorated: bool = False) -> Individual:
    """An individual of the world's distribution, of a kind if one is given; `decorated` for at least two decorations.

    Half have stickers and two in five a pattern, so that three of four have either.
    """
    kind = kind or _one(rng, KINDS)
    color = _one(rng, COLORS) if rng.random() < 0.9 else None
    others = [name for name in COLORS if name != color]
    share = rng.random()
    pattern = _one(rng, PATTERNS) if color and share < 0.42 else None
    sticker = _one(rng, STICKERS) if 0.28 < share < 0.78 else None
    pattern_color = _one(rng, others) if pattern else None
    number = int(rng.choice([1, 2, 3], p=[0.6, 0.25, 0.15])) if sticker else 0
    low, high = {0: (0.0, 0.0), 1: (0.34, 0.48), 2: (0.29, 0.38), 3: (0.26, 0.33)}[number]
    count = int(rng.integers(2, 5)) if decorated else int(rng.integers(1, 4)) if rng.random() < 0.45 else 0
    return Individual(
        kind=kind,
        color=color,
        pattern=pattern,
        pattern_color=pattern_color,
        sticker=sticker,
        sticker_color=_one(rng, [name for name in others if name != pattern_color]) if sticker else None,
        number=number,
        pattern_scale=float(rng.uniform(0.85, 1.3)),
        pattern_angle=float(rng.uniform(-40, 40)),
        spots=tuple(_spot(rng, low, high, 25.0) for _ in range(number)),
        decorations=tuple(_decoration(rng) for _ in range(count)),
    )


def random_scene(rng: np.random.Generator, thing: Individual, backgrounds: Sequence[str] = ()) -> Scene:
    """A scene of the individual on one of the backgrounds, or on any that is not of its own colour."""
    backgrounds = backgrounds or [name for name in BACKGROUNDS if name != thing.color]
    plain = [name for name in backgrounds if name in COLORS]
    places = [name for name in backgrounds if name in PLACES]
    return Scene(
        thing=thing,
        background=_one(rng, plain if plain and (not places or rng.random() < 0.68) else places),
        scale=float(rng.uniform(0.64, 0.9)),
        x=float(rng.uniform(0.44, 0.56)),
        y=float(rng.uniform(0.44, 0.56)),
        angle=float(rng.uniform(-15, 15)),
        stretch=float(rng.uniform(0.9, 1.1)),
        mirror=bool(rng.random() < 0.5),
        texture_seed=int(rng.integers(2**31)),
    )


def _one(rng: np.random.Generator, names: Iterable[str]) -> str:
    names = list(names)
    return names[int(rng.integers(len(names)))]


def _spot(rng: np.random.Generator, low: float, high: float, turn: float) -> Spot:
    x, y, size, angle = rng.random(), rng.random(), rng.uniform(low, high), rng.uniform(-turn, turn)
    return Spot(float(x), float(y), float(size), float(angle))


def _decoration(rng: np.random.Generator) -> Decoration:
    if rng.random() < 0.5:
        accent = _one(rng, ACCENTS) if rng.random() < 0.4 else None
        return Decoration(_one(rng, ORNAMENTS), accent, _spot(rng, 0.18, 0.34, 30.0))
    return Decoration(_one(rng, FORMS), _one(rng, ACCENTS), _spot(rng, 0.1, 0.22, 90.0))
