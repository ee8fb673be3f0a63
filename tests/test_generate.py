"""Pictures from learned tokens: each request by itself, own samples again, and nothing run that a folder says."""

import json
import shutil

import numpy as np
import pytest
import yaml
from hydra import initialize_config_dir
from PIL import Image
from sweeping import CONF, invert, small

from mti.errors import UserError
from mti.generate import begun_at, device_of, generate
from mti.outputs import RunFolder
from mti.schema import Generate


@pytest.fixture(scope="module")
def trained(tiny_sd_folder, tmp_path_factory):
    """Two runs of two pictures, with two samples at each evaluated step."""
    root = tmp_path_factory.mktemp("runs")
    more = ("evaluation.pictures=2", "model.precision=fp32")
    assert invert([small(root / name, tiny_sd_folder, f"image={name}", *more) for name in ("teapot", "cup")])
    return root


@pytest.fixture
def run(trained, tmp_path):
    """The first of them, in a folder of its own."""
    return shutil.copytree(trained / "teapot", tmp_path / "teapot")


def drawn(**wanted):
    """The folder that `mti.generate` fills, as the command composes it."""
    with initialize_config_dir(CONF, version_base="1.3"):
        return generate(Generate(**{"pictures": 1, "device": "cpu", **wanted})).parent


def pictures(folder):
    return [np.asarray(Image.open(path)) for path in sorted(folder.glob("[0-9]*.png"))]


def test_without_a_prompt_the_runs_own_samples_are_drawn_again(run):
    last = RunFolder(run).pictures(4)
    again = pictures(drawn(run=str(run), pictures=None))
    assert len(again) == 2
    for one, other in zip(again, last, strict=True):
        assert np.abs(one.astype(int) - np.asarray(other)).max() <= 1


def test_the_tokens_of_an_earlier_step_draw_its_samples(run):
    for one, other in zip(
        pictures(drawn(run=str(run), pictures=None, step=0)), RunFolder(run).pictures(0), strict=True
    ):
        assert np.abs(one.astype(int) - np.asarray(other)).max() <= 1
    with pytest.raises(UserError, match=r"step=1: .* keeps tokens of the steps 0, 2, 4"):
        drawn(run=str(run), step=1)


def test_every_request_has_a_folder_and_a_record_of_its_own(run):
    requests = [{"prompt": "a {}"}, {"prompt": "a {}?"}, {"prompt": "a {}", "guidance_scale": 9.0}]
    requests += [
        {"prompt": "a {}", "seed": 3},
        {"prompt": "a {}", "num_inference_steps": 2},
        {"prompt": "a {}", "step": 2},
    ]
    folders = [drawn(run=str(run), **request) for request in requests]
    assert len(set(folders)) == len(requests)
    record = json.loads((folders[2] / "request.json").read_text())
    assert (record["prompts"], record["guidance_scale"], record["seed"]) == (["a {}"], 9.0, 0)
    kept = {path.name: path.read_bytes() for path in folders[0].iterdir()}
    assert drawn(run=str(run), **requests[0]) == folders[0]
    assert {path.name: path.read_bytes() for path in folders[0].iterdir()} == kept


def test_fewer_pictures_leave_none_of_an_earlier_request_behind(run, tmp_path):
    output = str(tmp_path / "drawn")
    drawn(run=str(run), prompt="a {}", pictures=3, output=output)
    with pytest.raises(UserError, match="holds the pictures of another request"):
        drawn(run=str(run), prompt="a {}", pictures=1, output=output)
    assert len(pictures(tmp_path / "drawn")) == 3
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear")
    with pytest.raises(UserError, match="holds something else"):
        drawn(run=str(run), prompt="a {}", output=str(tmp_path / "mine"))


@pytest.mark.parametrize("prompt", ["", "no place", "{ }", "{0}"])
def test_a_prompt_without_a_place_for_the_tokens_is_refused(run, prompt):
    with pytest.raises(UserError, match=r"there is no \{\} in it"):
        drawn(run=str(run), prompt=prompt)


def test_a_negative_prompt_leads_away(run):
    plain, away = (drawn(run=str(run), prompt="a {}", negative_prompt=text) for text in ("", "cat"))
    assert not np.array_equal(pictures(plain)[0], pictures(away)[0])


def test_the_tokens_of_two_runs_meet_in_one_prompt(trained, run):
    both = [str(run), str(trained / "cup")]
    together, turned = drawn(run=both, prompt="a {} {}"), drawn(run=both[::-1], prompt="a {} {}", output=str(run / "x"))
    assert not np.array_equal(pictures(together)[0], pictures(turned)[0])
    with pytest.raises(UserError, match=r"has 1 \{\}, and run names 2"):
        drawn(run=both, prompt="a {}")


def test_what_a_folder_says_is_never_run(run, tmp_path, monkeypatch):
    """A class, a call and an interpolation in a stranger's config.yaml stay text."""
    monkeypatch.setenv("SECRET", "told")
    path = run / "config.yaml"
    config = yaml.safe_load(path.read_text())
    config["model"]["_target_"] = "os.system"
    config["model"]["command"] = f"touch {tmp_path}/pwned"
    config["init"]["initializer"] = {"_target_": "builtins.exec", "_args_": [f"open('{tmp_path}/pwned', 'w')"]}
    path.write_text(yaml.safe_dump(config))
    assert len(pictures(drawn(run=str(run), prompt="a {}"))) == 1
    config["model"]["path"] = "${oc.env:SECRET}"
    path.write_text(yaml.safe_dump(config))
    with pytest.raises(UserError, match=r"\$\{oc.env:SECRET\}") as refused:
        drawn(run=str(run), prompt="a {}")
    assert "told" not in str(refused.value)
    path.write_text("!!python/object/apply:os.system ['touch pwned']")
    with pytest.raises(UserError, match=r"config.yaml"):
        drawn(run=str(run), prompt="a {}")
    assert not (tmp_path / "pwned").exists()


def test_a_folder_whose_model_the_receiver_does_not_have_is_told(run):
    path = run / "config.yaml"
    config = yaml.safe_load(path.read_text())
    path.write_text(yaml.safe_dump({**config, "choices": {"model": "theirs"}}))
    with pytest.raises(UserError, match="conf/model has no theirs"):
        drawn(run=str(run), prompt="a {}")
    path.write_text(yaml.safe_dump({**config, "choices": {"model": "../experiment/paper"}}))
    with pytest.raises(UserError, match="does not name a choice"):
        drawn(run=str(run), prompt="a {}")


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
    path = run / "config.yaml"
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | {key: value}))
    with pytest.raises(UserError, match=told):
        drawn(run=str(run))
