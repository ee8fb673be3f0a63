import torch

from mti.pocket import judges
from mti.pocket.judges import ASPECTS, asked, shares, together, trusted
from mti.pocket.world import Individual, Scene

PLAIN = Scene(Individual("apple", "red"), "blue")
STUCK = Scene(Individual("apple", "red", sticker="leaf", sticker_color="gold", number=2), "blue")


def test_only_what_is_there_is_asked_for():
    there = asked([PLAIN, STUCK])
    assert [aspect for aspect in ASPECTS if there[aspect][0]] == ["kind", "color", "background"]
    assert there["sticker"].tolist() == there["number"].tolist() == [False, True]
    assert there["pattern"].tolist() == [False, False]


def test_shares_count_the_pictures_that_have_the_aspect():
    yes, no = torch.tensor([True, True]), torch.tensor([True, False])
    seen = dict.fromkeys(ASPECTS, yes) | {"kind": no}
    found = shares({"captioner": seen, "classifier": {"kind": no}}, asked([PLAIN, STUCK]))
    assert found["captioner"]["kind"] == found["classifier"]["kind"] == 0.5
    assert found["captioner"]["sticker"] == 1
    assert "pattern" not in found["captioner"]
    assert found["captioner"]["all"] == 0.5


class Told(judges.Judges):
    """Judges whose models say what they are told to."""

    def __init__(self, kinds, captions):
        self.found = kinds, captions

    def kinds(self, pictures):
        return self.found[0]

    def captions(self, pictures):
        return self.found[1]

    def vectors(self, pictures):
        return torch.tensor([[1.0, 0.0]]).expand(len(pictures), 2)


def test_each_judge_says_what_it_sees():
    told = Told(["apple", "banana"], ["a red apple on a blue background", "a red apple on a green background"])
    first, second = torch.tensor([[1.0, 0.0], [0.0, 1.0]]), torch.tensor([[0.0, 1.0], [1.0, 0.0]])
    texts = {aspect: torch.stack([first, first]) for aspect in ASPECTS} | {"color": torch.stack([first, second])}
    seen = told.see(torch.zeros(2, 3, 64, 64), [PLAIN, PLAIN], texts)
    assert seen["clip"]["color"].tolist() == [True, False]
    assert seen["classifier"]["kind"].tolist() == [True, False]
    assert seen["captioner"]["background"].tolist() == [True, False]


def test_a_judge_is_asked_for_what_it_can_tell():
    good, poor = dict.fromkeys(ASPECTS, 0.9), dict.fromkeys(ASPECTS, 0.5)
    able = trusted(
        {"captioner": {**good, "sticker": 0.7}, "clip": {**poor, "color": 0.85}, "classifier": {"kind": 1.0}}
    )
    assert able["kind"] == ["captioner", "classifier"]
    assert able["color"] == ["captioner", "clip"]
    assert able["pattern"] == able["sticker"] == ["captioner"]


def test_of_two_judges_both_must_see_it_and_of_three_two():
    yes, no, mixed = torch.tensor([True, True]), torch.tensor([False, False]), torch.tensor([True, False])
    seen = {"a": {"kind": yes, "color": yes}, "b": {"kind": mixed, "color": mixed}, "c": {"kind": no}}
    found = together(seen, {"kind": ["a", "b", "c"], "color": ["a", "b"]})
    assert found["kind"].tolist() == found["color"].tolist() == [True, False]
