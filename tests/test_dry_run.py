"""What a list of runs would take: counts against plain arithmetic, a measured time, and nothing left behind."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from huggingface_hub import constants
from sweeping import invert, small

from mti.command_line import without_traces
from mti.completion import complete
from mti.dry_run import Pace, Work, duration, forecast, seconds_of, total, work_of
from mti.outputs import RunFolder
from mti.parts import Parts
from mti.plan import Standing, standing
from mti.run import foretold
from mti.usage import help_text

ROOT = Path(__file__).parent.parent


def counted(step, *overrides, finished=False):
    """Steps, evaluations, personalizations, samples and pictures elsewhere of a run at a checkpoint."""
    config = small(Path("x"), Path("x"), "trainer.max_steps=100", "evaluation.steps=[0,25,50,200]", *overrides)
    found = work_of(config, Standing(finished, step))
    return found.steps, found.evaluations, found.personalizations, found.samples, found.elsewhere


PROMPTS = ("personalization.prompts=['a {}','the {}']", "personalization.pictures=3")


@pytest.mark.parametrize(
    ("step", "overrides", "counts"),
    [
        (0, ["evaluation.pictures=2"], (100, 4, 0, 8, 0)),  # at 0, 25, 50 and the last
        (0, ["evaluation.pictures=0"], (100, 4, 0, 0, 0)),
        (50, ["evaluation.pictures=2"], (50, 1, 0, 2, 0)),  # the evaluation at 50 came before its checkpoint
        (40, ["evaluation.pictures=2"], (60, 2, 0, 4, 0)),
        (0, ["personalization.steps=[10,100]", *PROMPTS], (100, 4, 2, 4, 12)),
        (10, ["personalization.steps=[10,100]", *PROMPTS], (90, 3, 1, 3, 6)),
        (
            0,
            ["evaluation.choice.fidelity={a: 1}", "evaluation.choice.following={b: 1}", *PROMPTS],
            (100, 4, 4, 4, 24),
        ),
    ],
)
def test_what_is_left_to_do_is_counted(step, overrides, counts):
    assert counted(step, *overrides) == counts


def test_of_a_finished_run_nothing_is_left():
    assert counted(100, finished=True) == (0, 0, 0, 0, 0)


def test_the_counts_of_runs_add_up_and_are_told():
    done, begun = Work(finished=1), Work(resumed=1, steps=50, evaluations=1, samples=2)
    whole = total([done, begun, Work(steps=1000, evaluations=4, personalizations=1, samples=8, elsewhere=6)])
    assert str(whole) == (
        "runs: 3, 1 finished, 1 to be resumed\nsteps: 1,050\nevaluations: 5\n"
        "pictures: 16 (10 of evaluation, 6 of personalization prompts)"
    )


def test_times_are_counts_by_measured_seconds():
    work = Work(runs=8, finished=2, resumed=1, steps=600, evaluations=20, personalizations=3, samples=40, elsewhere=10)
    pace = Pace(at_once=6, step=0.5, loss=2.0, picture=0.25, judged={"reconstruction": 1.0, "personalization": 4.0})
    assert seconds_of(work, pace) == {
        "training": 600 / 6 * 0.5,
        "evaluation loss": (20 + 5) * 2.0,
        "drawing": 50 * 0.25,
        "metrics": 20 * 1.0 + 3 * 4.0,
    }


@pytest.mark.parametrize(
    ("seconds", "words"), [(7.4, "7 s"), (130.0, "2 min"), (6600.0, "1 h 50 min"), (3 * 86400.0, "3.0 days")]
)
def test_a_time_is_told_as_coarsely_as_it_is_known(seconds, words):
    assert duration(seconds) == words


def test_runs_are_told_apart_by_how_far_they_are_and_the_rest_is_measured(tiny_sd_folder, tmp_path):
    configs = [
        small(tmp_path / name, tiny_sd_folder, "metrics=none", "personalization.steps=[2]", *PROMPTS)
        for name in ("done", "new", "other")
    ]
    assert invert(configs[:1])
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "config.yaml").write_text((tmp_path / "done" / "config.yaml").read_text())
    configs[2] = replace(configs[2], seed=5)
    before = sorted(tmp_path.rglob("*"))
    lines = list(forecast(configs, Parts()))
    assert lines[0] == (
        "runs: 3, 1 finished, 1 that cannot be begun\nsteps: 4\nevaluations: 3\n"
        "pictures: 9 (3 of evaluation, 6 of personalization prompts)"
    )
    assert lines[1].startswith(f"cannot be begun: {tmp_path}/other holds a run of another configuration (seed: 0 -> 5)")
    assert lines[2].startswith("time: about ")
    assert "device hours (training " in lines[2]
    assert lines[3].startswith("measured: runs: 1, at once: 1; ")
    assert sorted(tmp_path.rglob("*")) == before
    assert list(forecast(configs[:1], Parts()))[1:] == ["time: nothing is left to be trained"]


def test_groups_are_measured_by_themselves(tiny_sd_folder, tmp_path):
    configs = [
        small(tmp_path / str(size), tiny_sd_folder, "metrics=none", f"training.batch_size={size}") for size in (1, 2)
    ]
    lines = list(forecast(configs, Parts()))
    assert [line.partition("; ")[0] for line in lines if line.startswith("measured")] == [
        "measured: training.batch_size=1",
        "measured: training.batch_size=2",
    ]


def test_how_far_a_run_is_stands_in_its_folder(tiny_sd_folder, tmp_path):
    config = small(tmp_path, tiny_sd_folder)
    assert invert([config])
    assert standing(config, RunFolder(tmp_path)) == Standing(True, 4)
    longer = replace(config, trainer=replace(config.trainer, max_steps=9))
    assert standing(longer, RunFolder(tmp_path)) == Standing(False, 4)


def test_what_is_missing_is_named_and_not_measured(tmp_path, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    config = small(tmp_path / "run", Path("nobody/nothing"))
    lines = list(foretold([(config, [])], Parts()))
    assert lines[0].startswith("runs: 1\nsteps: 4\n")
    assert lines[1].startswith("to be downloaded, about 0 GB: the model tiny (of unknown size) from nobody/nothing")
    assert lines[2] == "time: not known before that is there"


def test_the_flag_becomes_a_folder_that_is_thrown_away():
    folder = "hydra.sweep.dir='/nowhere'"
    assert without_traces(["--dry-run", "-m", "seed=0,1"], "/nowhere") == ["-m", "seed=0,1", folder]
    assert without_traces(["seed=0,1", "-m", "--dry-run"], "/nowhere") == ["seed=0,1", "-m", folder]
    assert without_traces(["--dry-run"], "/nowhere") == [folder]
    assert without_traces(["hydra.sweep.dir=/mine", "a=1", "--dry-run"], "/nowhere") == ["a=1", folder]


def test_help_and_completion_know_the_flag():
    assert "--dry-run" in help_text(ROOT / "conf" / "run.yaml", dry_run=True)
    assert "--dry-run" not in help_text(ROOT / "conf" / "run.yaml")
    assert complete("mti run --dr", ["run"]) == ["--dry-run"]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (
            ["--dry-run", "experiment=smoke", "seed=0,1"],
            "runs: 2\nsteps: 6\nevaluations: 4\npictures: 4\n",
        ),  # a sweep without -m
        (["-m", "experiment=tune", "--dry-run", "hydra.sweeper.n_trials=4", "hydra.sweeper.n_jobs=2"], "trials: 4, "),
        (["--dry-run", "seed=1"], "runs: 1\nsteps: 3\n"),
    ],
)
def test_the_command_ends_well_and_leaves_no_file(tiny_sd_folder, tmp_path, arguments, told):
    done = subprocess.run(
        [
            *(sys.executable, "-m", "mti.run", *arguments, f"model.path={tiny_sd_folder}", "model.name=tiny"),
            *("init=text", "init.text=a photo"),
            *("trainer=cpu", "trainer.max_steps=3", "evaluation.samples=2", "metrics=none", "logger=csv"),
            *("evaluation.steps=[0]", "training.runs_at_once=2"),
        ],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert told in done.stdout
    assert "device hours" in done.stdout
    assert not list(tmp_path.iterdir())


def test_a_mistake_is_told_as_without_the_flag(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "mti.run", "--dry-run", "image=nowhere.png"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("mti: ")
    assert "nowhere.png" in done.stderr
    assert done.stdout == ""
