import contextlib
import itertools
import json
import logging
import random

import pytest
import torch
from safetensors.torch import save_file

from mti.files import DamagedFile
from mti.outputs import RunFolder


@pytest.fixture
def folder(tmp_path):
    return RunFolder(tmp_path / "run")


def save(folder, step, value=None):
    for row in range(step):
        folder.record(row, {"train/mse": float(row)})
    folder.save_state(step, {"embeddings": torch.full((2, 3), float(step if value is None else value))})


def value(folder, step=None):
    return folder.load_state(step)[1]["embeddings"][0, 0].item()


def damage(path):
    content = bytearray(path.read_bytes())
    content[-2] ^= 255  # within a tensor: the format is still right
    path.write_bytes(content)


def test_the_last_two_are_kept(folder):
    assert folder.checkpoints() == []
    assert folder.load_state() is None
    save(folder, 2)
    assert folder.checkpoints() == [2]
    save(folder, 4)
    save(folder, 6)
    assert folder.checkpoints() == [4, 6]
    assert (value(folder), value(folder, 4), folder.load_state(2)) == (6, 4, None)


def test_the_same_state_gives_the_same_bytes(folder, tmp_path):
    tensors = {"embeddings": torch.ones(2, 3), "exp_avg": torch.zeros(2, 3), "step": torch.tensor(3.0)}
    contents = set()
    for i in range(5):
        one = RunFolder(tmp_path / str(i))
        one.save_state(3, tensors)
        contents.add((one.path / "checkpoints" / "last.safetensors").read_bytes())
    assert len(contents) == 1


def test_a_damaged_last_gives_way_to_the_previous_with_a_line(folder, caplog):
    save(folder, 2)
    save(folder, 4)
    damage(folder.path / "checkpoints" / "last.safetensors")
    with caplog.at_level(logging.WARNING, "mti"):
        assert value(folder) == 2
    assert "last.safetensors is damaged (its checksum differs): the other checkpoint is used, of step 2" in caplog.text
    folder.resume(2)
    save(folder, 4)
    assert folder.checkpoints() == [2, 4]


def test_a_damaged_previous_is_no_loss(folder, caplog):
    save(folder, 2)
    save(folder, 4)
    damage(folder.path / "checkpoints" / "previous.safetensors")
    with caplog.at_level(logging.WARNING, "mti"):
        assert value(folder) == 4
    save(folder, 6)
    assert list(folder.checkpoints()) == [4, 6]


def test_if_none_can_be_read_it_says_how_to_begin_anew(folder):
    save(folder, 2)
    save(folder, 4)
    for name in ("last", "previous"):
        damage(folder.path / "checkpoints" / f"{name}.safetensors")
    with pytest.raises(
        DamagedFile, match=r"last\.safetensors is damaged .*: delete .*/checkpoints to begin this run anew"
    ):
        folder.load_state()
    with pytest.raises(DamagedFile):
        folder.checkpoints()


@pytest.mark.parametrize(
    "header",
    [None, "", "no JSON", "[]", "{}", '{"step": 2}', '{"step": "x", "rows": 0, "crc32": 0}', "[" * 10**5],
)
def test_other_safetensors_are_no_checkpoints(folder, header):
    path = folder.path / "checkpoints" / "last.safetensors"
    path.parent.mkdir(parents=True)
    save_file({"embeddings": torch.ones(2)}, path, metadata=None if header is None else {"mti": header})
    with pytest.raises(DamagedFile, match=r"last\.safetensors is not a checkpoint: delete"):
        folder.load_state()


def test_going_back_forgets_what_came_after(folder):
    save(folder, 2)
    save(folder, 4)
    folder.resume(2)
    assert list(folder.checkpoints()) == [2]
    save(folder, 3)
    assert list(folder.checkpoints()) == [2, 3]
    folder.resume(0)
    assert folder.checkpoints() == []


def test_rows_that_the_checkpoint_knows_of_are_missed(folder):
    save(folder, 4)
    table = folder.path / "metrics.csv"
    lines = table.read_text().splitlines(keepends=True)
    table.write_text("".join(lines[:3]))
    with pytest.raises(DamagedFile, match=r"metrics\.csv has 2 rows before step 4, and had 4: delete"):
        RunFolder(folder.path).resume(4)
    table.unlink()
    with pytest.raises(DamagedFile, match="has 0 rows"):
        RunFolder(folder.path).resume(4)
    table.write_text("broken")
    RunFolder(folder.path).resume(0)  # everything is done anew


class Killed(Exception):
    pass


def train(folders, goal, kill_after, history):
    """A batch that saves every 2 steps and is killed after some changes of files. Its state is its whole past."""
    kills = itertools.count()

    def survive():
        if next(kills) == kill_after:
            raise Killed

    names = list(folders)
    step = max(set.intersection(*(set(folder.checkpoints()) for folder in folders.values())), default=0)
    states = {}
    for name in names:
        loaded = folders[name].load_state(step) if step else None
        survive()
        folders[name].resume(step)
        states[name] = loaded[1]["past"] if loaded else torch.zeros(())
    while step < goal:
        for name in names:
            states[name] = states[name] * 1.25 + len(names) + names.index(name)
        step += 1
        if step % 2 == 0:
            for name in names:
                survive()
                folders[name].save_state(step, {"past": states[name]})
    for name in names:
        history[name] = states[name].item()


@pytest.mark.parametrize("seed", range(20))
def test_after_any_kills_all_ends_as_without_one(tmp_path, seed):
    names = ("x", "y", "z")
    whole, ours = {}, {}
    train({name: RunFolder(tmp_path / "whole" / name) for name in names}, 8, None, whole)
    chance = random.Random(seed)
    for _ in range(6):
        with contextlib.suppress(Killed):
            train({name: RunFolder(tmp_path / "ours" / name) for name in names}, 8, chance.randrange(12), ours)
    train({name: RunFolder(tmp_path / "ours" / name) for name in names}, 8, None, ours)
    assert ours == whole


def test_checkpoints_say_what_they_hold_as_one_piece_of_json(folder):
    save(folder, 2)
    content = (folder.path / "checkpoints" / "last.safetensors").read_bytes()
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])["__metadata__"]
    assert {"step": 2, "rows": 2}.items() <= json.loads(header["mti"]).items()
