import pytest
from omegaconf import OmegaConf

from mti.perception.clicks import Clicks, clicks
from mti.types import UserError


def test_nothing_pointed_at_is_no_clicks():
    assert clicks(None, None, None) is None


@pytest.mark.parametrize("as_hydra_gives_it", [False, True])
def test_a_point_several_points_and_a_box(as_hydra_gives_it):
    given = [[3, 4], [[5, 6.5], [7, 8]], [1, 2, 9, 10]]
    if as_hydra_gives_it:
        given = [OmegaConf.create(value) for value in given]
    found = clicks(*given)
    assert found == Clicks(((3, 4),), ((5, 6.5), (7, 8)), (1, 2, 9, 10))
    assert str(found) == "init.click=[[3,4]] init.outside=[[5,6.5],[7,8]] init.box=[1,2,9,10]"


@pytest.mark.parametrize(
    "value", ["30,30", 30, [], [30], [1, 2, 3], [[1, 2], [3]], [[1, 2], 3], ["a", 2], [True, 1], [float("nan"), 1]]
)
@pytest.mark.parametrize("name", ["click", "outside"])
def test_what_is_no_point_is_refused(name, value):
    given = {"click": None, "outside": None, "box": [0, 0, 5, 5], name: value}
    with pytest.raises(UserError, match=rf"^init\.{name}=.*expected a point \[x,y\] in pixels, or several"):
        clicks(**given)


@pytest.mark.parametrize("value", [[1, 2], [5, 1, 4, 9], [1, 5, 9, 5], "1,2,3,4", [1, 2, 3, None]])
def test_what_is_no_box_is_refused(value):
    with pytest.raises(UserError, match=r"^init\.box=.*expected \[x0,y0,x1,y1\]"):
        clicks(None, None, value)


def test_points_outside_alone_mean_nothing():
    with pytest.raises(UserError, match=r"^init\.outside=\[\[1,2\]\] says only what is not meant: give init\.click"):
        clicks(None, [1, 2], None)


@pytest.mark.parametrize("point", [(0, 0), (19, 9), (19.5, 9.5)])
def test_corners_are_in_the_picture(point):
    assert Clicks((point,)).check(20, 10) is None


@pytest.mark.parametrize("point", [(20, 0), (0, 10), (-1, 5), (5, -0.5)])
def test_a_point_out_of_the_picture_is_told_its_size(point):
    with pytest.raises(UserError, match=r"init.click=.* 20 pixels wide and 10 high: give x from 0 to 19 and y .* 9$"):
        Clicks((point,)).check(20, 10)
    with pytest.raises(UserError, match=r"init.outside="):
        Clicks(((1, 1),), (point,)).check(20, 10)


def test_a_box_may_be_the_whole_picture_but_not_more():
    assert Clicks(box=(0, 0, 20, 10)).check(20, 10) is None
    with pytest.raises(UserError, match=r"init.box=\[0,0,21,10\] reaches out of the picture"):
        Clicks(box=(0, 0, 21, 10)).check(20, 10)
