"""Any file of a run folder damaged in any way is one clear error of whoever reads it, or is not needed."""

import json
import os
import random

import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from mti.files import DamagedFile
from mti.outputs import RunFolder
from mti.types import InitialText


def fill(path):
    folder = RunFolder(path)
    picture = Image.effect_noise((16, 16), 50)
    folder.write_config("image: cup\nseed: 0\nmodel: {name: tiny}\nprompts: ['a {}']\n")
    folder.write_record({"content": "abc"})
    folder.write_text(InitialText("a cup", "given", "a cup", {"score": 0.5}, {"mask": picture}), ["a", "cup"])
    for step in range(5):
        folder.record(step, {"train/mse": step / 7, "eval/mse": step / 3})
    for step in (2, 4):
        folder.save_state(step, {"embeddings": torch.arange(64.0).view(2, 32)})
    folder.save_pictures(4, [picture, picture])
    folder.save_personalization(4, {"a {}": [picture], "{} cup": [picture]})
    folder.write_calibration({"mse": {"initial_text": 1.0}})
    folder.write_tokens(torch.arange(64.0).view(2, 32), "<cup>")
    folder.save_input(picture)
    folder.save_comparison(picture)
    folder.write_summary({"status": "finished"})
    return folder


READERS = {
    "config.yaml": RunFolder.read_config,
    "record.json": RunFolder.read_record,
    "text.json": RunFolder.read_text,
    "text/mask.png": RunFolder.read_text,
    "metrics.csv": RunFolder.metrics,
    "tokens.safetensors": RunFolder.read_tokens,
    "samples/00004/0.png": lambda folder: folder.pictures(4),
    "samples/00004/1.png": lambda folder: folder.pictures(4),
    "personalization/00004/prompts.json": lambda folder: folder.personalization(4),
    "personalization/00004/0-0.png": lambda folder: folder.personalization(4),
    "personalization/00004/1-0.png": lambda folder: folder.personalization(4),
    "calibration.json": RunFolder.calibration,
    "checkpoints/last.safetensors": lambda folder: folder.load_state(4),
    "input.png": RunFolder.input,
    "summary.json": RunFolder.summary,
}
NEEDED = ("config.yaml", "text.json", "tokens.safetensors", "samples/00004/0.png", "personalization/00004/prompts.json")


def test_every_file_has_its_reader(tmp_path):
    folder = fill(tmp_path / "run")
    files = {str(path.relative_to(folder.path)) for path in folder.path.rglob("*") if path.is_file()}
    assert files - READERS.keys() == {"checkpoints/previous.safetensors", "comparison.png"}  # nobody reads the latter
    for read in READERS.values():
        read(folder)


def instead(make):
    def replace(path):
        path.unlink()
        make(path)

    return replace


DAMAGES = {
    "truncated": lambda path: os.truncate(path, path.stat().st_size // 2),
    "emptied": lambda path: os.truncate(path, 0),
    "garbled": lambda path: path.write_bytes(random.Random(path.name).randbytes(path.stat().st_size)),
    "another format": lambda path: path.write_text("{1: 2}"),
    "a list": lambda path: path.write_text("[1, {}]"),
    "deep": lambda path: path.write_text("[" * 10**5),
    "a folder": instead(lambda path: path.mkdir()),
    "a pipe": instead(os.mkfifo),
    "a link to itself": instead(lambda path: path.symlink_to(path)),
}


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("kind", DAMAGES)
def test_a_damaged_file_is_named(tmp_path, name, kind):
    folder = fill(tmp_path / "run")
    DAMAGES[kind](folder.path / name)
    if name.startswith("checkpoints"):
        assert folder.load_state()[0] == 2
        assert folder.load_state(4) is None
        return
    with pytest.raises(DamagedFile) as error:
        READERS[name](folder)
    assert str(error.value).startswith(str(folder.path / name))
    assert ": delete " in str(error.value) or ": give " in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", READERS)
def test_a_missing_file_is_named_or_was_not_needed(tmp_path, name):
    folder = fill(tmp_path / "run")
    (folder.path / name).unlink()
    if name in NEEDED:
        with pytest.raises(DamagedFile, match=f"{name} (does not exist|cannot be read).*: (delete|give) "):
            READERS[name](folder)
    else:
        READERS[name](folder)


@pytest.mark.parametrize(
    "text",
    [
        "- a list",
        "1: a number as key",
        "a: 2020-01-01",
        "a: !!binary aGVsbG8=",
        "a: !!python/object/apply:os.system [echo]",
        "a: !!set {b}",
        "a: &x [1]\nb: [*x, *x]",
        "a: &x [*x]",
        "a: [",
        "a: 1\n---\nb: 2",
        "a: @",
    ],
)
def test_a_configuration_is_a_mapping_of_plain_values(tmp_path, text):
    folder = RunFolder(tmp_path)
    folder.write_config(text)
    with pytest.raises(DamagedFile, match=r"config\.yaml (is not|uses) [^\n]*: delete"):
        folder.read_config()


def test_nothing_of_a_configuration_is_resolved_or_built(tmp_path):
    folder = RunFolder(tmp_path)
    folder.write_config("a: {_target_: os.system, b: '${oc.env:HOME}'}\nb: no\nc: '01'\nd: null\n")
    expected = {"a": {"_target_": "os.system", "b": "${oc.env:HOME}"}, "b": False, "c": "01", "d": None}
    assert folder.read_config() == expected


@pytest.mark.parametrize("record", [{"text": 1}, {"tokens": "ab"}, {"tokens": [1]}, {"details": []}, {"source": None}])
def test_a_text_has_the_types_that_it_should(tmp_path, record):
    folder = fill(tmp_path / "run")
    path = folder.path / "text.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | record))
    with pytest.raises(DamagedFile, match=r"text\.json does not hold what is expected"):
        folder.read_text()


def test_levels_that_are_not_finite_come_back_as_nan(tmp_path):
    folder = RunFolder(tmp_path)
    folder.write_calibration({"mse": {"a": float("inf"), "b": 1.0}})
    levels = folder.calibration()["mse"]
    assert levels["b"] == 1
    assert levels["a"] != levels["a"]


def test_names_in_a_folder_lead_nowhere_else(tmp_path):
    folder = RunFolder(tmp_path / "run")
    folder.write_text(InitialText("a", "given", "a", {}, {"../../mask": Image.new("1", (2, 2))}), ["a"])
    assert sorted(os.listdir(tmp_path)) == ["run"]
    assert [path.parent.name for path in folder.path.rglob("*.png")] == ["text"]
    (folder.path / "samples" / "²").mkdir(parents=True)
    (folder.path / "samples" / "x").mkdir()
    assert folder.sampled_steps() == []


@pytest.mark.parametrize("tensor", [torch.ones(2, 0), torch.ones(2, 3).long(), torch.full((2, 3), float("nan"))])
def test_tokens_are_finite_numbers(tmp_path, tensor):
    folder = RunFolder(tmp_path)
    save_file({"<cup>": tensor}, tmp_path / "tokens.safetensors")
    with pytest.raises(DamagedFile, match=r"tokens\.safetensors holds <cup>: expected"):
        folder.read_tokens()
