"""Multiruns: what a run owes to its company (nothing), and what befalls the others when one fails (nothing)."""

import gc
import logging
import random
import time
import weakref

import pytest
import torch
from PIL import Image
from sweeping import invert, small

from mti import prepare, train
from mti.concepts.prepared import prepare_concept
from mti.errors import UserError
from mti.initializers.text import Text
from mti.inversion import TextualInversion
from mti.models.pretrained import PretrainedModel
from mti.outputs import RunFolder

JOBS = [
    ("image=teapot",),
    ("image=teapot", "seed=1", "training.learning_rate=0.02"),
    ("image=cup", "init.text='the red cat'", "training.weight_decay=0.1"),
    ("image=cup", "init=star", "init.text=null", "seed=2"),
    ("image=bird", "init.text='a good red teapot'", "training.flip=true", "training.max_grad_norm=0.01"),
    ("image=bird", "init=class", "init.text=null", "init.source=recorded"),
]


def multirun(root, model, jobs, *overrides):
    """The jobs' configurations, each with a folder of its number."""
    return [small(root / str(number), model, *JOBS[number], *overrides) for number in jobs]


def curves(root, number):
    return RunFolder(root / str(number)).metrics()


def assert_same(these, others):
    assert these.keys() == others.keys()
    for name, curve in these.items():
        assert curve == pytest.approx(others[name], rel=1e-3), name


@pytest.fixture(scope="module")
def alone(tiny_sd_folder, tmp_path_factory):
    """Each job trained by itself, as `hydra/launcher=basic` does."""
    root = tmp_path_factory.mktemp("alone")
    for number in range(len(JOBS)):
        assert invert(multirun(root, tiny_sd_folder, [number]))
    return root


@pytest.mark.parametrize("draw", range(4))
def test_a_run_does_not_depend_on_its_company(tiny_sd_folder, tmp_path, alone, draw):
    """Random jobs in a random order and in chunks of a random size give the curves that each gives alone."""
    chance = random.Random(draw)
    jobs = chance.sample(range(len(JOBS)), chance.randint(2, len(JOBS)))
    at_once = chance.choice(["null", *range(1, len(jobs) + 1)])
    assert invert(multirun(tmp_path, tiny_sd_folder, jobs, f"training.runs_at_once={at_once}"))
    for number in jobs:
        assert_same(curves(tmp_path, number), curves(alone, number))


def test_jobs_that_cannot_share_are_grouped_and_the_log_says_how(tiny_sd_folder, tmp_path, alone, caplog):
    configs = [
        small(tmp_path / "0", tiny_sd_folder, *JOBS[0]),
        small(tmp_path / "longer", tiny_sd_folder, "trainer.max_steps=5"),
        small(tmp_path / "1", tiny_sd_folder, *JOBS[1]),
    ]
    caplog.set_level(logging.INFO)
    assert invert(configs)
    assert "group 1 of 2: trainer.max_steps=4; runs: 2" in caplog.text
    assert "group 2 of 2: trainer.max_steps=5; runs: 1" in caplog.text
    for number in (0, 1):
        assert_same(curves(tmp_path, number), curves(alone, number))


def test_out_of_memory_halves_the_chunk_and_goes_on(tiny_sd_folder, tmp_path, alone, monkeypatch, caplog):
    """Also in the middle: the halves go on from the last checkpoints."""
    real, sizes = TextualInversion.training_step, []

    def short(module, batch):
        step = module.step(0)
        if step == 3 and len(module.runs) > 1:
            raise torch.OutOfMemoryError("injected")
        sizes.append((step, len(module.runs)))
        return real(module, batch)

    monkeypatch.setattr(TextualInversion, "training_step", short)
    assert invert(multirun(tmp_path, tiny_sd_folder, range(4)))
    assert caplog.text.count("out of memory with 4 runs at once: going on with half as many") == 1
    assert caplog.text.count("out of memory with 2 runs at once: going on with half as many") == 1
    assert [size for step, size in sizes if step == 0] == [4]
    assert [size for step, size in sizes if step == 3] == [1] * 4
    for number in range(4):
        assert_same(curves(tmp_path, number), curves(alone, number))


def test_a_run_that_does_not_even_fit_alone_says_what_to_do(tiny_sd_folder, tmp_path, monkeypatch):
    def short(module, step):
        raise RuntimeError("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory: injected")

    monkeypatch.setattr(TextualInversion, "training_step", short)
    assert not invert(multirun(tmp_path, tiny_sd_folder, range(2)))
    for number in range(2):
        summary = RunFolder(tmp_path / str(number)).summary()
        assert summary["status"] == "failed"
        assert summary["reason"].startswith("out of memory with one sample of this run alone: try ")


def test_a_run_that_fits_with_fewer_samples_at_once_has_the_same_curve(
    tiny_sd_folder, tmp_path, alone, monkeypatch, caplog
):
    real = TextualInversion.training_step

    def short(module, step):
        if len(module.runs) > 1 or module.samples_at_once != 1:
            raise torch.OutOfMemoryError("injected")
        return real(module, step)

    monkeypatch.setattr(TextualInversion, "training_step", short)
    assert invert(multirun(tmp_path, tiny_sd_folder, range(2)))
    assert caplog.text.count("out of memory with one run: going on with 1 of 2 samples at once") == 1
    for number in range(2):
        assert_same(curves(tmp_path, number), curves(alone, number))


def broken_training(monkeypatch, tmp_path):
    real = TextualInversion.training_step

    def step(module, number):
        if any(run.seed == 7 for run in module.runs):
            raise ValueError("injected")
        return real(module, number)

    monkeypatch.setattr(TextualInversion, "training_step", step)
    return ["seed=7"], "ValueError: injected"


def no_number(monkeypatch, tmp_path):
    return ["training.learning_rate=1e30"], "non-finite"


def broken_picture(monkeypatch, tmp_path):
    def prepared(concept, *given):
        if concept.name == "ruined":
            raise UserError("ruined.png cannot be read")
        return prepare_concept(concept, *given)

    path = tmp_path / "ruined.png"
    Image.new("RGB", (32, 32), "red").save(path)
    monkeypatch.setattr(prepare, "prepare_concept", prepared)
    return [f"image={path}"], "ruined.png cannot be read"


def refused_prompt(monkeypatch, tmp_path):
    return [f"init.text='{'photo ' * 30}'"], "shorten the prompt or the initial text"


def failed_download(monkeypatch, tmp_path):
    return [
        *("dataset=dreambooth", f"dataset.url=file://{tmp_path}", f"dataset.cache={tmp_path}/cache", "image=backpack")
    ], "cannot download"


def broken_perception(monkeypatch, tmp_path):
    real = Text.__call__

    def look(self, concept, tokenize):
        if self.text == "boom":
            raise ZeroDivisionError("injected")
        return real(self, concept, tokenize)

    monkeypatch.setattr(Text, "__call__", look)
    return ["init.text=boom"], "ZeroDivisionError: injected"


FAILURES = [broken_training, no_number, broken_picture, refused_prompt, failed_download, broken_perception]


@pytest.mark.parametrize("failure", FAILURES, ids=lambda failure: failure.__name__)
def test_a_run_fails_alone_and_with_its_reason(tiny_sd_folder, tmp_path, alone, monkeypatch, capsys, failure):
    overrides, reason = failure(monkeypatch, tmp_path)
    bad = small(tmp_path / "bad", tiny_sd_folder, *overrides)
    first, second = multirun(tmp_path, tiny_sd_folder, [0, 2])
    assert not invert([first, bad, second])
    summary = RunFolder(tmp_path / "bad").summary()
    assert summary["status"] == "failed"
    assert reason in summary["reason"]
    for number in (0, 2):
        assert_same(curves(tmp_path, number), curves(alone, number))
    table = capsys.readouterr().out
    assert (table.count("finished"), table.count("failed")) == (2, 1)


def test_a_model_that_is_not_to_be_had_ends_its_group_alone(tiny_sd_folder, tmp_path, monkeypatch):
    real, loads = PretrainedModel.load, []

    def load(model):
        loads.append(model)
        if len(loads) == 2:
            raise UserError("model.path=absent/absent cannot be reached")
        return real(model)

    monkeypatch.setattr(PretrainedModel, "load", load)
    configs = multirun(tmp_path, tiny_sd_folder, [0])
    configs.append(small(tmp_path / "bad", tiny_sd_folder, "model.name=absent"))
    assert not invert(configs)
    assert RunFolder(tmp_path / "0").finished
    assert "cannot be reached" in RunFolder(tmp_path / "bad").summary()["reason"]


def test_a_run_whose_folder_is_in_use_is_left_alone_and_the_others_are_trained(
    tiny_sd_folder, tmp_path, capsys, caplog
):
    configs = multirun(tmp_path, tiny_sd_folder, [0, 1])
    with RunFolder(tmp_path / "1").locked():
        assert not invert(configs)
    assert "1 is in use by process" in caplog.text
    assert "not begun" in capsys.readouterr().out
    assert RunFolder(tmp_path / "0").finished
    assert not (tmp_path / "1" / "config.yaml").exists()
    assert invert(configs)


def test_finished_runs_are_skipped_and_only_the_rest_is_trained(tiny_sd_folder, tmp_path, caplog, monkeypatch):
    assert invert(multirun(tmp_path, tiny_sd_folder, [1]))
    caplog.set_level(logging.INFO)
    assert invert(multirun(tmp_path, tiny_sd_folder, [0, 1]))
    assert caplog.text.count("finished before, skipped") == 1


def test_more_steps_continue_a_run_as_if_it_had_them_from_the_beginning(tiny_sd_folder, tmp_path):
    jobs = [0, 1]
    assert invert(multirun(tmp_path / "long", tiny_sd_folder, jobs, "trainer.max_steps=8"))
    assert invert(multirun(tmp_path / "short", tiny_sd_folder, jobs))
    assert invert(multirun(tmp_path / "short", tiny_sd_folder, jobs, "trainer.max_steps=8"))
    for number in jobs:
        ours, theirs = RunFolder(tmp_path / "short" / str(number)), RunFolder(tmp_path / "long" / str(number))
        assert ours.metrics()["train/mse"] == theirs.metrics()["train/mse"]
        assert torch.equal(ours.read_tokens()[0], theirs.read_tokens()[0])


def test_a_picture_that_vanishes_while_training_is_not_missed(tiny_sd_folder, tmp_path, monkeypatch):
    path = tmp_path / "gone.png"
    Image.new("RGB", (32, 32), "red").save(path)
    real = TextualInversion.training_step

    def step(module, number):
        path.unlink(missing_ok=True)
        return real(module, number)

    monkeypatch.setattr(TextualInversion, "training_step", step)
    assert invert([small(tmp_path / "run", tiny_sd_folder, f"image={path}")])


def test_a_full_disk_under_one_folder_ends_that_run_alone(tiny_sd_folder, tmp_path, monkeypatch):
    real = RunFolder.save_state

    def save_state(folder, *given):
        if folder.path.name == "0":
            raise UserError(f"{folder.path} cannot be written (No space left on device)")
        return real(folder, *given)

    monkeypatch.setattr(RunFolder, "save_state", save_state)
    assert not invert(multirun(tmp_path, tiny_sd_folder, [0, 1]))
    assert "No space left" in RunFolder(tmp_path / "0").summary()["reason"]
    assert RunFolder(tmp_path / "1").finished


def test_pictures_are_decoded_and_described_once_for_all_runs_of_a_concept(tiny_sd_folder, tmp_path, monkeypatch):
    decoded = []

    def prepared(concept, *given):
        decoded.append(concept.name)
        return prepare_concept(concept, *given)

    monkeypatch.setattr(prepare, "prepare_concept", prepared)
    assert invert(multirun(tmp_path, tiny_sd_folder, range(4)))
    assert sorted(decoded) == ["cup", "teapot"]


def test_a_summary_tells_the_seconds_of_perception_and_of_an_update(tiny_sd_folder, tmp_path, monkeypatch):
    """On a clock that moves by a second for each picture that is prepared, and by 6 for each update of a batch."""
    now = [0.0]

    def prepared(*given):
        now[0] += 1
        return prepare_concept(*given)

    def training_step(module, step):
        now[0] += 6
        return real(module, step)

    real = TextualInversion.training_step
    monkeypatch.setattr(prepare, "prepare_concept", prepared)
    monkeypatch.setattr(TextualInversion, "training_step", training_step)
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])
    assert invert(multirun(tmp_path, tiny_sd_folder, range(3), "training.runs_at_once=3"))
    paces = [RunFolder(tmp_path / str(i)).summary()["pace"] for i in range(3)]
    assert paces == [{"perception": 1, "update": 2, "runs_at_once": 3}] * 3


def test_nothing_of_a_batch_stays_in_memory(tiny_sd_folder, tmp_path, monkeypatch):
    """When a batch begins, the module of the one before is gone."""
    modules = []

    class Watched(TextualInversion):
        def __init__(self, *given):
            gc.collect()
            assert [module() for module in modules] == [None] * len(modules)
            super().__init__(*given)
            modules.append(weakref.ref(self))

    monkeypatch.setattr(train, "TextualInversion", Watched)
    assert invert(multirun(tmp_path, tiny_sd_folder, [0, 1, 2], "training.runs_at_once=1"))
    assert len(modules) == 3
