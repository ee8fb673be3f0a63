from run_folders import finish

from mti.reporting.collection import collect
from mti.reporting.provenance import commands, dates, provenance, warnings


def came(**environment):
    known = {"commit": "abc", "dirty": False, "torch": "2.9", "device": "cpu", "started": "2026-11-25"}
    return {"command": "mti run", "environment": known | environment}


def runs(root):
    return list(collect(root).chosen)


def test_runs_that_came_to_be_alike_are_not_warned_of(tmp_path):
    finish(tmp_path, "cup", "star", came=came(started="2026-11-24"))
    finish(tmp_path, "mug", "star", came=came())
    found = runs(tmp_path)
    assert warnings(found) == []
    assert provenance(found)["commit"] == {"abc": 2}
    assert provenance(found)["dirty"] == {"false": 2}
    assert commands(found) == {"mti run": 2}
    assert dates(found) == ["2026-11-24", "2026-11-25"]


def test_every_difference_is_a_warning(tmp_path):
    finish(tmp_path, "cup", "star", came=came())
    finish(
        tmp_path, "mug", "star", came=came(commit="def", device="cuda", dirty=True), metrics={"lpips": {"version": 1}}
    )
    assert warnings(runs(tmp_path)) == [
        "the runs differ in commit: abc (1 run), def (1 run)",
        "the runs differ in dirty: false (1 run), true (1 run)",
        "made from a working tree with changes of its own: 1 run",
        "the runs differ in device: cpu (1 run), cuda (1 run)",
        "the runs differ in evaluation.pictures: 1 (1 run), not recorded (1 run)",
        'the runs differ in evaluation.prompts: ["a {}"] (1 run), not recorded (1 run)',
        "the runs differ in evaluation.metrics.lpips.version: not recorded (1 run), 1 (1 run)",
    ]


def test_protocol_and_model_are_compared(tmp_path):
    finish(tmp_path, "cup", "star", metrics={"lpips": {"version": 1}})
    finish(tmp_path, "mug", "star", metrics={"lpips": {"version": 2}})
    assert warnings(runs(tmp_path)) == ["the runs differ in evaluation.metrics.lpips.version: 1 (1 run), 2 (1 run)"]


def test_what_a_metric_is_about_makes_no_difference(tmp_path):
    for image, more in (("cup", {}), ("mug", {"about": "fidelity"})):
        finish(tmp_path, image, "star", metrics={"lpips": {"values": {"lpips": {"label": "LPIPS", **more}}}})
    assert warnings(runs(tmp_path)) == []


def test_runs_that_do_not_say_how_they_came_to_be_are_counted(tmp_path):
    finish(tmp_path, "cup", "star")
    assert warnings(runs(tmp_path)) == []
    finish(tmp_path, "mug", "star", came={"environment": {"torch": "2.9"}})
    assert warnings(runs(tmp_path))[-1] == "1 of 2 runs do not say how they came to be (no record.json)"


def test_records_of_other_shapes_are_no_records(tmp_path):
    finish(tmp_path, "cup", "star", came={"environment": ["torch"], "command": {"a": 1}, "concept": "x", "choices": 3})
    assert commands(runs(tmp_path)) == {}
    assert dates(runs(tmp_path)) == []


def test_runs_that_rules_stopped_are_told_by_series(tmp_path):
    for image, steps in (("cup", 40), ("mug", 61)):
        folder = finish(tmp_path, image, "star", came=came())
        folder.write_summary({"status": "finished", "steps": steps, "stopped": {"rule": {"window": 2}}})
    assert warnings(runs(tmp_path)) == [
        "stopped by a rule: star: 2 runs, after 50 updates on average (40 to 61); then they keep their last values"
    ]
