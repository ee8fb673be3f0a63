"""Where runs go, what is wrong with them, and what is done already."""

from pathlib import Path

import pytest
from sweeping import configured

from mti.parts import Parts
from mti.plan import changes, faults_of
from mti.schema import plain


def placed(*overrides):
    return configured(None, *overrides)


def folder(*overrides):
    return placed(*overrides).folder


def test_the_folder_names_experiment_image_initializer_and_seed():
    assert folder("image=cup", "init=star", "seed=3") == "outputs/default/cup/star/s3"
    assert folder("experiment.name=mine", "logger=csv", "trainer=cpu") == "outputs/mine/teapot/caption/s0"


def test_every_setting_that_changes_the_result_is_part_of_the_name():
    found = placed("training.learning_rate=0.1", "trainer.max_steps=7", "evaluation.batch_size=9", "model=sd15")
    assert found.folder == "outputs/default/teapot/caption/s0+model-sd15+training.learning_rate-0.1"
    assert found.settings == "model=sd15, training.learning_rate=0.1"
    assert found.title == "teapot, caption, seed 0, model=sd15, training.learning_rate=0.1"


def test_a_group_of_which_one_setting_changes_the_result_is_part_of_the_name():
    assert folder("metrics=[pocket]", "trainer=cpu", "model.compile=true").endswith("/s0+metrics-pocket")


def test_texts_make_safe_and_distinct_folders():
    one, other = folder("init=text", "init.text='a/b c'"), folder("init=text", "init.text='a/b_c'")
    assert one != other
    assert one.startswith("outputs/default/teapot/text/s0+init.text-")
    assert one.count("/") == 4


def test_clicks_make_folders_of_their_own():
    names = ["click=[30,30]", "click=[3,30]", "click=[[30,30]]", "box=[1,2,30,40]", "crop=pad"]
    assert len({folder(), *map(folder, names)}) == 6


def test_what_is_only_downloaded_is_no_other_run():
    real = ["segmenter=sam_vit_b", "click=[30,30]"]
    more = [*real, "download=true"]
    assert folder(*more) == folder(*real)
    assert changes(plain(placed(*real)), placed(*more)) == []


def test_a_run_that_was_begun_before_there_was_a_setting_has_its_default():
    old = plain(placed())
    del old["optimizer"], old["training"]["schedule"], old["init"]["num_vectors"]
    assert changes(old, placed()) == []
    assert changes(old, placed("init.num_vectors=20")) == ["init.num_vectors: null -> 20"]


def test_pictures_of_one_name_in_two_places_have_two_folders():
    assert folder("image=a/mug.png") != folder("image=b/mug.png")


@pytest.mark.parametrize("image", ["./a/mug.png", "b/../a/mug.png", "a//mug.png"])
def test_one_picture_has_one_folder_however_it_is_spelled(image):
    assert folder(f"image={image}") == folder("image=a/mug.png")


def test_folders_can_be_typed_without_quotes():
    for name in ("Tasse grün.png", "茶壶.png", "it's.png", "mug (1), red=2.png", "[old] cup.png"):
        path = folder(f"image={name!r}".replace('"', "'").replace("it's", r"it\'s"))
        assert all(letter.isascii() and (letter.isalnum() or letter in "/._+-") for letter in path)


def test_a_long_name_is_cut_but_stays_distinct():
    folders = [folder("init=text", f"init.text={'x' * 300}{end}") for end in "ab"]
    assert folders[0] != folders[1]
    assert all(len(Path(one).name) < 200 for one in folders)


@pytest.mark.parametrize("model", ["sd14", "sd15", "sd21", "sd21_base"])
def test_a_model_brings_what_belongs_to_it_and_each_can_be_overridden(model):
    config = placed(f"model={model}")
    assert "paper" in config.dataset["cache"]
    assert config.captioner["path"] != "pocket:captioner"
    assert config.trainer.max_steps == 5000
    assert config.segmenter["architecture"] == "vit_h"
    config = placed(f"model={model}", "dataset=pocket", "captioner=pocket", "trainer.max_steps=9")
    assert config.captioner["path"] == "pocket:captioner"
    assert config.trainer.max_steps == 9


def test_all_faults_of_all_runs_are_found():
    configs = [
        placed("click=[300,1]", "metrics=[pocket,clip_t]"),
        placed("image=teepot"),
        placed("init=class", "init.text=mug", "click=[1]"),
    ]
    told = faults_of(configs, Parts())
    assert len(told) == 6
    for part in (
        "click=[300,1] is out of the picture",
        "metrics: clip_t: ",
        "metrics: clip_t measures pictures of personalization.prompts, and none are drawn",
        "teepot",
        "init.text=mug: init=caption, class takes no text",
        "click=[1]: expected a point",
    ):
        assert any(part in line for line in told), (part, told)


def test_a_wrong_image_lists_the_right_ones():
    (fault,) = faults_of([placed("image=teepot")], Parts())
    assert "did you mean teapot?" in fault
    assert "coffee_mug" in fault


def test_two_runs_may_not_share_a_folder():
    (fault,) = faults_of([placed(), placed("logger=csv")], Parts())
    assert fault.startswith("outputs/default/teapot/caption/s0 would hold 2 runs")


def test_a_changed_configuration_is_noticed_but_where_it_runs_is_no_change():
    old = plain(placed())
    assert changes(old, placed("training.weight_decay=0.1")) == ["training.weight_decay: 0.0 -> 0.1"]
    assert changes(old, placed("logger=csv", "trainer=cpu", "output_dir=elsewhere", "trainer.max_steps=900")) == []
