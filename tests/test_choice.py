"""The step to take tokens from: the rule against plain lists, what is refused, and a run that is chosen from."""

import math

import pytest
from hydra import initialize_config_dir
from sweeping import CONF, composed, invert, small

import mti
from mti.checks import checked
from mti.choice import Criterion, choosable, choose, chosen_step, step_of
from mti.errors import UserError
from mti.evaluation import is_personalized
from mti.export import export
from mti.export import main as export_main
from mti.generate import generate
from mti.library import _overrides
from mti.metrics.base import BaseMetric
from mti.outputs import RunFolder
from mti.parts import Parts
from mti.plan import faults_of, placed
from mti.schema import Choice, Evaluation, Generate, Personalization, RunConfig

STEPS = (0, 10, 25, 50)
DISTANCE, OBEDIENCE = Criterion("distance", 0.25, "lower"), Criterion("obedience", 0.6, "higher")
ASKED = ("evaluation.choice.fidelity={distance: 0.25}", "evaluation.choice.following={obedience: 0.6}")


def curves(**columns):
    """Columns by step; None is not measured."""
    lists = {"mse": [1.0] * len(STEPS), **columns}
    return {
        f"eval/{name}": {step: value for step, value in zip(STEPS, values, strict=True) if value is not None}
        for name, values in lists.items()
    }


# ---------------------------------------------------------------------------------------- the rule


@pytest.mark.parametrize(
    ("distances", "obediences", "step"),
    [
        ([0.4, 0.3, 0.2, 0.1], [0.9, 0.8, 0.7, 0.6], 25),  # the earliest of two, not the last or the most faithful
        ([0.2, 0.2, 0.2, 0.2], [0.9, 0.8, 0.7, 0.6], 0),
        ([0.4, 0.25, 0.2, 0.1], [0.9, 0.6, 0.7, 0.6], 10),  # at the level is enough
        ([0.4, 0.2, 0.3, 0.1], [0.9, 0.5, 0.7, 0.6], 50),  # each alone is not
        ([0.4, None, 0.2, 0.1], [0.9, 0.8, None, 0.6], 50),  # what was not measured is not reached
        ([0.4, math.nan, 0.2, 0.1], [0.9, 0.8, 0.8, 0.8], 25),
    ],
)
def test_the_step_is_the_earliest_that_is_faithful_and_obedient(distances, obediences, step):
    found = choose(curves(distance=distances, obedience=obediences), [DISTANCE, OBEDIENCE])
    assert found["step"] == step
    assert found["tokens"] == f"tokens/{step:05d}.safetensors"
    i = STEPS.index(step)
    assert found["values"] == {"distance": distances[i], "obedience": obediences[i]}
    assert found["levels"] == "distance at most 0.25 and obedience at least 0.6"


def test_the_direction_is_the_metrics_own():
    likeness = Criterion("likeness", 0.8, "higher")
    found = choose(curves(likeness=[0.5, 0.7, 0.8, 0.9], obedience=[0.9] * 4), [likeness, OBEDIENCE])
    assert found["step"] == 25


def test_a_step_that_was_not_evaluated_keeps_no_tokens_and_is_not_chosen():
    given = curves(distance=[0.4, 0.3, 0.3, 0.2], obedience=[0.9] * 4)
    given["eval/distance"][30] = given["eval/obedience"][30] = 0.0
    given["eval/obedience"][30] = 0.9
    assert choose(given, [DISTANCE, OBEDIENCE])["step"] == 50


@pytest.mark.parametrize(
    ("distances", "obediences", "nearest"),
    [
        ([0.4, 0.3, 0.2, 0.1], [0.6, 0.57, 0.3, 0.3], 10),  # short of 20 % and 5 % of the levels
        ([0.3, 0.3, 0.2, 0.2], [0.6, 0.6, 0.3, 0.3], 0),  # the earlier of equals
        ([0.5, 0.5, 0.26, math.nan], [0.9, 0.9, 0.45, 0.9], 25),
    ],
)
def test_if_no_step_qualifies_the_summary_says_so_with_the_nearest(distances, obediences, nearest):
    found = choose(curves(distance=distances, obedience=obediences), [DISTANCE, OBEDIENCE])
    i = STEPS.index(nearest)
    assert (found["step"], found["tokens"], found["nearest"]) == (None, None, nearest)
    assert found["values"] == {"distance": distances[i], "obedience": obediences[i]}
    assert found["reason"] == (
        "no evaluated step has distance at most 0.25 and obedience at least 0.6; "
        f"the nearest is step {nearest}: distance {distances[i]:.4g}, obedience {obediences[i]:.4g}"
    )


def test_what_was_not_measured_is_named():
    found = choose(curves(obedience=[0.9] * 4), [DISTANCE, OBEDIENCE])
    assert found["reason"].endswith("obedience at least 0.6: distance was not measured")
    apart = curves(distance=[0.1, None, None, None], obedience=[None, 0.9, 0.9, 0.9])
    assert choose(apart, [DISTANCE, OBEDIENCE])["reason"].endswith("they were measured at no step together")


def test_a_shortfall_is_a_share_of_the_level():
    assert DISTANCE.shortfall(0.30) == pytest.approx(0.2)
    assert OBEDIENCE.shortfall(0.57) == pytest.approx(0.05)
    assert Criterion("gain", 0.0, "higher").shortfall(-0.5) == 0.5
    assert Criterion("depth", -2.0, "lower").shortfall(-1.0) == 0.5


# --------------------------------------------------------------------------------- when it is judged


@pytest.mark.parametrize(
    ("choice", "named", "drawn"),
    [
        (None, [], []),
        (None, [5, 10], [5, 10]),
        ({"x": 0.1}, [], [0, 10, 20]),
        ({"x": 0.1}, [10, 15], [10, 15]),
    ],
)
def test_personalization_prompts_are_drawn_at_evaluated_steps_only_where_a_choice_is_asked_for(choice, named, drawn):
    evaluation = Evaluation(steps=[0, 10], choice=Choice(choice, choice))
    personalization = Personalization(steps=named)
    found = [s for s in range(21) if is_personalized(evaluation, personalization, s, s in (0, 10, 20))]
    assert found == drawn


# ------------------------------------------------------------------------------------ what is refused


class Scripted(BaseMetric):
    """Gives one value after the other, whatever it is shown."""

    measures = "nothing"
    better = "lower"

    def __init__(self, name: str, values: list[float]) -> None:
        super().__init__(name, None)
        self.values = list(values)

    def __call__(self, generated, reference, prompts):
        return {self.name: self.values.pop(0)}


class Obedience(Scripted):
    better = "higher"
    prompt_set = "personalization"


MEASURED = [
    "metrics=none",
    "+metrics.mine={_target_: test_choice.Scripted, name: distance, values: [9, 0.5, 0.3, 0.2]}",
    "+metrics.theirs={_target_: test_choice.Obedience, name: obedience, values: [0.9, 0.8, 0.7]}",
    "personalization.prompts=['a red {}']",
    "personalization.pictures=1",
]


def told(*overrides):
    """All that is wrong with a configuration, metrics included."""
    found, faults = checked(composed(*MEASURED, *overrides), RunConfig)
    assert found
    return faults + ([] if faults else faults_of([placed(found)], Parts()))


@pytest.mark.parametrize(
    ("overrides", "line"),
    [
        (
            ["evaluation.choice.fidelity={distanc: 0.25}", ASKED[1]],
            "evaluation.choice.fidelity={distanc: 0.25}: distanc is none that this run measures; "
            "there are distance, obedience (did you mean distance?)",
        ),
        (
            [ASKED[0], "evaluation.choice.following={distance: 0.25}"],
            "evaluation.choice.following={distance: 0.25}: distance measures no personalization prompts; "
            "there are obedience",
        ),
        (
            [*ASKED, "~metrics.theirs"],
            "evaluation.choice.following={obedience: 0.6}: obedience is none that this run measures; "
            "there is none in metrics=",
        ),
        (
            [ASKED[0]],
            "evaluation.choice.fidelity={distance: 0.25}: say evaluation.choice.following too, such as {clip_t: 0.3}",
        ),
        (
            [ASKED[1]],
            "evaluation.choice.following={obedience: 0.6}: say evaluation.choice.fidelity too, such as {lpips: 0.4}",
        ),
        (
            [ASKED[0], "evaluation.choice.following={obedience: much}"],
            "evaluation.choice.following.obedience=much: expected a number",
        ),
        (["evaluation.choice.fidelity=lpips"], "evaluation.choice.fidelity=lpips: expected keys with values or null"),
        (
            [*ASKED, "personalization.steps=[7]", "evaluation.steps=[0]"],
            "personalization.steps=[7]: evaluation.choice chooses among evaluated steps, and none of these is one; "
            "name some of evaluation.steps, or none for all of them",
        ),
        (
            [*ASKED, "personalization.prompts=[]"],
            "personalization.prompts=[]: evaluation.choice needs their pictures; give prompts, or no choice",
        ),
    ],
)
def test_a_mistake_is_told_in_one_line_before_anything_starts(overrides, line):
    assert told(*overrides)[0] == line


def test_without_a_choice_personalization_metrics_still_need_pictures():
    (line,) = told()
    assert line.startswith("metrics: theirs measures pictures of personalization.prompts, and none are drawn")
    assert told(*ASKED) == []


def test_a_metric_of_ones_own_says_its_direction_in_its_record():
    class Silent:
        def __call__(self, generated, reference, prompts):
            return {}

    class Glow(Silent):
        def record(self):
            return {"values": {"glow": {"better": "higher"}, "hue": {"better": ""}}}

    assert choosable([Glow(), Silent()]) == {"glow": ("higher", "reconstruction")}


# --------------------------------------------------------------------------------------- a whole run


@pytest.fixture(scope="module")
def run(tiny_sd_folder, tmp_path_factory):
    """A run of 4 steps, evaluated at 0, 2 and 4: faithful enough from step 4 on, obedient all the while."""
    path = tmp_path_factory.mktemp("chosen")
    assert invert([small(path, tiny_sd_folder, *MEASURED, *ASKED)])
    return RunFolder(path)


def test_the_summary_names_the_step_and_its_tokens(run):
    assert run.summary()["choice"] == {
        "step": 4,
        "tokens": "tokens/00004.safetensors",
        "levels": "distance at most 0.25 and obedience at least 0.6",
        "values": {"distance": 0.2, "obedience": 0.7},
    }
    assert (run.path / "tokens/00004.safetensors").is_file()
    assert run.personalized_steps() == [0, 2, 4]
    assert "choice" not in run.summary()["protocol"]


def test_tokens_of_the_chosen_step_are_drawn_with_and_exported(run, tmp_path, capsys):
    run.write_summary({**run.summary(), "choice": {"step": 2}})
    assert mti.load(run.path).chosen_step == 2
    with initialize_config_dir(CONF, version_base="1.3"):
        folders = [
            generate(Generate(str(run.path), "a {}", pictures=1, device="cpu", step=step, output=str(tmp_path / name)))
            for step, name in (("chosen", "chosen"), (2, "two"), (None, "end"))
        ]
    chosen, two, end = ((folder.parent / "0.png").read_bytes() for folder in folders)
    assert chosen == two != end
    assert '"step": 2' in (tmp_path / "chosen" / "request.json").read_text()
    export_main([f"run={run.path}", "to=a1111", "step=chosen", f"output={tmp_path}"])
    assert capsys.readouterr().out.strip() == str(tmp_path / "teapot-text-2.pt")
    assert [path.name for path in export(run.path, "a1111", tmp_path)] == ["teapot-text.pt"]


@pytest.mark.parametrize(
    ("summary", "line"),
    [
        ({}, "step=chosen: .* has no chosen step: say what is enough in evaluation.choice"),
        ({"choice": {"step": None, "reason": "no evaluated step has it"}}, "step=chosen: .*: no evaluated step has it"),
        ({"choice": {"step": "../x"}}, "step=chosen: .*: no step qualified"),
        ({"choice": {"step": 3}}, "step=3: .* keeps tokens of no step but the last"),
    ],
)
def test_where_there_is_no_chosen_step_nothing_else_is_taken(tmp_path, summary, line):
    folder = RunFolder(tmp_path)
    folder.write_summary(summary)
    with pytest.raises(UserError, match=line):
        step_of(folder, "chosen")
    assert step_of(folder, None) is None


def test_a_program_gives_the_levels_as_mappings():
    choice = {"fidelity": {"lpips": 0.3, "clip_i": 0.8}, "following": {"followed_pocket/thing": 0.5}}
    found, faults = checked(composed(*_overrides({"evaluation": {"choice": choice}})), RunConfig)
    assert not faults
    assert found.evaluation.choice == Choice(**choice)


def test_an_export_of_no_step_is_refused(run, capsys):
    with pytest.raises(SystemExit):
        export_main([f"run={run.path}", "to=a1111", "step=last"])
    assert capsys.readouterr().err == "mti: step=last: expected a whole number of at least 0, or chosen\n"


def test_a_run_in_which_no_step_is_good_enough_finishes_and_says_so(tiny_sd_folder, tmp_path, caplog):
    never = ["evaluation.choice.fidelity={distance: 0.1}", ASKED[1]]
    assert invert([small(tmp_path, tiny_sd_folder, *MEASURED, *never)])
    found = RunFolder(tmp_path).summary()["choice"]
    assert (found["step"], found["nearest"]) == (None, 4)
    assert found["reason"] in caplog.text
    with pytest.raises(UserError, match="the nearest is step 4"):
        chosen_step(RunFolder(tmp_path))
