import torch

from mti.pocket import dino
from mti.pocket.drawings import Drawings


def test_alike_views_cost_less_than_strange_ones():
    views = torch.nn.functional.normalize(torch.randn(16, 8, generator=torch.Generator().manual_seed(0)), dim=-1)
    near, far = dino.contrast(views, views), dino.contrast(views, views.flip(0))
    assert near["loss"] < far["loss"]
    assert (near["found"], far["found"]) == (1, 0)


def test_the_same_individual_is_compared_with_others_of_its_kind(drawn):
    torch.manual_seed(0)
    found = dino.measure(dino.build().eval(), Drawings("test", drawn))
    assert found["held_out_individuals"] == 20
    assert 0 <= found["nearer_than_other_of_kind"] <= 1
