"""The configuration: what is taken, what is refused and in which words, what runs share."""

import re

import pytest
from sweeping import composed

from mti.checks import checked, together
from mti.ranges import INCIDENTAL, SHARED
from mti.schema import RunConfig, differing, flat, groups, plain
from mti.typed import convert, settings_of


def faults_of(*overrides):
    return checked(composed(*overrides), RunConfig)[1]


def config(*overrides) -> RunConfig:
    found, faults = checked(composed(*overrides), RunConfig)
    assert not faults
    assert found
    return found


WRONG = [
    ("seed=abc", "seed=abc: expected a whole number"),
    ("seed=null", "seed=null: expected a whole number"),
    ("training.batch_size=2.5", "training.batch_size=2.5: expected a whole number of at least 1"),
    ("training.flip=maybe", "training.flip=maybe: expected true or false"),
    ("training.learning_rate=0", "training.learning_rate=0: expected a number above 0"),
    ("training.learning_rate=nan", "training.learning_rate=nan: expected a number above 0"),
    ("training.max_grad_norm=-1", "training.max_grad_norm=-1: expected a number above 0 or null"),
    (
        "training.templates=objects",
        "a list of prompts, or a file of one a line (did you mean object?)",
    ),
    ("training.templates=[]", "training.templates has no prompt"),
    ("training.templates=[a photo]", "training.templates has 'a photo': put {}"),
    ("trainer.max_steps=1.5", "trainer.max_steps=1.5: expected a whole number of at least 1"),
    ("trainer.devices=2", "trainer.devices=2: expected 1"),
    ("evaluation.steps=10", "evaluation.steps=10: expected a list"),
    ("evaluation.steps=[a,-1]", "evaluation.steps[0]=a: expected a whole number of at least 0"),
    ("evaluation.prompts=[a cat]", "evaluation.prompts has 'a cat': put {} where the learned tokens go"),
    ("evaluation.prompts=[]", "expected at least one prompt"),
    ("personalization.steps=[999]", "personalization.steps has 999, past the end"),
    ("init.margin=11", "init.margin=11: expected a number from 0 to 10"),
    ("crop=middle", "crop=middle: expected one of centre, thing, pad or null"),
    ("experiment.name=../x", "experiment.name=../x: expected the name of one folder"),
    ("+training.lr=1", "training.lr: there is no such key"),
    ("+training.learning_rat=1", "did you mean training.learning_rate?"),
    ("model._target_=mti.models.nothing.X", "model._target_=mti.models.nothing.X: cannot be imported"),
    ("+model.precison=fp32", "model.precison: there is no such key (did you mean model.precision?)"),
    ("training.schedule=cosine", "training.schedule=cosine: say where it ends, such as training.horizon=200"),
    ("training.background=2", "training.background=2: expected a number from 0 to 1"),
    ("image=[a,b]", "image=[a, b]: expected a text"),
    ("training=3", "training=3: expected the keys"),
    ("output_dir=${nowhere}", "output_dir: Interpolation key 'nowhere' not found"),
    ("seed=${oc.env:NO_SUCH_VARIABLE}", "seed: "),
]


@pytest.mark.parametrize(("override", "told"), WRONG, ids=[override for override, _ in WRONG])
def test_a_wrong_value_is_told_in_one_line_with_its_key(override, told):
    faults = faults_of(override)
    assert faults
    assert told in faults[0]
    assert not any("\n" in fault for fault in faults)


@pytest.mark.parametrize("optimizer", ["directional", "keep_norm"])
def test_rows_whose_norm_is_kept_are_not_averaged(optimizer):
    told = ["training.average=0.9: averaged rows are shorter than rows; choose optimizer=adamw"]
    assert faults_of(f"optimizer={optimizer}", "training.average=0.9") == told
    assert faults_of("training.average=0.9") == []


def test_a_schedule_ends_after_its_warm_up():
    wrong = faults_of("training.schedule=cosine", "training.horizon=3", "training.warmup=3")
    assert wrong == ["training.horizon=3: expected more than training.warmup=3"]


def test_all_faults_are_found_at_once():
    faults = faults_of("seed=x", "training.flip=2", "evaluation.steps=[-1,-2]", "+init.foo=1")
    assert len(faults) == 5


def test_what_is_taken_is_of_its_type():
    found = config("training.learning_rate=1", "image=1", "evaluation.steps=[0,5]", "click=[3,4.5]")
    assert (found.training.learning_rate, type(found.training.learning_rate)) == (1.0, float)
    assert found.image == "1"
    assert found.click == [3.0, 4.5]


def test_templates_are_read_from_a_file_so_that_the_record_has_them(tmp_path):
    (tmp_path / "mine.txt").write_text("a photo of {} on a table\n\n  {} at night\n")
    found = config(f"training.templates={tmp_path}/mine.txt")
    assert found.training.templates == ["a photo of {} on a table", "{} at night"]
    assert found.prompts[:2] == found.training.templates
    assert config("training.templates=['{} alone']").prompts[0] == "{} alone"


def test_init_click_is_another_spelling_of_click():
    assert config("init.click=[3,4]").click == config("click=[3,4]").click == [3, 4]
    assert config("init.box=[1,2,3,4]").box == [1, 2, 3, 4]


def test_a_text_is_for_init_text_alone_but_may_be_swept_beside_others():
    alone, other = config("init=class", "init.text=mug"), config("init=text", "init.text=mug")
    assert re.match("init.text=mug: init=class takes no text", next(together([alone])))
    assert not list(together([alone, other]))


def test_plain_data_is_a_configuration_again():
    found = config("init=caption", "refiner=local", "metrics=[pocket]", "click=[[1,2],[3,4]]")
    faults: list[str] = []
    assert convert(plain(found), RunConfig, "", faults) == found
    assert not faults


def test_only_what_the_frozen_model_must_share_keeps_runs_apart():
    alike = ["init=star", "image=cup", "seed=1", "training.learning_rate=1", "training.templates=style"]
    alike += ["init=text", "training.weight_decay=1", "training.flip=true", "init.source=recorded"]
    apart = ["trainer.max_steps=7", "training.batch_size=2", "model.precision=bf16", "evaluation.samples=3"]
    assert groups([config(override) for override in alike]) == [("", list(range(len(alike))))]
    assert [indices for _, indices in groups([config(), *map(config, apart)])] == [[0], [1], [2], [3], [4]]


def test_groups_are_told_apart_by_what_differs():
    overrides = [("init=star",), ("model.precision=bf16", "seed=1"), ("init=class",), ("trainer.max_steps=7",)]
    together = groups([config(*given) for given in overrides])
    assert together == [
        ("model.precision=auto, trainer.max_steps=200", [0, 2]),
        ("model.precision=bf16, trainer.max_steps=200", [1]),
        ("model.precision=auto, trainer.max_steps=7", [3]),
    ]


def test_marks_reach_every_setting_within_what_they_stand_beside():
    found = config("metrics=[pocket]")
    assert {"model.path", "evaluation.samples", "training.batch_size", "trainer.max_steps"} <= flat(
        found, SHARED
    ).keys()
    assert any(key.startswith("metrics.lpips_pocket.") for key in flat(found, SHARED))
    assert "training.learning_rate" not in flat(found, SHARED)
    incidental = {"output_dir", "folder", "evaluation.batch_size", "trainer.devices", "model.gradient_checkpointing"}
    assert incidental <= flat(found, INCIDENTAL).keys()


def test_what_differs_is_found_by_its_key():
    flats = [flat(config(override), without=INCIDENTAL) for override in ("seed=0", "seed=1", "training.weight_decay=1")]
    assert set(differing(flats)) == {"seed", "training.weight_decay"}


def test_a_class_of_ones_own_is_checked_by_how_it_is_made():
    class Own:
        def __init__(self, size: int, name: str = "x", **more: float) -> None: ...

    assert set(settings_of(Own)) == {"size", "name", "**"}


def test_a_recipe_is_the_settings_that_its_file_names():
    named = ("init=caption", "optimizer=adamw", "training.batch_size=16", "training.learning_rate=0.01")
    fast, typed = config("recipe=fast"), config(*named, "trainer.max_steps=50")
    assert flat(fast, without=INCIDENTAL) == flat(typed, without=INCIDENTAL)
    assert fast.trainer == typed.trainer


def test_what_is_typed_comes_before_the_recipe_and_the_recipe_before_the_experiment():
    fast = config("experiment=long", "recipe=fast", "init=star", "training.batch_size=8")
    assert (fast.init.name, fast.training.batch_size, fast.trainer.max_steps) == ("star", 8, 50)
