"""Jobs of a multirun composed once for each choice of groups: exactly as Hydra composes each of them."""

import pytest
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import OmegaConf
from sweeping import CONF

from hydra_plugins.mti_fused_launcher.composing import ComposedOnce


@pytest.fixture
def loader():
    with initialize_config_dir(CONF, version_base="1.3", job_name="run"):
        yield GlobalHydra.instance().config_loader()


def plain(config):
    return OmegaConf.to_container(config, resolve=False)


def master(loader, *overrides):
    return loader.load_configuration("run", list(overrides), RunMode.MULTIRUN)


JOBS = [
    ["image=cup", "init=star", "seed=1"],
    ["image=bird", "init=star", "seed=2"],
    ["init=cross", "init@init.inner=class", "training.learning_rate=0.1", "seed=3"],
    ["seed=4", "recipe=fast", "training.batch_size=2"],
    ["experiment=smoke", "experiment.name=own", "stop=variance", "stop.below=0.3"],
    ["evaluation.steps=[0,5]", "click=[3,4]", "training.templates=['a photo of {}']"],
    ["+note=hello", "seed=5"],
    ["~training.flip", "seed=6"],
    ["evaluation.choice={fidelity:{lpips:0.3}}", "seed=7"],
]


def test_jobs_are_what_hydra_makes_of_them(loader):
    start = master(loader, "image=teapot,cup", "hydra.verbose=true")
    once = ComposedOnce(loader)
    for job in [*JOBS, *JOBS]:
        assert plain(once.load_sweep_config(start, job)) == plain(loader.load_sweep_config(start, job)), job


def test_a_job_is_none_of_the_others(loader):
    once, start = ComposedOnce(loader), master(loader)
    first = once.load_sweep_config(start, ["seed=1"])
    first.training.batch_size = 99
    assert once.load_sweep_config(start, ["seed=2"]).training.batch_size == 4


def test_hydra_is_asked_once_for_each_choice(loader):
    asked = []

    class Counting:
        def load_sweep_config(self, start, overrides):
            asked.append(overrides)
            return loader.load_sweep_config(start, overrides)

        def __getattr__(self, name):
            return getattr(loader, name)

    once, start = ComposedOnce(Counting()), master(loader)
    for seed in range(5):
        for init in ("star", "class"):
            once.load_sweep_config(start, [f"init={init}", f"seed={seed}"])
    assert asked == [["init=star"], ["init=class"]]


@pytest.mark.parametrize("mistake", ["sed=3", "init=nothing", "training.nothing=3", "seed@x=3"])
def test_a_mistake_is_hydras_to_tell(loader, mistake):
    once, start = ComposedOnce(loader), master(loader)
    with pytest.raises(HydraException) as found:
        once.load_sweep_config(start, ["image=cup", mistake])
    with pytest.raises(HydraException) as expected:
        loader.load_sweep_config(start, ["image=cup", mistake])
    assert str(found.value) == str(expected.value)
