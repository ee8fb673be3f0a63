import pytest
import torch

from mti.pocket import language, measure
from mti.pocket.held_out import scene_at, unseen
from mti.pocket.world import KINDS


def test_the_combinations_that_are_asked_for_are_unseen():
    indices, scenes = measure.unseen(60)
    assert len({index // 2 for index in indices}) == 60
    assert all(scene.thing.color and unseen(scene.thing, scene.background) for scene in scenes)
    assert any(scene.thing.sticker for scene in scenes)
    assert any(scene.thing.pattern for scene in scenes)


def test_a_soft_light_is_no_mottling_and_noise_is():
    y, x = torch.meshgrid(torch.linspace(0, 1, 64), torch.linspace(0, 1, 64), indexing="ij")
    light = (0.3 * x + 0.1 * y).expand(4, 3, 64, 64)
    every = torch.ones(4, dtype=torch.bool)
    assert measure.mottling(light, every) == pytest.approx(0, abs=1e-5)
    noise = 0.1 * torch.randn(4, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    assert measure.mottling(light + noise, every) == pytest.approx(0.1, rel=0.1)


def test_detail_is_the_mean_gradient():
    steps = torch.zeros(1, 3, 64, 64)
    steps[..., ::2] = 1
    assert measure.detail(steps) == pytest.approx(1)


def test_the_vocabulary_has_the_words_of_every_caption():
    kept = measure.vocabulary({"kind": 1.0, "sticker": 0.9}, {"kind": ["clip"], "background": ["captioner"]})
    assert kept["judges"] == {"thing": ["clip"], "background": ["captioner"], "place": ["captioner"]}
    assert kept["accuracy"] == {"thing": 1.0, "sticker": 0.9}
    aspects = kept["aspects"]
    assert aspects["thing"]["coffee mug"] == ["coffee mug", "mug"]
    for index in range(100):
        scene = scene_at(1, index)
        text = language.scene_caption(scene)
        assert any(name in text for name in aspects["thing"][KINDS[scene.thing.kind][1][0]])
        assert not scene.thing.color or aspects["colour"][scene.thing.color] == [scene.thing.color]
        assert not scene.thing.sticker or any(name in text for name in aspects["sticker"][scene.thing.sticker])
        assert scene.background not in aspects["place"] or text.endswith(aspects["place"][scene.background][0])
