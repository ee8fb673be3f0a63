import torch

from mti.pocket.ranking import Ranked, measure, shifted


def pictures(count):
    return torch.rand(count, 3, 64, 64, generator=torch.Generator().manual_seed(0))


def test_copies_are_moved_by_two_to_four_pixels():
    generator = torch.Generator().manual_seed(0)
    own = pictures(40)
    moves = set()
    for picture, copy in zip(own, shifted(own, generator), strict=True):
        inside = copy[:, 8:-8, 8:-8]
        found = [
            (x, y)
            for x in range(-4, 5)
            for y in range(-4, 5)
            if torch.equal(picture[:, 8 + y : 56 + y, 8 + x : 56 + x], inside)
        ]
        assert len(found) == 1
        moves.add(found[0])
    assert {max(abs(x), abs(y)) for x, y in moves} == {2, 3, 4}
    assert {x > 0 for x, _ in moves} == {y > 0 for _, y in moves} == {True, False}


def test_a_share_counts_the_pictures_in_the_right_order():
    own = torch.zeros(4, 1)
    company = Ranked(own, own + 1, torch.tensor([[2.0], [2], [0.5], [2]]), torch.tensor([[3.0], [1.5], [3], [3]]))
    found = measure(lambda first, second: {"gap": (first - second).abs().flatten()}, company)["gap"]
    assert (found["ranked"], found["itself<shifted"]) == (0.5, 1)
    assert found["shifted<individual"] == found["individual<other"] == 0.75
    assert (found["itself"], found["shifted"]) == (0, 1)
