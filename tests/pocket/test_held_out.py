from mti.pocket.held_out import CONCEPTS, individuals, looks, scene_at, unseen
from mti.pocket.world import BACKGROUNDS, COLORS, KINDS, Individual

PAPERS_TWELVE = [
    *("coffee_mug", "cup", "sunglasses", "backpack", "sneaker", "teddy_bear"),
    *("bird", "go_kart", "maraca", "analog_clock", "teapot", "ocarina"),
]


def test_the_concepts_are_of_the_papers_kinds():
    assert list(CONCEPTS) == PAPERS_TWELVE
    assert all(scene.thing.kind == name for name, scene in CONCEPTS.items())


def test_no_training_individual_looks_like_one_that_is_held_out():
    assert all(scene.thing.look in looks() for scene in CONCEPTS.values())
    assert not any(scene_at(1, index).thing.look in looks() for index in range(0, 3000, 2))


def test_training_and_test_share_no_combination():
    training = [scene_at(1, index) for index in range(3000)]
    test = [scene_at(2, index, held_out=True) for index in range(3000)]
    assert not any(unseen(scene.thing, scene.background) for scene in training)
    assert all(unseen(scene.thing, scene.background) for scene in test)
    share = sum(
        hidden(kind, color, background)
        for kind in KINDS
        for color in COLORS
        for background in BACKGROUNDS
    ) / (len(KINDS) * len(COLORS) * len(BACKGROUNDS))  # fmt: skip
    assert 0.08 < share < 0.13


def hidden(kind, color, background):
    return unseen(Individual(kind, color), background)


def test_more_than_thirty_others_have_several_scenes_and_details_without_a_name():
    others = {name: scenes for name, scenes in individuals().items() if name not in CONCEPTS}
    assert len(others) >= 30
    for scenes in individuals().values():
        assert len({scene.thing for scene in scenes}) == 1
        assert len({scene.background for scene in scenes}) == len(scenes) >= 4
        assert len(scenes[0].thing.decorations) >= 2
    assert all(scenes[0].thing.pattern or scenes[0].thing.sticker for scenes in others.values())


def test_a_concepts_other_scenes_show_the_concept():
    for name, scene in CONCEPTS.items():
        assert {other.thing for other in individuals()[name]} == {scene.thing}
