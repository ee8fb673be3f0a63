"""What README, docs and experiments show is true: commands compose, snippets run, links lead somewhere."""

import importlib
import importlib.util
import re
import shlex
from itertools import zip_longest
from pathlib import Path

import hydra
import pytest
import torch
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig

from mti.checks import checked
from mti.cli import COMMANDS
from mti.command_line import CONF
from mti.concepts.prepared import prepare_concept
from mti.literals import literal
from mti.parts import Parts
from mti.rows import Vocabulary
from mti.run import configured
from mti.schema import Generate, RunConfig

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), *sorted((ROOT / "experiments").glob("*/README.md"))]
LINE = re.compile(r"^ {4}(?:mti|python -m mti\.)(.*)$", re.MULTILINE)
SHIPPED = {
    "model": {"pocket"},
    "refiner": {"none"},
    "hydra/launcher": {"fused"},
    "metrics": {"none", "pocket"},
}


def commands(*names):
    """The lines of all pages that start one of the commands, each once, by the first page that has it."""
    found = {}
    for page in PAGES:
        for line in LINE.findall(page.read_text()):
            words = shlex.split(line, comments=True)
            if words[0] in names:
                about = f"{page.relative_to(ROOT)}: {' '.join(words)}"
                found.setdefault(tuple(words), pytest.param(words[0], words[1:], line, id=about))
    return list(found.values())


def composed(name: str, overrides: list[str], folder: Path | None = None) -> DictConfig:
    path = [f"hydra.searchpath=[file://{folder}]"] if folder else []
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        return hydra.compose(name, [*overrides, *path], return_hydra_config=name == "run")


def single_runs(overrides: list[str]) -> list[list[str]]:
    """A sweep's overrides, one run after another, until every value (of many, the first six) has been in one."""
    values = []
    for override in overrides:
        (parsed,) = OverridesParser.create().parse_overrides([override])
        key = override.partition("=")[0]
        swept = parsed.sweep_string_iterator() if parsed.is_sweep_override() else ()
        values.append([f"{key}={one}" for one in swept][:6] or [override])
    return [[one or values[i][0] for i, one in enumerate(run)] for run in zip_longest(*values)] or [[]]


@pytest.fixture(scope="module")
def parts_folder(tmp_path_factory):
    """The files that "Add a part of your own" shows, word for word."""
    root = tmp_path_factory.mktemp("adding")
    for block in re.findall(
        r"^```(?:python|yaml)\n(.*?)^```", (ROOT / "docs/adding.md").read_text(), re.DOTALL | re.MULTILINE
    ):
        name = re.match(r"# (\S+)\n", block)
        assert name, block
        path = root / name[1]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(block)
    return root


@pytest.fixture
def at_parts(parts_folder, monkeypatch):
    monkeypatch.chdir(parts_folder)
    monkeypatch.syspath_prepend(str(parts_folder))
    return parts_folder


def run_configs(words: list[str], folder: Path) -> list[RunConfig]:
    flags = [word for word in words if word.startswith("-")]
    assert set(flags) <= {"-m", "--config-dir", "--dry-run"}
    own = folder / words[words.index("--config-dir") + 1] if "--config-dir" in flags else None
    overrides = [literal(word) for word in words if "=" in word]
    assert len(overrides) + len(flags) + (own is not None) == len(words)
    found = []
    for run in single_runs(overrides):
        assert "-m" in flags or run == overrides
        config = composed("run", run, own)
        one, faults = configured(config, config.hydra)
        assert not faults
        found.append(one)
    return found


@pytest.mark.parametrize(("name", "words", "line"), commands("run", "download"))
def test_a_run_that_is_shown_composes_and_says_what_it_needs(name, words, line, at_parts):
    for config in run_configs(words, at_parts):
        if "--config-dir" in words:
            continue
        chosen = {group: config.choices[group] for group in ("model", "refiner")}
        launcher = [one.partition("=")[2] for one in words if one.startswith("hydra/launcher=")]
        chosen["hydra/launcher"] = launcher[0] if launcher else "fused"
        given = [one.removeprefix("metrics=").strip("[]") for one in words if one.startswith("metrics=")]
        outside = {group for group, choice in chosen.items() if choice not in SHIPPED[group]}
        outside |= {"network"} if name == "download" else set()
        outside |= {"optuna"} if config.experiment.name == "tune" else set()
        outside |= {"metrics" for one in given if not set(one.split(",")) <= SHIPPED["metrics"]}
        assert ("# needs: " in line) == bool(outside), outside


@pytest.mark.parametrize(("name", "words", "line"), commands("generate"))
def test_a_request_for_pictures_composes(name, words, line):
    found, faults = checked(composed("generate", [literal(word) for word in words]), Generate)
    assert found
    assert not faults


@pytest.mark.parametrize(("name", "words", "line"), commands(*set(COMMANDS) - {"run", "generate", "download"}))
def test_other_commands_exist_and_know_their_flags(name, words, line):
    source = Path(importlib.util.find_spec(f"mti.{name}").origin).read_text()
    assert all(f'"{word}"' in source for word in words if word.startswith("-"))
    models = {word.partition("=")[2] for word in words if word.startswith("model=")}
    assert ("# needs: " in line) == (name == "dashboard" or not models <= SHIPPED["model"])


def test_every_command_that_is_shown_exists():
    for page in PAGES:
        for line in LINE.findall(page.read_text()):
            words = shlex.split(line, comments=True)
            assert words[0] in ("-sc", "--help") or importlib.util.find_spec(f"mti.{words[0]}"), (page, line)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_and_pictures_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#\s]+)\)", page.read_text()):
        assert target.startswith("https://") or (page.parent / target).exists(), target


def test_the_readme_is_short_and_names_every_page():
    text = (ROOT / "README.md").read_text()
    assert len(text.splitlines()) <= 200
    for page in (ROOT / "docs").glob("*.md"):
        assert f"(docs/{page.name})" in text
        assert re.search(r"^    (mti|python -m mti)|^```", page.read_text(), re.MULTILINE).start() < 200


# --------------------------------------------------------------------------------- parts of one's own


def config_with(folder: Path, *overrides: str) -> RunConfig:
    config = composed("run", list(overrides), folder / "conf")
    found, faults = configured(config, config.hydra)
    assert not faults
    assert found
    return found


def prepared(config, parts):
    concept = parts.build(config.dataset).concept(config.image)
    return prepare_concept(concept, None, config.crop, parts.build(config.segmenter), "white", 0.1)


def test_the_initializer_that_is_shown_gives_its_text(at_parts):
    parts, config = Parts(), config_with(at_parts, "init=longest")
    text = parts.build(config.init.initializer)(prepared(config, parts), str.split)
    assert text.text == "a red teapot with a gold leaf on it"


def test_the_metric_that_is_shown_measures_and_describes_itself(at_parts):
    parts, config = Parts(), config_with(at_parts, "metrics=[brightness]")
    metric = parts.build(config.metrics["brightness"])
    assert metric(torch.ones(2, 3, 8, 8), torch.zeros(1, 3, 8, 8), ["{}", "{}"]) == {"brightness": 1}
    assert metric.record()["values"] == {"brightness": {"label": "Brightness", "unit": "", "better": "lower"}}


def test_the_optimizer_that_is_shown_steps_rows(at_parts):
    parts, config = Parts(), config_with(at_parts, "optimizer=momentum")
    rows = torch.nn.Parameter(torch.zeros(1, 2))
    vocabulary = Vocabulary(torch.ones(3, 2), [2])
    optimizer = parts.build(config.optimizer)([{"params": [rows], "lr": 0.5, "weight_decay": 0.0}], vocabulary)
    for expected in (-0.5, -0.5 - 0.5 * 1.8):
        rows.grad = torch.ones(1, 2)
        optimizer.step()
        assert rows.tolist() == [[pytest.approx(expected)] * 2]
    assert all(isinstance(value, torch.Tensor) for value in optimizer.state[rows].values())


def test_the_data_set_that_is_shown_has_its_concepts(at_parts):
    parts, config = Parts(), config_with(at_parts, "dataset=squares", "image=red", "init.source=recorded")
    data = parts.build(config.dataset)
    data.check("red")
    assert parts.build(config.init.initializer)(prepared(config, parts), str.split).text == "a red square"
    assert data.caption_of_another("red") == "a green square"


def test_recorded_texts_and_clicks_that_are_shown_are_read(at_parts):
    from PIL import Image

    Image.new("RGB", (64, 64)).save(at_parts / "pictures/mug.png")
    config = config_with(at_parts, "dataset=folder", "dataset.root=pictures", "image=mug")
    concept = Parts().build(config.dataset).concept("mug")
    assert (concept.recorded["class"], concept.click) == ("coffee mug", (32, 40))


def test_the_model_that_is_shown_sees_no_colours(at_parts, tiny_sd_folder):
    config = config_with(at_parts, "model=grey", f"model.path={tiny_sd_folder}", "+model.precision=fp32")
    model = Parts().build(config.model).load()
    colour = torch.zeros(1, 3, model.resolution, model.resolution)
    colour[:, 0] = 0.9
    grey = torch.full_like(colour, 0.3)
    assert model.name == "grey"
    torch.testing.assert_close(model.encode_picture(colour).mean, model.encode_picture(grey).mean)


def test_the_library_page_names_what_there_is():
    import mti

    text = (ROOT / "docs/library.md").read_text()
    for name in re.findall(r"`run\.(\w+)", text):
        assert hasattr(mti.InvertedRun, name) or name in mti.InvertedRun.__dataclass_fields__, name
    for block in re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE):
        compile(block, "library.md", "exec")
