"""What is typed is taken literally; what cannot be composed is told in a line."""

import os

import pytest
from hydra import compose, initialize_config_dir
from hydra.errors import HydraException
from omegaconf import OmegaConf

from mti.command_line import CONF, checked_arguments, composition_faults, explained, flags_first
from mti.errors import UserError
from mti.literals import literal
from mti.schema import Generate, RunConfig

ODD = [
    "~/photos/my_mug.jpg",
    "Tasse grün.png",
    "茶壶.png",
    "it's.png",
    'say "cheese".png',
    "mug (1), red=2.png",
    "[old] cup.png",
    "{new}.png",
    "#1.png",
    "01",
    "no",
    "null",
    "1e3",
    "a\\",
    "a\\'",
    "$HOME ${x}",
    "50%",
    "a:b",
    "a;b&c|d",
    " spaces ",
    "-m",
    "new\nline",
]


def taken(argument, key):
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = compose("generate" if key == "prompt" else "run", [argument])
    return OmegaConf.to_container(config, resolve=key == "prompt")[key]


@pytest.mark.parametrize("text", ODD)
def test_a_prompt_stands_for_itself(text):
    assert taken(literal(f"prompt={text}"), "prompt") == text


@pytest.mark.parametrize("name", [name for name in ODD if "~" not in name])
def test_a_picture_that_exists_is_found_by_its_name(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).write_bytes(b"")
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = compose("run", [literal(f"image={name}")])
    assert config.image == name


def test_a_home_is_not_expanded_by_hydra():
    assert literal("image=~/photos/my_mug.jpg") == "image='~/photos/my_mug.jpg'"


@pytest.mark.parametrize(
    ("argument", "expected"),
    [
        ("image=teapot,cup", "image='teapot','cup'"),
        ("image='a, b',c", "image='a, b','c'"),
        ("image=glob(*)", "image=glob(*)"),
        ("init.text='a red teapot'", "init.text='a red teapot'"),
        ("init.text='a cat','a dog'", "init.text='a cat','a dog'"),
        ("init.text=a cat, red", "init.text='a cat, red'"),
        ("output_dir=${oc.env:HOME}/x", "output_dir=${oc.env:HOME}/x"),
        ("run=[a,b]", "run=[a,b]"),
        ("seed=0,1", "seed=0,1"),
        ("seed=[1,2", "seed='[1,2'"),
        ("dataset.url=https://a?b=c&d", "dataset.url='https://a?b=c&d'"),
        ("experiment.name=a=b", "experiment.name='a=b'"),
        ("-m", "-m"),
        ("--config-dir=x", "--config-dir=x"),
    ],
)
def test_sweeps_quotes_and_other_settings_are_left_to_hydra(argument, expected):
    assert literal(argument) == expected


def faults(*arguments, name="run"):
    kind = {"run": RunConfig, "generate": Generate}[name]
    return composition_faults(arguments, name, kind, ValueError("what ended it"))


def test_every_override_that_hydra_refuses_is_told_at_once():
    told = faults("init=captoin", "training.lr=1", "modle=sd15", "seed=1", "-m")
    assert len(told) == 3
    assert told[0].startswith("init=captoin: there is no such choice (expected one of caption, ")
    assert told[0].endswith("(did you mean caption?)")
    assert "training.lr=1: there is no such key" in told[1] + told[2]
    assert any("modle=sd15" in line and "model" in line for line in told)


def test_wrong_values_are_told_beside_keys_that_there_are_not():
    assert faults("sed=1", "training.flip=maybe", "seed=abc") == [
        "sed=1: there is no such key (did you mean seed?)",
        "seed=abc: expected a whole number",
        "training.flip=maybe: expected true or false",
    ]
    assert faults("picturs=2", "run=r", "seed=x", name="generate")[1:] == ["seed=x: expected a whole number or null"]


def test_a_key_within_a_single_setting_is_told_so():
    assert faults("evaluation.choice.fidelity.lpips=0.3") == [
        "evaluation.choice.fidelity.lpips=0.3: there is no such key; evaluation.choice.fidelity is given as a whole"
    ]


def test_several_values_without_a_sweep_are_told_by_their_key():
    with initialize_config_dir(str(CONF), version_base="1.3"), pytest.raises(HydraException) as caught:
        compose("run", ["image='teapot','cup'"])
    told = explained("", caught.value)
    assert told.startswith("image='teapot','cup': several values need -m")


def test_keys_of_a_chosen_part_are_known():
    assert faults("dataset=folder", "dataset.root=x") == ["what ended it"]


def test_each_value_of_a_sweep_is_looked_at():
    told = faults("-m", "init=star,captoin,calss")
    assert [line.partition(":")[0] for line in told] == ["init=captoin", "init=calss"]


def test_a_glob_without_a_sweep_is_told_in_a_line():
    assert len(faults("seed=glob(*)", "modle=x")) == 2


def test_choices_of_ones_own_are_no_faults_beside_one(tmp_path):
    (tmp_path / "dataset").mkdir()
    (tmp_path / "dataset/mine.yaml").write_text("_target_: mti.datasets.Folder\nroot: .\n")
    given = ["--config-dir", str(tmp_path), "dataset=mine", "sed=1"]
    (told,) = composition_faults(given, "run", RunConfig, HydraException("first"))
    assert told.startswith("sed=1: there is no such key (did you mean seed?)")


@pytest.mark.parametrize(
    ("typed", "taken"),
    [
        ("init=star -m seed=1", "-m init=star seed=1"),
        ("a=1 --config-dir here b=2 -m", "--config-dir here -m a=1 b=2"),
        ("a=1 --cfg job ~b", "--cfg job a=1 ~b"),
        ("--config-dir=here a=1", "--config-dir=here a=1"),
        ("--config-dir odd=name a=1", "--config-dir odd=name a=1"),
    ],
)
def test_flags_may_stand_anywhere(typed, taken):
    assert flags_first(typed.split()) == taken.split()


def test_what_hydra_cannot_take_is_refused_in_a_line():
    with pytest.raises(UserError, match=r"is no text in UTF-8"):
        checked_arguments(["image=" + os.fsdecode(b"\xff.png")])
    with pytest.raises(UserError, match="--shell-completion needs the shell"):
        checked_arguments(["--shell-completion"])
    with pytest.raises(UserError, match="--experimental-rerun"):
        checked_arguments(["--experimental-rerun=x.pickle"])
