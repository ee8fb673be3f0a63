"""The measurement of experiments/speed, as far as it can be tried out small."""

import runpy
from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest

SCRIPT = Path(__file__).parent.parent / "experiments" / "speed" / "measure.py"


@pytest.fixture(scope="module")
def measure():
    return runpy.run_path(str(SCRIPT))


def test_the_pace_is_that_of_the_usual_step(measure):
    readings = [(0.0, 0.0), (1.0, 0.5), (2.0, 1.0), (9.0, 2.0), (10.0, 2.5)]
    assert measure["pace"](readings).tolist() == [1.0, 0.5]


def test_the_gpu_part_runs_on_a_small_network(tiny_sd_folder, monkeypatch):
    monkeypatch.syspath_prepend(SCRIPT.parent)
    monkeypatch.setattr("measure.TEXTS", ("*", "the"))
    gpu = runpy.run_path(str(SCRIPT.parent / "gpu.py"))["gpu"]
    ways = ["plain", "channels last", "gradient checkpointing"]
    options = Namespace(device="cpu", model=tiny_sd_folder, at_most=2, ways=ways, peak=1.0, diffusers=None)
    found = gpu(options)
    assert list(found["ways"]) == ways
    assert list(found["GiB by runs"]) == list(range(1, found["runs at once"] + 1))
    for at_once in found["ways"].values():
        one = at_once["1 at once"]
        assert one["samples/s"] > 0
        assert one["concepts an hour"] == pytest.approx(one["samples/s"] / 4 * 3600 / 5000)
        assert one["share of the peak"] == pytest.approx(one["TFLOP/s"])


def test_the_comparisons_add_up(measure, monkeypatch, tmp_path):
    """A process takes 8 s to start, a step of n fused runs n / 2 s, one of diffusers 2 s; the processors half."""
    both = np.array([1.0, 0.5])
    pocket, scope = measure["pocket"], measure["pocket"].__globals__
    monkeypatch.setitem(scope, "StableDiffusion", lambda *_, **__: None)
    monkeypatch.setitem(scope, "runs_of", lambda model, count: [None] * count)
    monkeypatch.setitem(scope, "sweep", lambda count, steps, *_, **__: (8 + steps * count / 2) * both)
    monkeypatch.setitem(scope, "steady", lambda model, runs, steps: len(runs) / 2 * both)
    monkeypatch.setitem(scope, "floor", lambda model, samples: samples / 16 * both)
    monkeypatch.setitem(scope, "of_diffusers", lambda *_: {"whole": 30 * both, "step": 2 * both})
    found = pocket(Namespace(precision="fp32", runs=[1, 4], steps=16, usual_steps=32, diffusers=tmp_path))
    assert found["run-steps/s, whole process"]["fused"][4].tolist() == [1.6, 3.2]
    assert found["run-steps/s, steady"]["diffusers"].tolist() == [0.5, 1.0]
    assert found["ratios"]["fused to one process each, whole"][4].tolist() == [1.6, 1.6]
    assert found["ratios"]["the same for 32 steps, extrapolated"][4].tolist() == pytest.approx([96 / 72] * 2)
    assert found["ratios"]["step of 4 fused runs to its floor"].tolist() == [2.0, 2.0]
    assert found["ratios"]["fused to diffusers, steady"][4].tolist() == [4.0, 4.0]
