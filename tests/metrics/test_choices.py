"""The yaml files: each is a metric, or several by name."""

from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from omegaconf import OmegaConf

from mti.types import Metric

CONF = Path(__file__).parents[2] / "conf"
ALL = sorted(path.stem for path in (CONF / "metrics").glob("*.yaml"))
DREAMBOOTH = {"clip_i", "clip_t", "dino"}
POCKET_PERSONALIZATION = {"clip_i_pocket", "clip_t_pocket", "dino_pocket", "followed_pocket"}
POCKET = POCKET_PERSONALIZATION | {"lpips_pocket", "lpips_pocket_thing", "sifid_pocket"}
PERSONALIZATION = DREAMBOOTH | POCKET_PERSONALIZATION


def metrics(*overrides):
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = compose("run", overrides=[*overrides, "hydra/launcher=basic"])
    return OmegaConf.to_container(config.metrics)


@pytest.mark.parametrize("name", ALL)
def test_every_choice_is_metrics_by_name(name):
    for key, node in metrics(f"metrics={name}").items():
        metric = instantiate(node)
        assert isinstance(metric, Metric)
        assert metric.name == key
        assert metric.prompt_set == ("personalization" if key in PERSONALIZATION else "reconstruction")
        assert metric.about == ("editability" if key.startswith(("clip_t", "followed")) else "fidelity")
        assert metric.wants_mask == key.endswith("_thing")
        assert metric.label != key


@pytest.mark.parametrize(
    ("choice", "names"),
    [
        ("none", set()),
        ("pocket", POCKET),
        ("paper", {"lpips", "sifid"}),
        ("dreambooth", DREAMBOOTH),
        ("lpips", {"lpips"}),
        ("[paper,dreambooth]", {"lpips", "sifid"} | DREAMBOOTH),
        ("[pocket,fid]", POCKET | {"fid"}),
        ("[none]", set()),
    ],
)
def test_one_choice_or_several(choice, names):
    assert set(metrics(f"metrics={choice}")) == names


def test_what_comes_along_lacks_nothing():
    for node in metrics("metrics=pocket").values():
        instantiate(node).check()
