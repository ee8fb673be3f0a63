from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from mti.pocket import concepts, drawing
from mti.pocket.drawing import draw
from mti.pocket.held_out import CONCEPTS, individuals, scene_at
from mti.pocket.world import COLORS, Decoration, Individual, Scene, Spot

pytestmark = pytest.mark.skipif(not drawing.FONT.exists(), reason="drawing needs Debian's fonts-noto-color-emoji")
APPLE = Scene(Individual("apple", "green"), "white")


def test_a_drawing_is_the_same_every_time_and_its_mask_covers_the_thing():
    picture, mask = draw(APPLE)
    again, _ = draw(APPLE)
    assert picture.size == (64, 64)
    assert np.array_equal(picture, again)
    pixels = np.asarray(picture, np.float32)
    assert 0.15 < mask.mean() < 0.6
    inside, outside = np.median(pixels[mask], axis=0), np.median(pixels[~mask], axis=0)
    assert np.abs(inside - COLORS["green"]).max() < 40
    assert np.abs(outside - COLORS["white"]).max() < 20


def test_stickers_are_seen_where_there_is_room_and_belong_to_the_mask():
    spots = (Spot(0.0, 0.0, 0.4), Spot(1.0, 1.0, 0.4))
    thing = replace(APPLE.thing, sticker="heart", sticker_color="blue", number=2, spots=spots)
    picture, mask = draw(replace(APPLE, thing=thing), 128)
    blue = np.abs(np.asarray(picture, np.float32) - COLORS["blue"]).max(-1) < 50
    assert blue.sum() > 300
    assert mask[blue].mean() > 0.98
    assert len(set(drawing.places("apple", list(spots), []))) == 2


def test_the_area_of_stickers_is_told_without_drawing():
    found = []
    for index in range(60):
        scene = scene_at(1, index)
        bare = replace(scene, thing=replace(scene.thing, sticker=None, number=0, spots=()))
        with_stickers, without = (np.asarray(draw(one)[0], np.float32) for one in (scene, bare))
        changed, area = np.abs(with_stickers - without).max(-1) > 60, drawing.sticker_area(scene, 64)
        assert area.any() == bool(scene.thing.number)
        if scene.thing.number:
            found.append((changed & area).sum() / (changed | area).sum())
    assert np.mean(found) > 0.5


@pytest.mark.parametrize("pattern", ["stripes", "dots", "checks"])
def test_a_pattern_covers_a_part_of_the_thing(pattern):
    thing = replace(APPLE.thing, pattern=pattern, pattern_color="purple")
    picture, mask = draw(replace(APPLE, thing=thing))
    second = np.abs(np.asarray(picture, np.float32) - COLORS["purple"]).max(-1) < 60
    assert 0.05 < second[mask].mean() < 0.6


@pytest.mark.parametrize("form", ["band", "half", "rim", "ring", "🐸"])
def test_a_decoration_changes_a_part_of_the_thing_alone(form):
    thing = replace(APPLE.thing, decorations=(Decoration(form, "magenta", Spot(0.5, 0.5, 0.2)),))
    (plain, mask), (decorated, again) = draw(APPLE), draw(replace(APPLE, thing=thing))
    changed = (np.asarray(plain) != np.asarray(decorated)).any(-1)
    assert 0.01 < changed[mask].mean() < 0.6
    assert changed[~(mask | again)].mean() < 0.12  # the outline is soft


def test_poses_move_the_thing():
    whole = draw(APPLE)[1]
    assert draw(replace(APPLE, scale=0.6))[1].sum() < 0.75 * whole.sum()
    assert np.nonzero(draw(replace(APPLE, x=0.6))[1])[1].mean() > np.nonzero(whole)[1].mean() + 4


def test_every_held_out_individual_and_many_scenes_are_drawn():
    scenes = [own[0] for own in individuals().values()] + [scene_at(1, index) for index in range(100)]
    for scene in scenes:
        assert 0.03 < draw(scene)[1].mean() < 0.75


@pytest.mark.parametrize("name", CONCEPTS)
def test_the_shipped_concepts_are_what_the_code_draws(name):
    shipped = np.asarray(Image.open(concepts.FOLDER / f"{name}.png").convert("RGB"), np.float32)
    drawn, mask = draw(CONCEPTS[name], concepts.SIZE)
    assert np.abs(shipped - np.asarray(drawn, np.float32)).mean() < 1
    x, y = concepts.click_in(CONCEPTS[name], concepts.SIZE)
    assert mask[y, x]
