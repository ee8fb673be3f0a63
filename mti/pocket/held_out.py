"""What no training picture of the pocket world shows: the individuals, and combinations that stay unseen.

Both are fixed by hand or by seed: twelve concepts of the paper's kinds, thirty-six more individuals in
several scenes each, and one in ten of the combinations of kind, colour and background.
"""

from __future__ import annotations

import functools
import hashlib

import numpy as np

from mti.pocket.world import (
    BACKGROUNDS,
    KINDS,
    Decoration,
    Individual,
    Scene,
    Spot,
    random_individual,
    random_scene,
)

INDIVIDUALS_SEED, INDIVIDUALS, POSES = 3, 36, 5


def unseen(thing: Individual, background: str) -> bool:
    """Whether no training picture has this kind, colour and background together."""
    combination = f"{thing.kind}/{thing.color}/{background}"
    return hashlib.sha256(combination.encode()).digest()[0] < 26


def scene_at(seed: int, index: int, held_out: bool = False) -> Scene:
    """The scene `index` of a data set; scenes 2 i and 2 i + 1 show the same individual.

    Training sets have no individual with the look of one that is held out, and no unseen combination;
    test sets have unseen combinations only.
    """
    rng = np.random.default_rng([seed, index // 2])
    while True:
        thing = random_individual(rng)
        fitting = [name for name in BACKGROUNDS if name != thing.color and unseen(thing, name) == held_out]
        if fitting and (held_out or thing.look not in looks()):
            return random_scene(np.random.default_rng([seed, index // 2, index % 2]), thing, fitting)


@functools.cache
def individuals() -> dict[str, tuple[Scene, ...]]:
    """The twelve concepts' and thirty-six more by name, such as "teapot" and "book_25", each in several scenes.

    These differ in poses and surroundings.
    """
    kinds = [kind for kind in KINDS if kind not in CONCEPTS] + list(CONCEPTS)
    found = {
        name: _scenes(np.random.default_rng([INDIVIDUALS_SEED, 1, index]), scene.thing)
        for index, (name, scene) in enumerate(CONCEPTS.items())
    }
    for index, kind in enumerate(kinds[:INDIVIDUALS]):
        rng = np.random.default_rng([INDIVIDUALS_SEED, index])
        thing = random_individual(rng, kind, decorated=True)
        while not (thing.color and (thing.sticker or thing.pattern)):
            thing = random_individual(rng, kind, decorated=True)
        found[f"{kind}_{index}"] = _scenes(rng, thing)
    return found


def _scenes(rng: np.random.Generator, thing: Individual) -> tuple[Scene, ...]:
    backgrounds = rng.permutation([name for name in BACKGROUNDS if name != thing.color])[:POSES]
    return tuple(random_scene(rng, thing, [str(name)]) for name in backgrounds)


@functools.cache
def looks() -> frozenset[tuple[str | None, ...]]:
    """The looks of all individuals that are held out."""
    return frozenset(scenes[0].thing.look for scenes in individuals().values())


def _on(form: str, x: float, y: float, size: float, accent: str | None = None, angle: float = 0.0) -> Decoration:
    return Decoration(form, accent, Spot(x, y, size, angle))


def _stuck(
    kind: str, color: str, sticker: str, sticker_color: str, spots: list[Spot], *decorations: Decoration
) -> Individual:
    return Individual(
        kind, color, None, None, sticker, sticker_color, len(spots), spots=tuple(spots), decorations=decorations
    )


def _patterned(
    kind: str, color: str, pattern: str, pattern_color: str, scale: float, angle: float, *decorations: Decoration
) -> Individual:
    return Individual(
        kind, color, pattern, pattern_color, pattern_scale=scale, pattern_angle=angle, decorations=decorations
    )


# Concept -> its scene: an individual of one of the paper's twelve kinds (table A.1).
CONCEPTS: dict[str, Scene] = {
    "coffee_mug": Scene(
        _stuck(
            "coffee_mug", "white", "skull", "black", [Spot(0.42, 0.5, 0.46)],
            _on("🎀", 0.3, 0.3, 0.28, "magenta"), _on("band", 0.5, 0.78, 0.1, "teal", 90.0),
        ),
        "wood", 0.84,
    ),
    "cup": Scene(
        _stuck(
            "cup", "pink", "heart", "red", [Spot(0.5, 0.55, 0.38)],
            _on("🍓", 0.45, 0.3, 0.24), _on("🍓", 0.55, 0.85, 0.22), _on("rim", 0.5, 0.5, 0.1, "maroon"),
        ),
        "turquoise", 0.84, angle=6.0,
    ),
    "sunglasses": Scene(
        Individual(
            "sunglasses", "gold",
            decorations=(
                _on("half", 0.5, 0.5, 0.2, "maroon", 90.0), _on("🍒", 0.2, 0.6, 0.24), _on("🍒", 0.8, 0.6, 0.24),
            ),
        ),
        "sand", 0.86, angle=-6.0,
    ),
    "backpack": Scene(
        _stuck(
            "backpack", "brown", "star", "white", [Spot(0.5, 0.4, 0.36)],
            _on("⚓", 0.4, 0.8, 0.26, "mint"), _on("🐼", 0.7, 0.75, 0.26), _on("half", 0.5, 0.5, 0.12, "olive", 180.0),
        ),
        "green", 0.82,
    ),
    "sneaker": Scene(
        _patterned(
            "sneaker", "white", "stripes", "pink", 1.0, 12.0,
            _on("🧿", 0.45, 0.6, 0.26), _on("💎", 0.75, 0.65, 0.24), _on("rim", 0.5, 0.5, 0.12, "navy"),
        ),
        "gray", 0.86, angle=4.0,
    ),
    "teddy_bear": Scene(
        _stuck(
            "teddy_bear", "red", "moon", "white", [Spot(0.5, 0.66, 0.36)],
            _on("👀", 0.5, 0.26, 0.32), _on("🎵", 0.25, 0.85, 0.24, "navy"), _on("🎵", 0.8, 0.85, 0.24, "navy"),
        ),
        "yellow", 0.84,
    ),
    "bird": Scene(
        _patterned(
            "bird", "gray", "dots", "white", 1.1, 10.0,
            _on("🎀", 0.35, 0.4, 0.28, "coral"), _on("band", 0.55, 0.6, 0.12, "magenta", 60.0),
        ),
        "sky", 0.82, angle=-5.0,
    ),
    "go_kart": Scene(
        _stuck(
            "go_kart", "blue", "bolt", "yellow", [Spot(0.62, 0.6, 0.36)],
            _on("👦", 0.4, 0.45, 0.26), _on("rim", 0.5, 0.5, 0.1, "lime"),
        ),
        "pink", 0.88,
    ),
    "maraca": Scene(
        _patterned(
            "maraca", "turquoise", "stripes", "yellow", 1.1, -20.0,
            _on("🐸", 0.65, 0.3, 0.34), _on("ring", 0.5, 0.5, 0.14, "maroon"),
        ),
        "purple", 0.86,
    ),
    "analog_clock": Scene(
        _stuck(
            "analog_clock", "purple", "crown", "gold", [Spot(0.5, 0.5, 0.38)],
            _on("🧿", 0.25, 0.4, 0.22), _on("🧿", 0.75, 0.4, 0.22), _on("half", 0.5, 0.5, 0.16, "mint", 0.0),
        ),
        "white", 0.84,
    ),
    "teapot": Scene(
        _stuck(
            "teapot", "red", "leaf", "gold", [Spot(0.5, 0.55, 0.42)],
            _on("👀", 0.5, 0.3, 0.26), _on("band", 0.5, 0.8, 0.1, "navy", 90.0), _on("🍋", 0.75, 0.6, 0.22),
        ),
        "blue", 0.86, angle=-4.0,
    ),
    "ocarina": Scene(
        _stuck(
            "ocarina", "green", "flower", "yellow", [Spot(0.5, 0.62, 0.34)],
            _on("🐙", 0.25, 0.62, 0.26), _on("🐙", 0.78, 0.62, 0.26), _on("rim", 0.5, 0.5, 0.1, "cream"),
        ),
        "grass", 0.86, angle=5.0,
    ),
}  # fmt: skip
