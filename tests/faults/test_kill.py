"""Killed at any moment, also between two writes, the same multirun goes on and ends as if nothing had happened."""

from __future__ import annotations

import multiprocessing
import random
from pathlib import Path

import pytest
import torch

from mti.outputs import RunFolder

if "forkserver" not in multiprocessing.get_all_start_methods():
    pytest.skip("needs processes that are forked", allow_module_level=True)

from faults.campaign import PLACES, Sweep
from faults.processes import KILLED

OVERRIDES = ["seed=0", "trainer.max_steps=5"]
RUNS = 2
ONE_PICTURE = [*PLACES, "image=teapot"]


@pytest.fixture(scope="module")
def whole(tiny_sd_folder, tmp_path_factory):
    """The multirun without a kill, and how many moments it has: writes, renames and deletions."""
    sweep = Sweep(tmp_path_factory.mktemp("whole"), tiny_sd_folder, OVERRIDES)
    code, moments = sweep.run()
    assert code == 0, sweep.log.read_text()
    assert len(sweep.runs) == RUNS
    return sweep, moments


@pytest.fixture
def sweep(whole, tmp_path):
    return Sweep(tmp_path, whole[0].model, OVERRIDES)


def assert_readable(root: Path) -> None:
    """Whatever is in the folders now is whole."""
    for folder in map(RunFolder, [path.parent for path in root.rglob("config.yaml")]):
        folder.metrics(), folder.summary(), folder.load_state()
        for step in folder.sampled_steps():
            assert len(folder.pictures(step)) == 1
        if (folder.path / "text.json").exists():
            folder.read_text()
        if (folder.path / "tokens.safetensors").exists():
            folder.read_tokens()


def assert_as_if_nothing_had_happened(sweep: Sweep, whole: Sweep) -> None:
    assert sweep.content() == whole.content()
    assert len(sweep.runs) == RUNS
    for ours, theirs in zip(map(RunFolder, sweep.runs), map(RunFolder, whole.runs), strict=True):
        assert ours.finished
        assert ours.metrics() == theirs.metrics()
        assert torch.equal(ours.read_tokens()[0], theirs.read_tokens()[0])
        assert ours.sampled_steps() == theirs.sampled_steps()
        for step in ours.sampled_steps():
            assert [p.tobytes() for p in ours.pictures(step)] == [p.tobytes() for p in theirs.pictures(step)]


@pytest.mark.parametrize("share", range(6))
def test_killed_once(sweep, whole, share):
    """At a random moment of each sixth of the multirun."""
    reference, moments = whole
    moment = random.Random(share).randrange(moments * share // 6, moments * (share + 1) // 6)
    assert sweep.run(moment)[0] == KILLED
    assert_readable(sweep.root)
    assert sweep.run()[0] == 0
    assert_as_if_nothing_had_happened(sweep, reference)


def test_killed_again_and_again(sweep, whole):
    """Each process does a little more than the one before it; the last finds little left to do."""
    reference, moments = whole
    kills = 0
    for moment in range(moments // 4, moments, moments // 4):
        kills += sweep.run(moment)[0] == KILLED
        assert_readable(sweep.root)
    assert kills >= 2
    assert sweep.run()[0] == 0
    assert sweep.run()[1] <= 2 * RUNS + 2  # locks, and Hydra's own record of the sweep: nothing is done twice
    assert_as_if_nothing_had_happened(sweep, reference)


def test_killed_where_runs_take_the_places_of_others(tiny_sd_folder, tmp_path):
    """At three random moments, one after the other; which runs share a batch at each update is as without a kill."""
    whole, sweep = (Sweep(tmp_path / name, tiny_sd_folder, ONE_PICTURE) for name in ("whole", "killed"))
    code, moments = whole.run()
    assert code == 0, whole.log.read_text()
    steps = [RunFolder(path).summary()["steps"] for path in whole.runs]
    batches = {tuple(RunFolder(path).read_batch().members.values()) for path in whole.runs}
    assert len(set(steps)) > 2
    assert any(len(set(begun)) > 1 for begun in batches), "no run came into a batch that others had begun"
    for share in range(3):
        sweep.run(random.Random(share).randrange(moments // 4))
    assert sweep.run()[0] == 0
    assert sweep.content() == whole.content()


def test_a_damaged_checkpoint_gives_way_to_the_one_before_it(sweep, whole):
    """In one run of two: both go on from there, and end as if nothing had happened."""
    reference, moments = whole
    moment = moments
    while not (damaged := sorted(sweep.root.rglob("previous.safetensors"))):
        moment = moment * 9 // 10
        sweep.run(moment)
    last = damaged[0].with_name("last.safetensors")
    last.write_bytes(last.read_bytes()[:50])
    assert sweep.run()[0] == 0
    assert "the other checkpoint is used" in sweep.log.read_text()
    assert_as_if_nothing_had_happened(sweep, reference)
