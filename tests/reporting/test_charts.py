import json

import pytest
from run_folders import STEPS, curve, sweep

from mti.reporting import style
from mti.reporting.charts import DASH, Charts
from mti.reporting.collection import collect


@pytest.fixture(scope="module")
def charts(tmp_path_factory):
    root = tmp_path_factory.mktemp("paper")
    sweep(root, images=("cup", "mug", "pot"))
    return Charts(collect(root)).of()


def traces(chart, name):
    return [one for one in chart.data if one["name"] == name]


def test_every_metric_has_its_panels(charts):
    assert {name: len(panels) for name, panels in charts.items()} == {
        **{"eval/mse": 4, "per_picture": 3, "steps_to_baseline": 1, "eval/lpips_pocket": 2}
    }
    json.dumps([chart._asdict() for panels in charts.values() for chart in panels], allow_nan=False)


def test_a_curve_tells_mean_and_interval_under_the_pointer(charts):
    band, caption = traces(charts["eval/mse"][1], "caption")
    assert caption["x"] == list(STEPS)
    assert caption["y"] == pytest.approx([curve("caption", 1, step) for step in STEPS])  # the middle picture's level
    low, high = caption["customdata"][0]
    assert low < caption["y"][0] < high
    assert (band["hoverinfo"], band["fill"]) == ("skip", "toself")
    assert "%{customdata[0]:.4g}" in caption["hovertemplate"]


def test_every_series_can_be_switched_and_has_its_own_dash_and_marker(charts):
    evaluation = charts["eval/mse"][1]
    own = [traces(evaluation, name)[-1] for name in ("star", "multistar", "class", "caption")]
    assert [one["meta"]["series"] for one in own] == [0, 1, 2, 3]
    assert len({one["line"]["dash"] for one in own}) == len({one["marker"]["symbol"] for one in own}) == 4
    assert all("meta" not in one for one in charts["eval/mse"][-1].data)  # the paper's


def test_levels_far_from_the_curves_are_there_when_asked_for(charts):
    (empty,) = traces(charts["eval/mse"][1], "empty prompt")
    assert (empty["visible"], empty["y"]) == (True, [1.5, 1.5])
    (floor,) = traces(charts["eval/lpips_pocket"][0], "autoencoder")
    assert floor["visible"] == "legendonly"


def test_names_are_no_markup(tmp_path):
    sweep(tmp_path, images=("cup",), inits=("star",), seeds=(0,), settings={"init": {"name": "<b>x</b>&"}})
    data = Charts(collect(tmp_path)).of()["eval/mse"][1].data
    assert data[0]["name"] == "&lt;b&gt;x&lt;/b&gt;&amp;"


def test_every_dash_of_print_has_one_on_the_page():
    assert list(DASH) == list(style.DASHES)
