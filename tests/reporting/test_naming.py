import pytest
from run_folders import begin, finish

from mti.reporting.collection import collect
from mti.reporting.naming import concept_names, shortest
from mti.reporting.provenance import warnings
from mti.types import UserError


def concepts(root):
    return {run.folder.path.relative_to(root).parts[0]: run.concept for run in collect(root).runs}


def series(root):
    return [one.label for one in collect(root).series]


def came(path, sha256="0" * 64, **choices):
    return {"concept": {"name": "x", "path": path, "sha256": sha256}, "choices": choices}


def test_one_concept_in_one_picture_or_several_is_one_concept(tmp_path):
    for number, sha256 in ((1, "a" * 64), (4, "b" * 64)):
        for init in ("star", "caption"):
            folder = tmp_path / f"{init}-{number}"
            finish(folder, "mug", init, dataset={"pictures": number}, came=came("/x/mug/0.png", sha256))
    assert set(concepts(tmp_path).values()) == {"mug"}
    assert series(tmp_path) == [
        *("star dataset.pictures=1", "star dataset.pictures=4"),
        *("caption dataset.pictures=1", "caption dataset.pictures=4"),
    ]
    (warning,) = [line for line in warnings(collect(tmp_path).runs) if "pictures" in line]
    assert warning.startswith("the runs of a concept differ in dataset.pictures: a loss is that of the pictures")


def test_the_shortest_name_that_tells_apart():
    assert shortest({1: ["a", "x/a"], 2: ["a", "y/a"], 3: ["b", "x/b"]}) == {1: "x/a", 2: "y/a", 3: "b"}
    assert shortest({1: ["a"], 2: ["a"], 3: ["a"]}) == {1: "a", 2: "a (2)", 3: "a (3)"}
    assert shortest({}) == {}


@pytest.mark.parametrize(
    ("images", "names"),
    [
        (["a/01.png", "b/01.png"], ["a/01", "b/01"]),
        (["mug.v1", "mug.v2"], ["mug.v1", "mug.v2"]),
        (["01", "1"], ["01", "1"]),
        (["no", False], ["no", "false"]),
        (["mug.png", "mug.jpg"], ["mug.png", "mug.jpg"]),
        (["/home/me/x/mug.png", "/home/me/y/mug.png", "cup"], ["x/mug", "y/mug", "cup"]),
        (["coffee_mug", "tea cup"], ["coffee mug", "tea cup"]),
        (["coffee_mug", "coffee mug"], ["coffee_mug", "coffee mug"]),
    ],
)
def test_pictures_are_told_apart_as_their_configurations_are_written(tmp_path, images, names):
    for i, image in enumerate(images):
        finish(tmp_path / str(i), "x", "star", settings={"image": image})
    assert list(concepts(tmp_path).values()) == names


def test_what_was_typed_is_no_setting(tmp_path):
    for image in ("cup", "bird"):
        filled_in = {"overrides": [f"image={image}"], "choices": {"dataset": image}, "settings": image}
        finish(tmp_path / image, image, "star", settings=filled_in)
    assert series(tmp_path) == ["star"]


def test_the_same_picture_by_another_spelling_is_one(tmp_path):
    finish(tmp_path / "a", "x", "star", settings={"image": "t.png"}, came=came("/p/t.png"))
    finish(tmp_path / "b", "x", "caption", settings={"image": "sub/../t.png"}, came=came("/p/t.png"))
    finish(tmp_path / "c", "x", "class", settings={"image": "t.png"})  # without a record: the one that is called so
    assert set(concepts(tmp_path).values()) == {"t"}


def test_other_pictures_under_the_same_name_are_others(tmp_path):
    finish(tmp_path / "a", "x", "star", settings={"image": "t.png"}, came=came("/p/t.png", "ab" * 32))
    finish(tmp_path / "b", "x", "star", settings={"image": "t.png"}, came=came("/p/t.png", "cd" * 32))
    assert sorted(concepts(tmp_path).values()) == ["t.png ababab", "t.png cdcdcd"]


def test_names_of_pictures_grow_from_the_right():
    assert concept_names("../a/./01.png", "", "")[:4] == ["01", "01.png", "a/01", "a/01.png"]
    assert concept_names("mug.v1", "", "") == ["mug.v1"]
    assert concept_names("...", "", "")[0] == "..."


def test_runs_of_a_sweep_are_named_by_what_differs(tmp_path):
    for rate in (0.01, 0.001):
        training = {"learning_rate": rate, "batch_size": 4, "runs_at_once": int(1 / rate)}
        finish(tmp_path, "cup", "star", name=f"+{rate}", training=training, output_dir=str(rate))
    assert series(tmp_path) == ["training.learning_rate=0.001", "training.learning_rate=0.01"]
    finish(tmp_path, "cup", "caption", training=training)
    assert series(tmp_path)[-1] == "caption training.learning_rate=0.001"


def test_initializers_alone_are_named_by_themselves(tmp_path):
    for init in ("star", "class"):
        finish(
            tmp_path,
            "cup",
            init,
            settings={"init": {"name": init, "initializer": {"_target_": f"mti.{init}", "text": "*"}}},
        )
    assert series(tmp_path) == ["star", "class"]


def test_texts_of_one_initializer_are_told_apart(tmp_path):
    for text in ("a mug", "a cup"):
        finish(tmp_path, "cup", "caption", name=text, settings={"init": {"name": "text", "text": text}})
    assert series(tmp_path) == ["init.text=a cup", "init.text=a mug"]


def test_a_choice_stands_for_all_that_it_sets(tmp_path):
    for name in ("blip", "git"):
        captioner = {"_target_": f"mti.{name}", "path": f"hub/{name}", "beams": len(name)}
        init = {"name": "caption", "initializer": {"captioner": captioner}}
        record = came("/p/cup.png", captioner=name, init="caption", dataset="pocket")
        finish(tmp_path, "cup", "caption", name=name, captioner=captioner, settings={"init": init}, came=record)
    assert series(tmp_path) == ["captioner=blip", "captioner=git"]


def test_a_click_that_belongs_to_the_picture_is_no_setting_but_two_of_one_picture_are(tmp_path):
    finish(tmp_path, "cup", "star", click=[1, 2])
    finish(tmp_path, "mug", "star", click=[3, 4])
    assert series(tmp_path) == ["star"]
    finish(tmp_path, "mug", "star", name="+click", click=[5, 6])
    finish(tmp_path, "cup", "star", name="+click", click=[5, 6])
    with pytest.raises(UserError, match="nothing can be compared"):
        series(tmp_path)


def test_precision_is_no_setting_as_long_as_runs_are_told_apart_without_it(tmp_path):
    finish(tmp_path, "cup", "star", trainer={"precision": "fp32"})
    finish(tmp_path, "mug", "star", trainer={"precision": "bf16"})
    assert series(tmp_path) == ["star"]
    finish(tmp_path, "mug", "star", name="+fp32", trainer={"precision": "fp32"})
    assert "trainer.precision=bf16" in [one.label for one in collect_all(tmp_path)]


def collect_all(root):
    """The series, where nothing has to be comparable."""
    begin(root, "cup", "star", name="+bf16", trainer={"precision": "bf16"}).write_summary({"status": "finished"})
    return collect(root).series


def test_long_values_are_shortened_as_far_as_they_stay_apart(tmp_path):
    for end in ("red", "blue"):
        text = "a mug " * 20 + end
        finish(tmp_path, "cup", "caption", name=end, settings={"init": {"name": "text", "text": text}})
    assert sorted(label[-4:] for label in series(tmp_path)) == ["blue", " red"][::-1]
