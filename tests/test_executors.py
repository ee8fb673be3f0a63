"""Chunks of a multirun in other processes: the same curves, and what befalls a process befalls no other share."""

import logging

import pytest
from sweeping import invert, small

from mti import executors
from mti.errors import UserError
from mti.executors import JoblibExecutor, LocalExecutor, RayExecutor, SubmititExecutor, chunks
from mti.outputs import RunFolder
from mti.schema import plain


def multirun(root, model, count=2):
    return [small(root / str(seed), model, f"seed={seed}") for seed in range(count)]


@pytest.fixture(scope="module")
def here(tiny_sd_folder, tmp_path_factory):
    root = tmp_path_factory.mktemp("here")
    assert invert(multirun(root, tiny_sd_folder))
    return root


def somewhere(kind, root):
    match kind:
        case "devices":
            return LocalExecutor(devices=2)
        case "joblib":
            pytest.importorskip("joblib")
            return JoblibExecutor(workers=2, runs_per_job=2)
        case "submitit":
            pytest.importorskip("submitit")
            return SubmititExecutor("local", str(root / "logs"), runs_per_job=2, timeout_min=5)
        case _:
            pytest.importorskip("ray")
            return RayExecutor(2, 1, {"num_cpus": 1, "include_dashboard": False}, {})


@pytest.mark.parametrize("kind", ["devices", "joblib", "submitit", "ray"])
def test_runs_elsewhere_end_as_they_do_here(tiny_sd_folder, tmp_path, here, kind):
    assert invert(multirun(tmp_path, tiny_sd_folder), somewhere(kind, tmp_path))
    for seed in range(2):
        curves, others = RunFolder(tmp_path / str(seed)).metrics(), RunFolder(here / str(seed)).metrics()
        assert curves.keys() == others.keys()
        for name, curve in curves.items():
            assert curve == pytest.approx(others[name], rel=1e-3)


def test_a_chunk_holds_runs_that_one_model_trains(tiny_sd_folder, tmp_path):
    configs = multirun(tmp_path, tiny_sd_folder, 5)
    configs[1] = small(tmp_path / "1", tiny_sd_folder, "seed=1", "trainer.max_steps=9")
    assert [[run["seed"] for run in chunk] for chunk in chunks(configs, 2, None)] == [[0, 2], [3, 4], [1]]
    assert [[run["seed"] for run in chunk] for chunk in chunks(configs, 2, 3)] == [[0, 2, 3], [4], [1]]


def test_each_device_has_one_process_at_a_time_and_a_lost_one_takes_no_other_along(
    tiny_sd_folder, tmp_path, monkeypatch, caplog
):
    """Fake processes on fake devices, one of which dies: the others' chunks are all done."""
    busy, seen = set(), []

    class Process:
        def __init__(self, command, env):
            self.device = env["CUDA_VISIBLE_DEVICES"]
            assert self.device not in busy
            busy.add(self.device)
            seen.append(self.device)
            self.code = -9 if len(seen) == 2 else 0

        def wait(self):
            busy.remove(self.device)
            return self.code

    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,5,7")
    monkeypatch.setattr(executors.subprocess, "Popen", Process)
    LocalExecutor(devices=[0, 2], runs_per_job=1)(multirun(tmp_path, tiny_sd_folder, 6))
    assert len(seen) == 6
    assert set(seen) <= {"4", "7"}
    assert caplog.text.count("ended with -9: its runs can be resumed") == 1


def test_a_mistake_in_a_chunk_is_told_in_a_line(tiny_sd_folder, tmp_path, capsys):
    config = plain(small(tmp_path / "0", tiny_sd_folder))
    assert executors.run_chunk([{**config, "seed": "x"}]) == 2
    assert capsys.readouterr().err == "mti: seed=x: expected a whole number\n"
    logging.getLogger().handlers.clear()


def test_a_missing_library_is_told_with_what_to_install(monkeypatch):
    with pytest.raises(UserError, match=r"needs the package nowhere: pip install 'mti\[extra\]'"):
        executors._library("nowhere", "extra")
