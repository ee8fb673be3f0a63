import json

import pytest
from run_folders import finish, sweep

from mti.report import report
from mti.reporting.collection import collect
from mti.reporting.pace import Pace, pace_of, paces, seconds_to
from mti.reporting.tables import tables


def with_pace(folder, **pace):
    """Let a finished run's summary tell its pace."""
    folder.write_summary({**folder.summary(), "pace": pace})


def runs(root):
    return list(collect(root).chosen)


@pytest.fixture
def told(tmp_path):
    """star and caption of three pictures, of which the first is perceived slowly; multistar does not tell."""
    sweep(tmp_path, images=("cup", "mug", "pot"), inits=("star", "multistar", "caption"), seeds=(0,))
    for folder in collect(tmp_path).runs:
        if folder.init != "multistar":
            slow = 3 if folder.concept == "cup" else 0
            with_pace(folder.folder, perception=1.0 + slow, update=0.5, runs_at_once=9)
    return report(tmp_path, tmp_path / "report")


def test_seconds_are_perception_and_the_updates_until_the_step(tmp_path):
    with_pace(finish(tmp_path, "cup", "star"), perception=2.0, update=0.25, runs_at_once=4)
    (run,) = runs(tmp_path)
    assert pace_of(run) == Pace(2.0, 0.25, 4, 0.0, 0)
    assert pace_of(run).seconds(0) == 2
    assert pace_of(run).seconds(10) == 4.5
    assert seconds_to(float("inf"), [run]) != seconds_to(float("inf"), [run])  # NaN: never


def test_a_race_takes_the_place_of_its_updates(tmp_path):
    race = {"seconds": 20.0, "updates": 50}
    with_pace(finish(tmp_path, "cup", "star"), perception=2.0, update=0.25, runs_at_once=4, race=race)
    (run,) = runs(tmp_path)
    assert [pace_of(run).seconds(step) for step in (0, 30, 50, 54)] == [22, 22, 22, 23]


def test_runs_that_do_not_tell_are_left_out_of_the_means(tmp_path):
    with_pace(finish(tmp_path, "cup", "star"), perception=2.0, update=0.5, runs_at_once=4)
    with_pace(finish(tmp_path, "mug", "star"), perception=4.0, update=None, runs_at_once=2)
    finish(tmp_path, "pot", "star")
    assert seconds_to(10, runs(tmp_path)) == 7
    assert paces(runs(tmp_path)) == {"perception": 3, "race": 0, "update": 0.5, "runs_at_once": [2, 4]}


@pytest.mark.parametrize(
    "pace",
    [
        {"perception": "1", "update": 1.0},
        {"perception": True, "update": 1.0},
        {"perception": 1.0, "update": -1},
        {"perception": 1.0, "update": float("nan")},
        {"perception": 1.0, "update": 1.0, "race": [3]},
        {"perception": 1.0, "update": 1.0, "race": {"seconds": 3}},
    ],
)
def test_what_is_no_pace_is_not_known(tmp_path, pace):
    with_pace(finish(tmp_path, "cup", "star"), **pace)
    assert pace_of(runs(tmp_path)[0]).seconds(10) is None


def test_levels_are_reached_in_steps_and_seconds(told):
    """caption's loss falls by 0.5 from 0.9 and multistar's by 0.4 from 1, in 100 steps; star ends at 0.8."""
    assert told["steps_to_baseline"]["caption"]["mean"] == pytest.approx(20)
    assert told["steps_to_baseline"]["caption"]["seconds"] == pytest.approx(2 + 20 * 0.5)
    assert told["steps_to_baseline"]["multistar"] == {
        **{"baseline": "star", "mean": 50, "low": 50, "high": 50, "seconds": None}
    }
    assert told["steps_to_multistar"].keys() == {"star", "caption"}
    caption = told["steps_to_multistar"]["caption"]
    assert (caption["baseline"], caption["mean"]) == ("multistar", pytest.approx(60))
    assert caption["seconds"] == pytest.approx(2 + 60 * 0.5)
    star = told["steps_to_multistar"]["star"]
    assert (star["mean"], star["seconds"]) == (None, None)
    assert told["pace"]["caption"] == {"perception": 2, "race": 0, "update": 0.5, "runs_at_once": [9]}
    assert told["pace"]["multistar"] == {"perception": None, "race": None, "update": None, "runs_at_once": []}


def test_the_table_has_both_levels_and_says_what_its_seconds_are(told):
    (table,) = [one for one in tables(told) if one.name == "steps_to_baseline"]
    assert table.head[:5] == ["series", "to the loss of", "step", "of the run", "seconds"]
    assert [(row[0], row[1], row[4]) for row in table.rows] == [
        ("multistar", "star", None),
        ("caption", "star", pytest.approx(12)),
        ("star", "multistar", None),
        ("caption", "multistar", pytest.approx(32)),
    ]
    assert "its share of a batch of 9 runs; no evaluation, no reading of weights." in table.caption


def test_a_level_that_is_both_has_one_row_each_and_old_runs_no_seconds(tmp_path):
    sweep(tmp_path, inits=("multistar", "caption"), seeds=(0,))
    found = report(tmp_path, tmp_path / "report")
    assert found["baselines"] == {"caption": "multistar"}
    (table,) = [one for one in tables(found) if one.name == "steps_to_baseline"]
    assert [row[:2] for row in table.rows] == [["caption", "multistar"]]
    assert "not recorded" in table.caption
    assert json.loads((tmp_path / "report" / "summary.json").read_text()) == found


def test_multistar_is_a_level_for_its_own_settings_only(tmp_path):
    for rate in (0.01, 0.1):
        for init in ("star", "multistar", "caption") if rate == 0.01 else ("star", "caption"):
            finish(tmp_path, "cup", init, name=f"+{rate}", training={"learning_rate": rate})
    own = "training.learning_rate=0.01"
    assert collect(tmp_path).multistars == {f"{init} {own}": f"multistar {own}" for init in ("star", "caption")}
