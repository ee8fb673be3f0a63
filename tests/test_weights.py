import json
from pathlib import Path
from types import SimpleNamespace

import huggingface_hub
import pytest
import torch

import mti
from mti import weights
from mti.types import UserError
from mti.weights import NETWORK, WITH_PREPROCESSING, checkpoint, model_folder, weights_path

URL = "https://example.org/net-0123abcd.pth"
COMMIT = "0123456789abcdef0123456789abcdef01234567"
FILES = ("config.json", "preprocessor_config.json", "model.safetensors")


@pytest.fixture
def torch_home(monkeypatch, tmp_path):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "_hub_dir", None)
    return tmp_path


@pytest.fixture
def cache(monkeypatch, tmp_path):
    """An empty Hugging Face cache and no network."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    return tmp_path


def whole(folder):
    folder.mkdir(parents=True, exist_ok=True)
    for name in FILES:
        (folder / name).touch()
    return folder


def snapshot(cache):
    """The folder of someone/net in the cache, whole."""
    model = cache / "models--someone--net"
    (model / "refs").mkdir(parents=True)
    (model / "refs" / "main").write_text(COMMIT)
    return whole(model / "snapshots" / COMMIT)


@pytest.fixture
def hub(monkeypatch, cache):
    """A hub that has `files` of any model, and what it was asked to download."""
    calls = SimpleNamespace(files=[], patterns=[])

    class Api:
        def model_info(self, path, revision, timeout):
            return SimpleNamespace(siblings=[SimpleNamespace(rfilename=name) for name in calls.files])

    def download(path, revision, allow_patterns, local_files_only=False):
        if local_files_only:
            raise FileNotFoundError
        calls.patterns.append(allow_patterns)
        return str(cache)

    monkeypatch.setattr(weights, "HfApi", Api)
    monkeypatch.setattr(weights, "snapshot_download", download)
    return calls


def test_the_prefix_leads_into_the_package():
    assert weights_path("pocket:captioner") == Path(mti.__file__).parent / "pocket" / "weights" / "captioner"
    assert model_folder("pocket:captioner", NETWORK) == weights_path("pocket:captioner")


def test_other_paths_stay():
    assert weights_path("org/name") == Path("org/name")
    assert weights_path("/folder/pocket:x") == Path("/folder/pocket:x")


def test_a_checkpoint_is_where_torch_keeps_it(torch_home):
    file = torch_home / "hub" / "checkpoints" / "net-0123abcd.pth"
    with pytest.raises(UserError, match=rf"^the net: not found at {file}; .*load_state_dict_from_url\('{URL}'"):
        checkpoint(URL, "the net")
    file.parent.mkdir(parents=True)
    file.touch()
    assert checkpoint(URL, "the net") == file


def test_a_given_checkpoint_is_the_only_one(torch_home, tmp_path):
    given = tmp_path / "mine.pth"
    with pytest.raises(UserError, match=f"^the net: there is no file {given}"):
        checkpoint(URL, "the net", str(given))
    given.touch()
    assert checkpoint(URL, "the net", str(given)) == given


@pytest.mark.parametrize("wanted", [NETWORK, WITH_PREPROCESSING])
def test_a_whole_folder_is_itself(tmp_path, wanted):
    assert model_folder(str(whole(tmp_path)), wanted) == tmp_path


@pytest.mark.parametrize("name", FILES)
def test_a_folder_says_what_it_lacks(tmp_path, name):
    (whole(tmp_path) / name).unlink()
    with pytest.raises(
        UserError, match=f"^the net: {tmp_path} lacks {name}.*; give the folder of a transformers model"
    ):
        model_folder(str(tmp_path), WITH_PREPROCESSING, "the net: ")


def test_a_folder_lacks_the_parts_that_its_index_names(tmp_path):
    part = tmp_path / "model-00001-of-00002.safetensors"
    (whole(tmp_path) / "model.safetensors").rename(part)
    index = {"weight_map": {"a": part.name, "b": "model-00002-of-00002.safetensors", "c": part.name}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(UserError, match=f"^{tmp_path} lacks model-00002-of-00002.safetensors; "):
        model_folder(str(tmp_path), NETWORK)


def test_without_download_a_hub_name_is_looked_for_in_the_cache_alone(cache, monkeypatch):
    monkeypatch.setattr(weights, "_downloaded", None)
    with pytest.raises(
        UserError, match=rf"^the net: someone/net is no folder, and not in the cache {cache}; get it with"
    ):
        model_folder("someone/net", WITH_PREPROCESSING, "the net: ")
    there = snapshot(cache)
    assert model_folder("someone/net", WITH_PREPROCESSING, "the net: ") == there


def test_a_half_downloaded_model_says_what_it_lacks(cache):
    (snapshot(cache) / "model.safetensors").unlink()
    with pytest.raises(
        UserError, match=rf"{COMMIT} lacks model.safetensors or pytorch_model.bin; get it with `hf download s"
    ):
        model_folder("someone/net", WITH_PREPROCESSING)


def test_what_is_whole_in_the_cache_is_not_asked_for_though_the_hub_has_more(cache, monkeypatch):
    """The hub's client keeps a list of what the hub has, and by itself wants all of it."""
    monkeypatch.setattr(weights, "_downloaded", None)
    there = snapshot(cache)
    files = {name: {"size": 1, "blob_id": "x"} for name in (*FILES, "tf_model.h5")}
    (there.parents[1] / "trees").mkdir()
    (there.parents[1] / "trees" / f"{COMMIT}.json").write_text(json.dumps({"format_version": 1, "files": files}))
    assert model_folder("someone/net", WITH_PREPROCESSING, download=True) == there


def test_the_first_choice_of_weights_is_downloaded_with_what_belongs_to_it(hub, cache):
    hub.files = ["config.json", "pytorch_model.bin", "model.safetensors", "tf_model.h5"]
    assert model_folder("someone/net", NETWORK, download=True) == cache
    hub.files.remove("model.safetensors")
    model_folder("someone/net", NETWORK, download=True)
    assert hub.patterns == [
        ["*.json", "*.txt", "*.model", "config.json", choice] for choice in ("*.safetensors", "*.bin")
    ]


def test_nothing_is_downloaded_of_a_model_that_lacks_a_file(hub):
    hub.files = ["config.json", "model.safetensors"]
    with pytest.raises(UserError, match=r"the hub has no preprocessor_config.json or processor_config.json of it; "):
        model_folder("someone/net", WITH_PREPROCESSING, download=True)
    assert hub.patterns == []


@pytest.mark.parametrize("name", ["someone/net", "/no/such/folder"])
def test_what_cannot_be_had_is_one_line_with_the_way_out(cache, name):
    with pytest.raises(UserError, match=rf"^{name} is no folder.*hf download {name}") as error:
        model_folder(name, NETWORK, download=True)
    assert "\n" not in str(error.value)


def test_the_command_names_the_revision(cache):
    with pytest.raises(UserError, match=r"`hf download someone/net --revision v2 --exclude"):
        model_folder("someone/net", NETWORK, revision="v2")
