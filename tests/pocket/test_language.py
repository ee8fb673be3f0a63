from dataclasses import replace

import numpy as np
import pytest

from mti.pocket import language
from mti.pocket.held_out import scene_at
from mti.pocket.world import COLORS, KINDS, PATTERNS, Individual, Scene
from mti.templates import OBJECT

TEAPOT = Scene(Individual("teapot", "red", sticker="leaf", sticker_color="gold", number=1), "blue")
ASPECTS = ("kind", "color", "background", "pattern", "pattern_color", "sticker", "sticker_color", "number")


def named(scene, aspect):
    return scene.background if aspect == "background" else getattr(scene.thing, aspect)


def test_the_scene_and_the_thing_alone():
    assert language.scene_caption(TEAPOT) == "a red teapot with a gold leaf on it on a blue background"
    assert language.thing_caption(TEAPOT.thing) == "a red teapot with a gold leaf on it"
    both = replace(TEAPOT.thing, pattern="stripes", pattern_color="pink", number=2)
    assert language.thing_caption(both, "kettle") == "a red kettle with pink stripes and two gold leaves on it"
    assert language.scene_caption(Scene(Individual("apple"), "sky")) == "an apple in the sky"


def test_captions_say_what_is_there_and_nothing_else():
    rng = np.random.default_rng(0)
    told = {language.caption(TEAPOT, rng, OBJECT) for _ in range(300)}
    assert "a red teapot with a gold leaf on it on a blue background" in told
    assert "a red teapot with a gold leaf on it" in told
    assert len(told) > 50
    others = (set(COLORS) - {"red", "blue", "gold"}) | set(PATTERNS)
    assert not any(word in text.split() for text in told for word in others)
    assert all("teapot" in text or "kettle" in text for text in told)
    bare = [text for text in told if "leaf" not in text]
    assert all(
        "background" not in text and "red" not in text for text in bare
    )  # who leaves that out says the kind alone


@pytest.mark.parametrize("seed", [1, 2])
def test_what_is_said_is_understood(seed):
    for index in range(300):
        scene = scene_at(seed, index)
        there = {aspect: named(scene, aspect) for aspect in ASPECTS if named(scene, aspect)}
        assert language.understood(language.scene_caption(scene)) == there
        del there["background"]
        assert language.understood(language.thing_caption(scene.thing)) == there


def test_a_differing_scene_differs_in_one_aspect():
    rng = np.random.default_rng(0)
    for index in range(100):
        scene = scene_at(1, index)
        for aspect in ASPECTS:
            other = language.differing(scene, aspect, rng)
            changed = [name for name in ASPECTS if named(scene, name) != named(other, name)]
            assert changed == ([aspect] if named(scene, aspect) else [])


def test_every_word_of_a_caption_is_known():
    known = set(language.words())
    for index in range(300):
        assert set(language.scene_caption(scene_at(1, index)).replace("-", " - ").split()) <= known
    assert {word for _, names in KINDS.values() for name in names for word in name.replace("-", " ").split()} <= known
