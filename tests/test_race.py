"""Many texts raced against each other: the run is the winner's, and the same command comes to the same bits."""

from itertools import accumulate

import pytest
from PIL import Image
from sweeping import SMALL, composed, configured, invert
from test_stopping import killed

import mti.race
from mti.checks import checked
from mti.initializers.ranked import Ranked, under
from mti.outputs import RunFolder
from mti.parts import Parts
from mti.plan import faults_of, placed
from mti.race import kept_at
from mti.schema import RunConfig
from mti.starts import starts_of
from mti.types import Guess, InitialText, PreparedConcept, UserError


class Fixed:
    """Says the same of every picture."""

    def __init__(self, name, *texts):
        self.name, self.texts = name, texts

    def __call__(self, picture):
        return [Guess(text, -float(i)) for i, text in enumerate(self.texts)]

    def release(self):
        """Nothing to let go of."""


def ranked(candidates=8, cuts=(1, 2)):
    captioner = Fixed("captioner", "a picture of a red cup", "a cup on a table", "a mug")
    return Ranked(captioner, Fixed("classifier", "cup", "mug", "..."), candidates, list(cuts))


def concept(**recorded):
    picture = Image.new("RGB", (8, 8))
    return PreparedConcept("cup", recorded, (picture,), picture)


def test_candidates_are_distinct_and_the_likeliest_come_first():
    found = ranked()(concept(caption="a blue cup", **{"class": "cup"}), str.split)
    texts = ["a red cup", "cup", "a blue cup", "* * *", "a cup on a table", "mug", "a mug"]
    assert [one.text for one in found.candidates] == texts
    assert found.text == "a red cup"
    assert [one.source for one in found.candidates][:4] == ["captioner", "classifier", "recorded", "captioner"]
    assert [one.text for one in ranked(candidates=2)(concept(), str.split).candidates] == ["a red cup", "cup"]


def test_the_label_of_the_classifier_comes_with_the_words_of_the_caption():
    captioner = Fixed("captioner", "a red kettle with two gold leaves on it")
    found = Ranked(captioner, Fixed("classifier", "teapot"), 8, [1])(concept(), str.split)
    assert [one.text for one in found.candidates][2] == "a red teapot with two gold leaves on it"


@pytest.mark.parametrize(
    ("caption", "label", "text"),
    [
        ("a red teapot with dots", "teapot", "a red teapot with dots"),
        ("a small dog", "cat", "a small cat"),
        ("mug", "coffee mug", "coffee mug"),
    ],
)
def test_only_the_noun_gives_way(caption, label, text):
    assert under(caption, label) == text


@pytest.mark.parametrize("cuts", [[], [5, 5], [9, 3]])
def test_cuts_that_are_no_steps_in_order_are_refused(cuts):
    with pytest.raises(UserError, match=r"init.cuts=.*expected steps in their order"):
        ranked(cuts=cuts)


@pytest.mark.parametrize(
    ("count", "left"), [(8, [4, 2, 1]), (5, [3, 2, 1]), (2, [1, 1, 1]), (9, [5, 3, 1]), (0, [0, 0, 0])]
)
def test_the_better_half_goes_on_and_the_last_cut_leaves_one(count, left):
    assert list(accumulate([False, False, True], kept_at, initial=count))[1:] == left


def test_all_candidates_have_equally_many_rows(tiny_sd):
    candidates = [InitialText(text, "given", text) for text in ("a", "a photo", "a photo of a")]
    text = InitialText("a", "given", "a", candidates=candidates)
    lengths = [len(tiny_sd.token_ids(one.text)) for one in candidates]
    found = starts_of(tiny_sd, text, 0, "cup")
    assert {len(start.token_ids) for _, start in found} == {max(lengths)}
    assert [one.text for one, _ in found] == ["a", "a photo", "a photo of a"]
    short = starts_of(tiny_sd, text, 0, "cup", num_vectors=lengths[1])
    assert [one.text for one, _ in short] == ["a", "a photo"]


def overrides(model):
    own = [one for one in SMALL if not one.startswith("init")]
    race = (
        "init=ranked",
        "init.candidates=4",
        "init.cuts=[1,3]",
        "init.num_vectors=4",
        "init.padding=spread",
        "trainer.max_steps=6",
        "evaluation.steps=[0,1,5]",
    )
    return [*own, *race, f"model.path={model}", "model.name=tiny"]


@pytest.fixture(scope="module")
def run(tiny_sd_folder):
    return lambda folder: configured(folder, *overrides(tiny_sd_folder))


def left(folder):
    found = RunFolder(folder)
    text, tokens = found.read_text()
    race = {name: value for name, value in text.details["race"].items() if name != "seconds"}
    return found.metrics(), found.read_tokens()[0].tolist(), found.sampled_steps(), text.text, tokens, race


@pytest.fixture(scope="module")
def whole(run, tmp_path_factory):
    """A run that nobody has killed."""
    folder = tmp_path_factory.mktemp("ranked") / "whole"
    assert invert([run(folder)])
    return folder


def test_the_run_is_the_winners_and_its_record_tells_the_race(whole):
    folder, (curves, _, pictures, text, tokens, race) = RunFolder(whole), left(whole)
    candidates = race["candidates"]
    winner = candidates[race["winner"]]
    assert folder.summary()["text"] == text == winner["text"]
    assert folder.summary()["steps"] == 6
    assert folder.summary()["pace"]["race"] == {
        "seconds": folder.read_text()[0].details["race"]["seconds"],
        "updates": 3,
    }
    assert len(candidates) == 4
    assert sorted(one["dropped"] or 0 for one in candidates) == [0, 1, 1, 3]
    assert race["updates"] == 4 * 1 + 2 * 2
    best = sorted(candidates, key=lambda one: one["losses"]["1"])
    assert {one["text"] for one in best[2:]} == {one["text"] for one in candidates if one["dropped"] == 1}
    assert winner["losses"]["3"] == min(one["losses"]["3"] for one in best[:2])
    assert list(curves["train/mse"]) == [0, 1, 2, 3, 4, 5]
    assert list(curves["eval/mse"]) == [0, 1, 5, 6]
    assert curves["eval/mse"][1] == winner["losses"]["1"]
    assert pictures == [5, 6]
    assert len(tokens) == len(folder.read_tokens()[0]) == len(folder.read_tokens(0)[0])


@pytest.mark.parametrize("moment", [0, 2])
def test_killed_and_resumed_is_as_if_nothing_had_happened(run, whole, tmp_path, monkeypatch, moment):
    """Where the race is to hand on its winner, and where the run has a checkpoint of its own."""
    killed(monkeypatch, [run(tmp_path / "run")], moment)
    assert invert([run(tmp_path / "run")])
    assert left(tmp_path / "run") == left(whole)


def test_a_race_that_is_over_is_not_run_again(run, whole, tmp_path, monkeypatch):
    """Though no checkpoint of the run itself is left."""
    killed(monkeypatch, [run(tmp_path / "run")], 1)
    monkeypatch.setattr(mti.race, "lightning_trainer", pytest.fail)
    assert invert([run(tmp_path / "run")])
    assert left(tmp_path / "run") == left(whole)


@pytest.mark.parametrize(
    ("override", "line"),
    [
        ("init.candidates=1", "init.candidates=1: expected"),
        ("init.cuts=[50,10]", "init.cuts=[50, 10]: expected steps in their order"),
        ("trainer.max_steps=50", "init.cuts has 50, past the end: expected steps below trainer.max_steps=50"),
    ],
)
def test_a_bad_value_is_one_line(override, line):
    config, faults = checked(composed("init=ranked", override, "image=teapot"), RunConfig)
    faults = faults or faults_of([placed(config)], Parts())
    assert [one for one in faults if one.startswith(line)] == faults[:1], faults
    assert len(faults) == 1
