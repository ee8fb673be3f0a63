from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from mti.config import changes, check, groups, run_folder
from mti.types import UserError

CONF = str(Path(__file__).parent.parent / "conf")


def composed(*overrides):
    with initialize_config_dir(CONF, version_base="1.3"):
        config = compose("run", list(overrides))
    OmegaConf.set_struct(config, False)
    config.folder = str(run_folder(config, overrides))
    return config


def test_the_folder_names_experiment_image_initializer_and_seed():
    assert composed("image=cup", "init=star", "seed=3").folder == "outputs/default/cup/star/s3"
    assert composed("experiment.name=mine", "logger=csv").folder == "outputs/mine/teapot/caption/s0"


def test_every_other_override_is_part_of_the_folders_name():
    folder = composed("trainer.max_steps=7", "training.learning_rate=0.1").folder
    assert folder == "outputs/default/teapot/caption/s0+trainer.max_steps-7+training.learning_rate-0.1"


def test_texts_make_safe_and_distinct_folders():
    one = composed("init=text", "init.text='a/b c'").folder
    other = composed("init=text", "init.text='a/b_c'").folder
    assert one != other
    assert one.startswith("outputs/default/teapot/text/s0+init.text-")
    assert one.count("/") == 4


def test_clicks_make_folders_of_their_own():
    names = ["init.click=[30,30]", "init.click=[3,30]", "init.click=[[30,30]]", "init.box=[1,2,30,40]"]
    folders = [composed(name).folder for name in names]
    assert len({*folders, composed().folder}) == 5
    assert folders[0].startswith("outputs/default/teapot/caption/s0+init.click-_30_30_-")
    real = ["segmenter=sam_vit_b", "init.click=[30,30]"]
    assert composed(*real, "segmenter.download=true").folder == composed(*real).folder
    assert changes(composed(*real), composed(*real, "segmenter.download=true")) == []


def test_pictures_of_one_name_in_two_places_have_two_folders():
    assert composed("image=a/mug.png").folder != composed("image=b/mug.png").folder


def test_a_long_name_is_cut_but_stays_distinct():
    folders = [composed("init=text", f"init.text={'x' * 300}{end}").folder for end in "ab"]
    assert folders[0] != folders[1]
    assert all(len(Path(folder).name) < 200 for folder in folders)


@pytest.mark.parametrize("model", ["sd14", "sd15", "sd21", "sd21_base"])
def test_a_model_brings_what_belongs_to_it_and_each_can_be_overridden(model):
    config = composed(f"model={model}")
    assert "paper" in config.dataset.cache
    assert config.captioner.path != "pocket:captioner"
    assert config.trainer.max_steps == 5000
    assert config.segmenter.architecture == "vit_h"
    config = composed(f"model={model}", "dataset=pocket", "captioner=pocket", "trainer.max_steps=9")
    assert config.captioner.path == "pocket:captioner"
    assert config.trainer.max_steps == 9


def test_all_faults_of_all_runs_are_found_and_told_together():
    configs = [
        composed("init.click=[300,1]", "metrics=[pocket,clip_t]"),
        composed("image=teepot", "trainer.max_steps=0", "training.learning_rate=-1"),
        composed("training.templates=subject", "init.source=oracle", "evaluation.prompts=['a photo']"),
    ]
    with pytest.raises(UserError) as caught:
        check(configs)
    told = str(caught.value).splitlines()
    assert len(told) == 9
    for part in (
        "init.click=[300,1] is out of the picture",
        "metrics: clip_t: ",
        "metrics: clip_t prompt_set pictures of personalization.prompts, and none are drawn",
        "teepot",
        "trainer.max_steps=0: expected a number of at least 1",
        "training.learning_rate=-1: expected a number above 0",
        "training.templates=subject: expected one of object, style",
        "oracle",
        "evaluation.prompts has 'a photo'",
    ):
        assert any(part in line for line in told), (part, told)


def test_a_wrong_image_lists_the_right_ones():
    with pytest.raises(UserError, match=r"coffee_mug.*teapot"):
        check([composed("image=teepot")])


def test_two_runs_may_not_share_a_folder():
    with pytest.raises(UserError, match=r"outputs/default/teapot/caption/s0 would hold 2 runs"):
        check([composed(), composed("logger=csv")])


def test_only_what_the_frozen_model_must_share_keeps_runs_apart():
    alike = ["init=star", "image=cup", "seed=1", "training.learning_rate=1", "training.templates=style"]
    alike += ["init=text", "training.weight_decay=1", "training.flip=true", "init.source=recorded"]
    apart = ["trainer.max_steps=7", "training.batch_size=2", "model.precision=bf16", "evaluation.samples=3"]
    assert groups([composed(override) for override in alike]) == [("", list(range(len(alike))))]
    assert [indices for _, indices in groups([composed(), *map(composed, apart)])] == [[0], [1], [2], [3], [4]]


def test_groups_are_told_apart_by_what_differs():
    overrides = [("init=star",), ("model.precision=bf16", "seed=1"), ("init=class",), ("+trainer.precision=64",)]
    together = groups([composed(*given) for given in overrides])
    assert together == [
        ("model.precision=auto", [0, 2]),
        ("model.precision=bf16", [1]),
        ("model.precision=auto, trainer.precision=64", [3]),
    ]


def test_a_changed_configuration_is_noticed_but_where_it_runs_is_no_change():
    old = composed()
    assert changes(old, composed("training.weight_decay=0.1")) == ["training.weight_decay: 0.0 -> 0.1"]
    assert changes(old, composed("logger=csv", "trainer=cpu", "output_dir=elsewhere")) == []
