from __future__ import annotations

from pathlib import Path

import pytest
import torch
from huggingface_hub import constants
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig

from mti.checks import checked
from mti.download import fetch, missing, needed_by
from mti.parts import Parts
from mti.schema import RunConfig
from mti.weights import Need

CONF = Path(__file__).parents[1] / "conf"


@pytest.fixture(autouse=True)
def nothing_is_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))


def needs(*overrides: str) -> list[Need]:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config: DictConfig = compose("run", list(overrides))
    run, faults = checked(config, RunConfig)
    assert run, faults
    return needed_by(run, Parts())


def test_the_pocket_suite_needs_nothing() -> None:
    assert needs() == []
    assert missing([]) is None


def test_all_that_a_run_reads_is_listed_once() -> None:
    found = needs("model=sd15", "metrics=[paper,dreambooth,fid]", "image=backpack", "click=[3,3]", "init=caption")
    assert [need.what for need in found] == [
        "the model sd15",
        "the captioner",
        *("torchvision's VGG16", "torchvision's Inception-v3", "CLIP", "DINO", "torch-fidelity's Inception-v3"),
        "the segmenter",
    ]
    assert not any(need.is_local for need in found)
    line = missing(found)
    assert line is not None
    assert line.startswith("to be downloaded, about 8 GB: the model sd15 (2.1 GB) from stable-diffusion-v1-5/")
    assert "`python -m mti.download` with the same settings" in line


def test_only_what_the_chosen_parts_read_is_listed() -> None:
    assert [need.what for need in needs("model=ldm256", "init=class", "metrics=none", "image=cup")] == [
        "the model ldm256",
        "the classifier",
    ]
    assert [need.what for need in needs("model=sd14", "init=star", "metrics=none", "image=cup")] == ["the model sd14"]


def test_what_is_there_is_not_fetched(tmp_path: Path) -> None:
    fetched: list[str] = []
    some = [Need(name, name, tmp_path, name == "b", lambda name=name: fetched.append(name)) for name in "abc"]
    fetch(some)
    assert fetched == ["a", "c"]
    assert missing([some[1]]) is None
