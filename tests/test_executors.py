"""Shares of a multirun in other processes: the same curves, and what befalls a process befalls no other share."""

import logging
import subprocess

import pytest
from mti.spread import Here, Joblib, Ray, Submitit, shares
from mti.training import invert
from sweeping import configured

from mti import spread
from mti.outputs import RunFolder
from mti.types import UserError


def multirun(root, model, count=2):
    return [configured(root / str(seed), model, f"seed={seed}") for seed in range(count)]


@pytest.fixture(scope="module")
def here(tiny_sd_folder, tmp_path_factory):
    root = tmp_path_factory.mktemp("here")
    assert invert(multirun(root, tiny_sd_folder))
    return root


def somewhere(kind, root):
    match kind:
        case "devices":
            return Here(devices=2)
        case "joblib":
            pytest.importorskip("joblib")
            return Joblib(workers=2, runs_per_job=2)
        case "submitit":
            pytest.importorskip("submitit")
            return Submitit("local", str(root / "logs"), runs_per_job=2, timeout_min=5)
        case _:
            pytest.importorskip("ray")
            return Ray(2, 1, {"num_cpus": 1, "include_dashboard": False}, {})


@pytest.mark.parametrize("kind", ["devices", "joblib", "submitit", "ray"])
def test_runs_elsewhere_end_as_they_do_here(tiny_sd_folder, tmp_path, here, kind):
    assert invert(multirun(tmp_path, tiny_sd_folder), somewhere(kind, tmp_path))
    for seed in range(2):
        curves, others = RunFolder(tmp_path / str(seed)).metrics(), RunFolder(here / str(seed)).metrics()
        assert curves.keys() == others.keys()
        for name, curve in curves.items():
            assert curve == pytest.approx(others[name], rel=1e-3)


def test_a_share_holds_runs_that_one_model_trains(tiny_sd_folder, tmp_path):
    configs = multirun(tmp_path, tiny_sd_folder, 5)
    configs[1].trainer.max_steps = 9
    assert [[run["seed"] for run in share] for share in shares(configs, 2, None)] == [[0, 2], [3, 4], [1]]
    assert [[run["seed"] for run in share] for share in shares(configs, 2, 3)] == [[0, 2, 3], [4], [1]]


def test_each_device_has_one_process_at_a_time_and_a_lost_one_takes_no_other_along(
    tiny_sd_folder, tmp_path, monkeypatch, caplog
):
    """Fake processes on fake devices, one of which dies: the others' shares are all done."""
    busy, seen = set(), []

    def process(command, env):
        device = env["CUDA_VISIBLE_DEVICES"]
        assert device not in busy
        busy.add(device)
        seen.append(device)
        busy.remove(device)
        return subprocess.CompletedProcess(command, -9 if len(seen) == 2 else 0)

    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,5,7")
    monkeypatch.setattr(spread.subprocess, "run", process)
    Here(devices=[0, 2], runs_per_job=1)(multirun(tmp_path, tiny_sd_folder, 6))
    assert len(seen) == 6
    assert set(seen) <= {"4", "7"}
    assert caplog.text.count("ended with -9: its runs can be resumed") == 1


def test_a_mistake_in_a_share_is_told_in_a_line(tiny_sd_folder, tmp_path, capsys):
    config = multirun(tmp_path, tiny_sd_folder, 1)[0]
    with RunFolder(tmp_path / "0").locked():
        spread.do([spread.OmegaConf.to_container(config)])
    assert capsys.readouterr().err.startswith(f"mti: {tmp_path}/0 is in use by process")
    logging.getLogger().handlers.clear()


def test_a_missing_library_is_told_with_what_to_install(monkeypatch):
    with pytest.raises(UserError, match=r"needs the package nowhere: pip install 'mti\[extra\]'"):
        spread._library("nowhere", "extra")
