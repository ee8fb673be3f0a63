import numpy as np

from mti.pocket import world
from mti.pocket.held_out import scene_at


def scenes(count):
    return [scene_at(1, index) for index in range(0, 2 * count, 2)]


def test_the_world_is_as_large_as_it_says():
    assert len(world.KINDS) >= 40
    assert (len(world.COLORS), len(world.STICKERS), len(world.PATTERNS), len(world.PLACES)) == (12, 8, 3, 4)


def test_no_ornament_is_a_sticker_or_a_thing():
    named = {glyph for glyph, _ in (*world.KINDS.values(), *world.STICKERS.values())}
    assert not named & set(world.ORNAMENTS)
    assert not set(world.ACCENTS) & set(world.COLORS)


def test_a_scene_is_a_function_of_seed_and_index():
    assert scene_at(1, 5) == scene_at(1, 5)
    assert len({scene_at(1, index) for index in range(50)}) == 50
    assert scene_at(1, 5) != scene_at(2, 5)


def test_neighbours_show_the_same_individual_in_two_scenes():
    for index in range(0, 40, 2):
        first, second = scene_at(1, index), scene_at(1, index + 1)
        assert first.thing == second.thing
        assert first != second
    assert scene_at(1, 1).thing != scene_at(1, 2).thing


def test_every_value_occurs_and_details_are_frequent():
    things = [scene.thing for scene in scenes(2000)]
    assert {thing.kind for thing in things} == set(world.KINDS)
    assert {thing.color for thing in things} == {None, *world.COLORS}
    assert {thing.pattern for thing in things} == {None, *world.PATTERNS}
    assert {thing.sticker for thing in things} == {None, *world.STICKERS}
    assert {scene.background for scene in scenes(2000)} == set(world.BACKGROUNDS)
    assert np.mean([thing.sticker is not None for thing in things]) > 0.45
    assert np.mean([thing.sticker is not None or thing.pattern is not None for thing in things]) > 0.7
    assert 0.3 < np.mean([bool(thing.decorations) for thing in things]) < 0.6
    assert {thing.number for thing in things} == {0, 1, 2, 3}


def test_what_lies_on_a_thing_is_told_from_it_by_its_colour():
    for scene in scenes(500):
        thing = scene.thing
        assert len(thing.spots) == thing.number == (thing.number if thing.sticker else 0)
        assert scene.background != thing.color
        for color in (thing.pattern_color, thing.sticker_color):
            assert color is None or color != thing.color
        assert thing.pattern_color is None or thing.pattern_color != thing.sticker_color
