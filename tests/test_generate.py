"""What `mti.generate` is asked for, and what it says where that is not to be had."""

import json

import pytest
import torch
import yaml
from hydra import initialize_config_dir

from mti.command_line import CONF
from mti.errors import UserError
from mti.generate import begun_at, check_slots, device_of, generate, tokens_of
from mti.outputs import RunFolder
from mti.schema import Generate


@pytest.fixture
def run(tmp_path, tiny_sd_folder):
    """A run of the tiny model that has learned something, at steps 0 and 5 and at the end; Hydra is as in an entry."""
    folder = RunFolder(tmp_path / "run")
    model = {"_target_": "os.system", "path": str(tiny_sd_folder), "name": "tiny", "precision": "fp32"}
    evaluation = {"prompts": ["a {}"], "pictures": 1, "num_inference_steps": 1, "steps": [0], "samples": 1}
    about = {"model": model, "evaluation": evaluation, "choices": {"model": "pocket"}, "seed": 3}
    folder.write_config(yaml.safe_dump(about))
    for step in (0, 5, None):
        folder.write_tokens(torch.full((2, 32), 0.1), "<teapot>", step)
    with initialize_config_dir(str(CONF), version_base="1.3"):
        yield folder


def test_a_request_has_a_folder_of_its_own_and_repeats_exactly(run):
    wanted = Generate(run=str(run.path), prompt="a {}", pictures=2, device="cpu")
    first = generate(wanted)
    kept = {path.name: path.read_bytes() for path in first.parent.iterdir()}
    assert sorted(kept) == ["0.png", "1.png", "grid.png", "request.json"]
    assert json.loads(kept["request.json"])["seed"] == 3
    assert generate(wanted) == first
    assert {path.name: path.read_bytes() for path in first.parent.iterdir()} == kept
    other = generate(Generate(run=str(run.path), prompt="a {}?", pictures=2, device="cpu"))
    assert other.parent != first.parent


def test_tokens_of_a_step_are_those_that_are_kept(run):
    assert tokens_of(run, 5)[0].shape == (2, 32)
    with pytest.raises(UserError, match=r"^step=7: .*run keeps tokens of the steps 0, 5$"):
        tokens_of(run, 7)


@pytest.mark.parametrize("name", ["", "nowhere", "~nobody/x"])
def test_a_folder_without_a_run_is_told_by_its_key(name):
    with pytest.raises(UserError, match=r"^run=.*: no run is there"):
        begun_at(name)


@pytest.mark.parametrize("name", ["cpux", "cuda:99", "meta", "", "茶"])
def test_a_device_that_is_not_there_is_told_by_its_key(name):
    with pytest.raises(UserError, match=r"^device=.*: expected one of cpu"):
        device_of(name)


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("seed", [1], r"the run's config.yaml: seed=\[1\]: expected a whole number"),
        ("seed", None, r"the run's config.yaml: seed=null: expected a whole number"),
        ("evaluation", {"sampler": "x"}, r"the run's config.yaml: evaluation.sampler=x: expected one of ddim, dpm\+\+"),
        ("evaluation", {"prompts": []}, r"prompt=null: the run has no prompts of its own"),
        ("choices", {"model": "../x"}, r"does not name a choice of conf/model: give one, base_model=pocket"),
    ],
)
def test_what_a_folder_says_is_checked_as_what_is_typed(run, key, value, told):
    run.write_config(yaml.safe_dump(run.read_config() | {key: value}))
    with pytest.raises(UserError, match=told):
        generate(Generate(run=str(run.path), device="cpu"))


def test_every_run_has_a_place_in_the_prompt():
    check_slots("{} beside {}", 2)
    with pytest.raises(UserError, match=r"there is no \{\} in it"):
        check_slots("a teapot", 1)
    with pytest.raises(UserError, match=r"has 1 \{\}, and run names 2"):
        check_slots("a {}", 2)
