import numpy as np
import pytest

from mti.pocket import concepts, drawings, world
from mti.templates import OBJECT

needs_font = pytest.mark.skipif(not world.FONT.exists(), reason="drawing needs Debian's fonts-noto-color-emoji")


def test_a_scene_is_a_function_of_seed_and_index():
    assert world.scene_at(1, 5) == world.scene_at(1, 5)
    assert len({world.scene_at(1, index) for index in range(50)}) == 50
    assert world.scene_at(1, 5) != world.scene_at(2, 5)


def test_unseen_combinations_are_in_no_training_scene():
    training = {drawings.scene("train", index) for index in range(2000)}
    test = {drawings.scene("test", index) for index in range(2000)}
    assert not any(world.is_held_out(scene) for scene in training)
    assert all(world.is_held_out(scene) for scene in test)
    unseen = {(s.kind, s.color, s.background) for s in test if world.is_unseen_combination(s)}
    assert len(unseen) > 500
    assert not unseen & {(s.kind, s.color, s.background) for s in training}


def test_no_concept_is_a_training_scene():
    assert len(world.CONCEPT_SCENES) == 12
    assert all(world.is_held_out(scene) for scene in world.CONCEPT_SCENES.values())


def test_every_kind_color_and_background_occurs():
    scenes = [drawings.scene("train", index) for index in range(3000)]
    assert {scene.kind for scene in scenes} == set(world.KINDS)
    assert {scene.color for scene in scenes} == {None, *world.COLORS}
    assert {scene.background for scene in scenes} == {*world.COLORS, *world.TEXTURES}
    assert not any(scene.color and scene.color == scene.background for scene in scenes)


def test_captions_say_what_is_there_and_nothing_else():
    scene = world.Scene("teapot", "red", "blue", sticker="leaf", sticker_color="gold")
    rng = np.random.default_rng(0)
    told = {world.caption(scene, rng, OBJECT) for _ in range(300)}
    assert "a red teapot with a gold leaf on it on a blue background" in told
    assert len(told) > 50
    others = (set(world.COLORS) - {"red", "blue", "gold"}) | set(world.PATTERNS)
    assert not any(word in text.split() for text in told for word in others)
    assert all("teapot" in text or "kettle" in text for text in told)


@needs_font
def test_a_drawing_is_the_same_every_time_and_its_mask_covers_the_object():
    scene = world.Scene("apple", "green", "white")
    picture, mask = world.draw(scene)
    again, _ = world.draw(scene)
    assert picture.size == (64, 64)
    assert np.array_equal(picture, again)
    pixels = np.asarray(picture, np.float32)
    assert 0.15 < mask.mean() < 0.6
    inside, outside = np.median(pixels[mask], axis=0), np.median(pixels[~mask], axis=0)
    assert np.abs(inside - world.COLORS["green"]).max() < 40
    assert np.abs(outside - world.COLORS["white"]).max() < 20


@needs_font
@pytest.mark.parametrize("name", world.CONCEPT_SCENES)
def test_the_shipped_concepts_are_what_the_code_draws(name):
    from PIL import Image

    shipped = np.asarray(Image.open(concepts.FOLDER / f"{name}.png").convert("RGB"), np.float32)
    drawn = np.asarray(concepts.concept_picture(name), np.float32)
    assert shipped.shape == (concepts.SIZE, concepts.SIZE, 3)
    assert np.abs(shipped - drawn).mean() < 1
