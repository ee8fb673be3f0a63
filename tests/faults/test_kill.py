"""Killed at any moment, also between two writes, the same multirun goes on and ends as if nothing had happened."""

from __future__ import annotations

import functools
import multiprocessing
import os
import random
import signal
from pathlib import Path

import pytest
import torch
from sweeping import configured

from mti.outputs import RunFolder

if "forkserver" not in multiprocessing.get_all_start_methods():
    pytest.skip("needs processes that are forked", allow_module_level=True)

OVERRIDES = [("image=teapot",), ("image=cup", "seed=1", "init.text='the red cat'")]
NEVER = 10**9


@pytest.fixture(scope="module")
def processes():
    """Makes processes fast: the libraries are loaded once, in the process that the others are forked from."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["mti.training", "mti.models.sd"])
    return context


def multirun(root: Path, model: Path) -> list:
    return [configured(root / str(i), model, *given, "trainer.max_steps=5") for i, given in enumerate(OVERRIDES)]


def killed_at(moment: int, root: Path, model: Path, moments) -> None:
    """Run the multirun, and die before the moment of that number: a write, a rename, a deletion, or a step."""
    import shutil

    from safetensors import torch as safetensors_torch

    import mti.exports
    import mti.outputs
    from mti.inversion import TextualInversion
    from mti.training import invert

    torch.set_num_threads(1)

    def counted(real):
        @functools.wraps(real)  # Lightning counts the arguments of a step
        def call(*arguments, **keywords):
            if moments.value == moment:
                os.kill(os.getpid(), signal.SIGKILL)
            moments.value += 1
            return real(*arguments, **keywords)

        return call

    os.replace = counted(os.replace)
    shutil.rmtree = counted(shutil.rmtree)
    mti.outputs.save_file = mti.exports.save_file = counted(safetensors_torch.save_file)
    Path.write_text = counted(Path.write_text)
    TextualInversion.training_step = counted(TextualInversion.training_step)
    os._exit(0 if invert(multirun(root, model)) else 1)


def run(processes, root: Path, model: Path, moment: int = NEVER) -> tuple[int, int]:
    """The exit code (-9 if killed), and how many moments there were."""
    moments = processes.Value("i", 0)
    process = processes.Process(target=killed_at, args=(moment, root, model, moments))
    process.start()
    process.join(120)
    return process.exitcode, moments.value


@pytest.fixture(scope="module")
def whole(processes, tiny_sd_folder, tmp_path_factory):
    """The multirun without a kill, and how many moments it has."""
    root = tmp_path_factory.mktemp("whole")
    code, moments = run(processes, root, tiny_sd_folder)
    assert code == 0
    return root, moments


def assert_readable(root: Path) -> None:
    """Whatever is in the folders now is whole."""
    for folder in map(RunFolder, sorted(root.iterdir())):
        folder.metrics(), folder.summary(), folder.load_state()
        for step in folder.sampled_steps():
            assert len(folder.pictures(step)) == 1
        if (folder.path / "text.json").exists():
            folder.read_text()
        if (folder.path / "tokens.safetensors").exists():
            folder.read_tokens()


def assert_as_if_nothing_had_happened(root: Path, whole: Path) -> None:
    for i in range(len(OVERRIDES)):
        ours, theirs = RunFolder(root / str(i)), RunFolder(whole / str(i))
        assert ours.finished
        assert ours.metrics() == theirs.metrics()
        assert torch.equal(ours.read_tokens()[0], theirs.read_tokens()[0])
        assert ours.sampled_steps() == theirs.sampled_steps()
        for step in ours.sampled_steps():
            assert [p.tobytes() for p in ours.pictures(step)] == [p.tobytes() for p in theirs.pictures(step)]


@pytest.mark.parametrize("share", range(6))
def test_killed_once(processes, tiny_sd_folder, tmp_path, whole, share):
    """At a random moment of each sixth of the multirun."""
    reference, moments = whole
    moment = random.Random(share).randrange(moments * share // 6, moments * (share + 1) // 6)
    assert run(processes, tmp_path, tiny_sd_folder, moment)[0] == -signal.SIGKILL
    assert_readable(tmp_path)
    assert run(processes, tmp_path, tiny_sd_folder)[0] == 0
    assert_as_if_nothing_had_happened(tmp_path, reference)


def test_killed_again_and_again(processes, tiny_sd_folder, tmp_path, whole):
    """Each process does a little more than the one before it; the last finds little left to do."""
    reference, moments = whole
    kills = 0
    for moment in range(moments // 4, moments, moments // 4):
        kills += run(processes, tmp_path, tiny_sd_folder, moment)[0] == -signal.SIGKILL
        assert_readable(tmp_path)
    assert kills >= 2
    assert run(processes, tmp_path, tiny_sd_folder)[0] == 0
    assert run(processes, tmp_path, tiny_sd_folder)[1] <= 2 * len(OVERRIDES)  # nothing is done twice
    assert_as_if_nothing_had_happened(tmp_path, reference)
