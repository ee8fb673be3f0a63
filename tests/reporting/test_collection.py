import numpy as np
import pytest
from run_folders import begin, curve, finish, sweep

from mti.reporting.collection import collect
from mti.types import UserError


def test_values_are_read_cell_by_cell(tmp_path):
    sweep(tmp_path)
    found = collect(tmp_path)
    assert found.problems() == []
    assert found.compared == ["star", "multistar", "class", "caption"]
    assert found.cells == [("cup", 0), ("cup", 1), ("teapot", 0), ("teapot", 1)]
    assert found.metrics == ["eval/mse", "eval/lpips_pocket", "train/mse"]
    measured = found.measured("eval/mse")
    assert measured.steps.tolist() == [0, 25, 50, 100]
    expected = [[curve("class", i, step) for step in measured.steps] for i in (0, 0, 1, 1)]
    np.testing.assert_allclose(measured.values["class"], expected)
    assert list(found.measured("eval/mse", ["star", "caption"]).values) == ["star", "caption"]
    assert found.measured("eval/unknown") is None


def test_what_has_not_finished_is_named_and_its_cell_left_out_for_all(tmp_path):
    sweep(tmp_path, images=("cup", "teapot", "bird"), inits=("star", "caption"))
    failed = begin(tmp_path, "maraca", "star")
    failed.write_summary({"status": "failed", "reason": "non-finite loss at step 3"})
    partial = begin(tmp_path, "maraca", "caption")
    partial.record(17, {"train/mse": 0.5})
    partial.flush()
    (tmp_path / "cup" / "caption" / "s1" / "config.yaml").unlink()
    found = collect(tmp_path)
    assert found.problems() == [
        "maraca, caption, seed 0: unfinished, at step 17 of 100",
        "maraca, star, seed 0: failed: non-finite loss at step 3",
        "cup, caption, seed 1: missing",
        "maraca, star, seed 1: missing",
        "maraca, caption, seed 1: missing",
        "left out of all averages, since not every series has finished there: cup (seed 1), maraca (seed 0)",
    ]
    assert set(found.measured("eval/mse").cells) == {
        *(("bird", 0), ("bird", 1), ("cup", 0), ("teapot", 0), ("teapot", 1)),
    }


def test_an_initializer_without_a_finished_run_is_named_and_not_compared(tmp_path):
    sweep(tmp_path, inits=("star", "caption"), seeds=(0,))
    begin(tmp_path, "cup", "class")
    found = collect(tmp_path)
    assert found.compared == ["star", "caption"]
    assert "not compared, since no run has finished: class" in found.problems()


def test_what_star_is_for_initializers_the_first_series_is_for_settings(tmp_path):
    for rate in ("0.01", "0.001", "0.1"):
        for init in ("star", "caption"):
            finish(tmp_path, "cup", init, name=f"+{rate}", training={"learning_rate": float(rate)})
    found = collect(tmp_path)
    rates = [f"training.learning_rate={rate}" for rate in ("0.001", "0.01", "0.1")]
    assert found.compared == [f"{init} {rate}" for init in ("star", "caption") for rate in rates]
    first = f"star {rates[0]}"
    assert found.baselines == {
        **{f"star {rate}": first for rate in rates[1:]},
        **{f"caption {rate}": f"star {rate}" for rate in rates},
    }


def test_few_series_are_compared_each_with_each_and_many_with_their_baseline(tmp_path):
    for rate in range(1, 8):
        finish(tmp_path, "cup", "caption", name=f"+{rate}", training={"learning_rate": rate})
        if rate == 3:
            assert len(collect(tmp_path).pairs) == 3
    assert len(collect(tmp_path).pairs) == 6


def test_calibration_is_averaged_over_the_compared_runs(tmp_path):
    for image, level in {"cup": 1.0, "teapot": 2.0}.items():
        folder = finish(tmp_path, image, "star")
        folder.write_calibration({"mse": {"empty_prompt": level}, "floor": {"lpips": 0.25, "lpips_std": 0.1}})
    assert collect(tmp_path).calibration == {
        "mse": {"empty_prompt": {"star": 1.5}},
        "floor": {"lpips": {"star": 0.25}},
    }


def test_an_empty_folder_is_told_in_a_line(tmp_path):
    with pytest.raises(UserError, match=r"holds no runs: give an experiment's folder, such as outputs/paper$"):
        collect(tmp_path)


@pytest.mark.parametrize("what", ["missing", "file"])
def test_what_is_no_folder_is_told_in_a_line(tmp_path, what):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=rf"^[^\n]*{what}: (No such file|Not a directory)[^\n]*outputs/paper$"):
        collect(tmp_path / what)


def test_several_experiments_are_compared_series_by_series(tmp_path):
    finish(tmp_path / "a", "cup", "star")
    finish(tmp_path / "b", "cup", "star", experiment={"name": "other"})
    assert collect(tmp_path).compared == ["other", "paper"]
    finish(tmp_path / "a", "cup", "caption")
    finish(tmp_path / "b", "cup", "caption", experiment={"name": "other"})
    found = collect(tmp_path / "a", tmp_path / "b")
    assert found.compared == ["other: star", "other: caption", "paper: star", "paper: caption"]
    assert found.baselines["paper: caption"] == "paper: star"
    assert found.baselines["paper: star"] == "other: star"


def test_experiments_of_one_name_are_told_apart_by_their_folders(tmp_path):
    finish(tmp_path / "old" / "paper", "cup", "star")
    finish(tmp_path / "new" / "paper", "cup", "star")
    compared = collect(tmp_path / "old" / "paper", tmp_path / "new" / "paper").compared
    assert compared == ["paper (new/paper)", "paper (old/paper)"]


def test_two_runs_for_one_place_are_both_named(tmp_path):
    finish(tmp_path / "a", "cup", "star")
    finish(tmp_path / "b", "cup", "star")
    with pytest.raises(UserError, match=r"a/cup/star/s0 and .*b/cup/star/s0 are both cup, star, seed 0"):
        collect(tmp_path)


def test_without_a_finished_run_all_states_are_told(tmp_path):
    begin(tmp_path, "cup", "star")
    with pytest.raises(UserError, match=r"holds no finished run(.|\n)*cup, star, seed 0: unfinished, at step 0 of 100"):
        collect(tmp_path)


def test_without_a_common_picture_there_is_nothing_to_compare(tmp_path):
    finish(tmp_path, "cup", "star")
    finish(tmp_path, "teapot", "caption")
    with pytest.raises(UserError, match="no picture and seed has finished runs of all of star, caption"):
        collect(tmp_path)


def stop(folder, step, settled):
    """Let a run that has finished be one that its rule stopped."""
    curves = folder.metrics()
    folder.resume(0)
    for name, values in curves.items():
        for at, value in values.items():
            if at < step + name.startswith("eval/"):
                folder.record(at, {"stop/mse" if name == "eval/mse" else name: value})
    folder.record(step, {"eval/mse": settled})
    folder.flush()
    folder.write_summary({"status": "finished", "steps": step, "stopped": {"rule": {"window": 2}}})


def test_a_run_that_its_rule_stopped_keeps_its_last_value(tmp_path):
    """And what was measured for the rule is part of its curve."""
    stop(finish(tmp_path, "cup", "caption"), 50, 0.6)
    finish(tmp_path, "cup", "star")
    collection = collect(tmp_path)
    found = collection.measured("eval/mse")
    assert found.steps.tolist() == [0, 25, 50, 100]
    assert found.values["caption"].tolist() == [[curve("caption", 0, 0), curve("caption", 0, 25), 0.6, 0.6]]
    assert found.values["star"].tolist() == [[curve("star", 0, step) for step in (0, 25, 50, 100)]]
    assert collection.measured("train/mse").steps.tolist() == list(range(50))
    assert "stop/mse" not in collection.metrics


def test_where_all_were_stopped_the_last_of_them_is_the_end(tmp_path):
    for image, step in (("cup", 25), ("mug", 50)):
        stop(finish(tmp_path, image, "star"), step, 0.5)
    found = collect(tmp_path).measured("eval/mse")
    assert found.steps.tolist() == [0, 25, 50]
    assert found.values["star"].tolist() == [[1.0, 0.5, 0.5], [1.0, curve("star", 0, 25), 0.5]]
