import pytest
from omegaconf import OmegaConf

from mti.concepts.clicks import Clicks, recorded_click, resolve_clicks
from mti.types import Concept, UserError

NOWHERE = Concept("mug", ())
AT = Concept("mug", (), click=(7, 8))


def clicks(click, outside, box, concept=NOWHERE):
    return resolve_clicks(click, outside, box, concept)


def test_nothing_pointed_at_is_no_clicks():
    assert clicks(None, None, None) is None


@pytest.mark.parametrize("as_hydra_gives_it", [False, True])
def test_a_point_several_points_and_a_box(as_hydra_gives_it):
    given = [[3, 4], [[5, 6.5], [7, 8]], [1, 2, 9, 10]]
    if as_hydra_gives_it:
        given = [OmegaConf.create(value) for value in given]
    found = clicks(*given)
    assert found == Clicks(((3, 4),), ((5, 6.5), (7, 8)), (1, 2, 9, 10))
    assert str(found) == "click=[3,4] outside=[[5,6.5],[7,8]] box=[1,2,9,10]"


@pytest.mark.parametrize(
    "value", ["30,30", 30, [], [30], [1, 2, 3], [[1, 2], [3]], [[1, 2], 3], ["a", 2], [True, 1], [float("nan"), 1]]
)
@pytest.mark.parametrize("name", ["click", "outside"])
def test_what_is_no_point_is_refused(name, value):
    given = {"click": None, "outside": None, "box": [0, 0, 5, 5], name: value}
    with pytest.raises(UserError, match=rf"^{name}=.*expected a point \[x,y\] in pixels, or several"):
        clicks(**given)


@pytest.mark.parametrize("value", [[1, 2], [5, 1, 4, 9], [1, 5, 9, 5], "1,2,3,4", [1, 2, 3, None]])
def test_what_is_no_box_is_refused(value):
    with pytest.raises(UserError, match=r"^box=.*expected \[x0,y0,x1,y1\]"):
        clicks(None, None, value)


def test_points_outside_alone_mean_nothing():
    with pytest.raises(UserError, match=r"^outside=\[1,2\] says only what is not meant: give click"):
        clicks(None, [1, 2], None)


@pytest.mark.parametrize("point", [(0, 0), (19, 9), (19.5, 9.5)])
def test_corners_are_in_the_picture(point):
    assert Clicks((point,)).check(20, 10) is None


@pytest.mark.parametrize("point", [(20, 0), (0, 10), (-1, 5), (5, -0.5)])
def test_a_point_out_of_the_picture_is_told_its_size(point):
    with pytest.raises(UserError, match=r"click=.* 20 pixels wide and 10 high: give x from 0 to 19 and y .* 9$"):
        Clicks((point,)).check(20, 10)
    with pytest.raises(UserError, match=r"outside="):
        Clicks(((1, 1),), (point,)).check(20, 10)


def test_a_box_may_be_the_whole_picture_but_not_more():
    assert Clicks(box=(0, 0, 20, 10)).check(20, 10) is None
    with pytest.raises(UserError, match=r"box=\[0,0,21,10\] reaches out of the picture"):
        Clicks(box=(0, 0, 21, 10)).check(20, 10)


def test_the_recorded_click_is_the_concepts():
    assert clicks("recorded", None, None) is None
    assert clicks("recorded", None, None, AT) == Clicks(((7, 8),))
    assert clicks("recorded", [1, 2], None, AT) == Clicks(((7, 8),), ((1, 2),))
    assert clicks("recorded", None, [0, 0, 5, 5], AT) == Clicks(box=(0, 0, 5, 5))  # the user means something else
    assert clicks(None, None, None, AT) is None
    assert clicks([1, 2], None, None, AT) == Clicks(((1, 2),))


def test_recorded_is_a_click_and_nothing_else():
    with pytest.raises(UserError, match=r"^outside=recorded: expected a point"):
        clicks([1, 2], "recorded", None)
    with pytest.raises(UserError, match=r"^click=recorder: expected a point .* or recorded$"):
        clicks("recorder", None, None)


@pytest.mark.parametrize(
    ("value", "point"),
    [([3, 4], (3, 4)), (["3", "4.5"], (3, 4.5)), ((0, 0), (0, 0)), ([3.0, 1e2], (3, 100))],
)
def test_a_record_has_a_point_in_numbers_or_digits(value, point):
    assert recorded_click(value) == point


@pytest.mark.parametrize("value", [None, 3, "3,4", [3], [1, 2, 3], ["a", 1], [-1, 2], ["nan", 1], [[1], 2], ["inf", 0]])
def test_a_record_with_anything_else_has_no_point(value):
    assert recorded_click(value) is None


def test_the_extent_is_the_box_or_holds_every_click():
    assert Clicks(((3, 4),)).extent() == (3, 4, 4, 5)
    assert Clicks(((3, 4), (9.5, 1)), ((50, 50),)).extent() == (3, 1, 10, 5)
    assert Clicks(((3, 4),), (), (1.5, 2, 7.2, 9)).extent() == (1, 2, 8, 9)


def test_clicks_move_and_scale_with_their_part_of_the_picture():
    clicks = Clicks(((14, 8),), ((12, 2), (9, 2), (30, 5)), (10, 2, 18, 10))
    assert clicks.within((10, 0, 30, 20)) == Clicks(((4, 8),), ((2, 2),), (0, 2, 8, 10))
    assert clicks.within((10, 0, 30, 20), 0.5) == Clicks(((2, 4),), ((1, 1),), (0, 1, 4, 5))
