"""A run that has learned enough leaves its batch, and the same command comes to the same bits."""

import os
from pathlib import Path

import pytest
import torch
from sweeping import composed, invert, small

from mti.checks import checked
from mti.outputs import RunFolder
from mti.parts import Parts
from mti.plan import faults_of, placed
from mti.schema import RunConfig
from mti.termination import TERMINATION, Terminated

FLAT = ("stop=plateau", "stop.every=1", "stop.window=2", "stop.below=0.9")  # stops at the first step it can: 2
LONG = ("trainer.max_steps=6", "evaluation.steps=[0]", "training.checkpoint_every=3")


def two(place, model, *more, rule=FLAT):
    """Two runs, of which the first is stopped after two updates."""
    return [
        small(place / "stopped", model, *LONG, *rule, *more),
        small(place / "whole", model, *LONG, "seed=1", *more),
    ]


@pytest.fixture
def runs(tmp_path, tiny_sd_folder):
    return lambda *more, name="both", **rule: two(tmp_path / name, tiny_sd_folder, *more, **rule)


def folders(configs):
    return [RunFolder(Path(config.folder)) for config in configs]


def state(configs):
    """What killing must not change."""
    return [(one.metrics(), one.read_tokens()[0].tolist(), one.sampled_steps()) for one in folders(configs)]


def test_a_run_that_has_learned_enough_leaves_its_batch(runs, caplog):
    caplog.set_level("INFO")
    assert invert(runs())
    stopped, whole = folders(runs())
    summary = stopped.summary()
    assert (summary["status"], summary["steps"], summary["stopped"]["max_steps"]) == ("finished", 2, 6)
    assert summary["stopped"]["rule"]["window"] == 2
    curves = stopped.metrics()
    assert list(curves["train/mse"]) == [0, 1]
    assert list(curves["eval/mse"]) == [0, 2]
    assert list(curves["stop/mse"]) == [0, 1, 2]
    assert curves["stop/mse"][2] == pytest.approx(curves["eval/mse"][2], rel=1e-5)
    assert torch.equal(stopped.read_tokens()[0], stopped.read_tokens(2)[0])
    assert stopped.sampled_steps() == [0, 2]
    assert "stopped" not in whole.summary()
    assert list(whole.metrics()["train/mse"]) == [0, 1, 2, 3, 4, 5]
    assert "stop/mse" not in whole.metrics()
    assert "stopped by its rule at step 2" in caplog.text


def test_company_that_leaves_changes_no_more_than_rounding(runs):
    assert invert(runs())
    alone = runs(name="alone")[1]
    assert invert([alone])
    ours, theirs = (one.metrics()["train/mse"] for one in folders([runs()[1], alone]))
    assert list(ours.values()) == pytest.approx(list(theirs.values()), rel=1e-4)


def test_its_place_is_taken_by_a_run_that_waits(runs, tiny_sd_folder, tmp_path):
    pairs = "training.runs_at_once=2"
    third = small(tmp_path / "third", tiny_sd_folder, *LONG, "seed=2", pairs)
    assert invert([*runs(pairs), third])
    stopped, whole, after = folders([*runs(), third])
    assert stopped.summary()["steps"] == 2
    assert list(whole.read_batch().members.values()) == [2, 0]
    assert list(after.metrics()["train/mse"]) == [0, 1, 2, 3, 4, 5]
    assert after.sampled_steps() == [0, 6]
    alone = small(tmp_path / "alone", tiny_sd_folder, *LONG, "seed=2")
    assert invert([alone])
    for name, curve in folders([alone])[0].metrics().items():
        assert after.metrics()[name] == pytest.approx(curve, rel=1e-4), name


def test_where_all_have_learned_enough_the_batch_ends_and_the_next_begins(runs):
    pairs = "training.runs_at_once=2"
    configs = [*runs(pairs, *FLAT, name="a"), *runs(pairs, *FLAT, name="b")]
    assert invert(configs)
    assert len({tuple(one.read_batch().members) for one in folders(configs)}) == 2
    assert [one.summary()["steps"] for one in folders(configs)] == [2, 2, 2, 2]


def test_whoever_was_stopped_goes_on_with_another_rule_only(runs, caplog):
    caplog.set_level("INFO")
    assert invert(runs())
    before = (folders(runs())[0].path / "metrics.csv").read_text()
    assert invert(runs("trainer.max_steps=8"))
    stopped, whole = folders(runs())
    assert "stopped by its rule at step 2, skipped" in caplog.text
    assert (stopped.path / "metrics.csv").read_text() == before
    assert whole.summary()["steps"] == 8
    assert invert(runs("trainer.max_steps=8", rule=()))
    assert stopped.summary()["steps"] == 8
    assert "stopped" not in stopped.summary()
    assert list(stopped.metrics()["train/mse"]) == list(range(8))


class Killed(BaseException):
    """Ends a process in the middle of what it does."""


def killed(monkeypatch, configs, moment):
    """Run until a process is killed before the given write of a checkpoint."""
    save, count = RunFolder.save_state, iter(range(100))

    def counted(self, step, tensors):
        if next(count) == moment:
            raise Killed
        save(self, step, tensors)

    with monkeypatch.context() as patched:
        patched.setattr(RunFolder, "save_state", counted)
        with pytest.raises(Killed):
            invert(configs)


@pytest.fixture(scope="module")
def reference(tmp_path_factory, tiny_sd_folder):
    """What the two runs leave behind if nobody kills them."""
    configs = two(tmp_path_factory.mktemp("reference"), tiny_sd_folder)
    assert invert(configs)
    return state(configs)


@pytest.mark.parametrize("moment", [1, 2, 3])
def test_killed_and_resumed_is_as_if_nothing_had_happened(runs, monkeypatch, reference, moment):
    """Between the two writes at the step of the stop, and before those of the run that goes on, at 3 and 6."""
    configs = runs()
    killed(monkeypatch, configs, moment)
    assert invert(configs)
    assert state(configs) == reference


def test_told_to_stop_while_pictures_of_the_stopped_are_drawn(runs, monkeypatch, reference):
    """They are drawn when it goes on, and kept though it is killed again later."""
    configs = runs()

    def told(self, step, *arguments):
        if step == 2:
            monkeypatch.setattr(TERMINATION, "requested", 15)
        return keep(self, step, *arguments)

    keep = RunFolder.save_pictures
    with monkeypatch.context() as patched:
        patched.setattr(RunFolder, "save_pictures", told)
        with pytest.raises(Terminated), TERMINATION.handled():
            invert(configs)
    monkeypatch.setattr(TERMINATION, "requested", None)
    killed(monkeypatch, configs, 1)
    assert invert(configs)
    assert state(configs) == reference


@pytest.mark.parametrize(
    ("override", "line"),
    [
        ("stop.every=0", "stop.every=0: expected a whole number of at least 1"),
        ("stop.below=often", "stop.below=often: expected a number"),
        ("stop.window=5", "stop.window=5: expected at least 10"),
    ],
)
def test_a_bad_value_is_one_line(tmp_path, tiny_sd_folder, override, line):
    config, faults = checked(composed("stop=variance", override, "image=teapot"), RunConfig)
    faults = faults or faults_of([placed(config)], Parts())
    assert len([one for one in faults if "stop" in one]) == 1
    assert [one for one in faults if one.startswith(line)], faults


def test_a_rule_is_no_part_of_a_folders_name(tmp_path):
    with_rule, faults = checked(composed("stop=variance", "stop.window=20", "image=teapot"), RunConfig)
    assert not faults
    assert os.path.basename(placed(with_rule).folder) == "s0"
